package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/replay/file"
	"github.com/actorlog/actorlog/schemas"
)

// wrong is a counter that cannot count.
func wrong(r *actor.Registry) {
	actor.On(r, counter.Increment, func(s *counter.Counter, c *actor.Ctx, by int64) (int64, error) {
		s.Count += by + 1
		c.Broadcast(counter.Changed.With(s.Count))
		return s.Count, nil
	})
}

// program is the exit status and the output of a program with these kinds, on a log with two counters, and the file of one of them as FILE.
func program(t *testing.T, kinds func(*actor.Registry), args ...string) (status int, stdout, stderr string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.history")
	for i := range args {
		if args[i] == "FILE" {
			args[i] = path
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w := actortest.New(t, counter.Register)
		for _, key := range []string{"a", "b"} {
			for range 2 {
				_, err := counter.Increment.Call(t.Context(), counter.Kind.GetOrCreate(w.Client, key), 5)
				require.NoError(t, err)
			}
		}
		log := w.Cluster.Client()
		defer log.Close()
		var b bytes.Buffer
		_, err := file.Export(t.Context(), &b, replay.NewReader(log, replay.Options{}), schemas.HashOf("default", "counter", []string{"a"}), file.Options{})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
		registry := actor.NewRegistry()
		kinds(registry)
		var out, failed bytes.Buffer
		status = run(t.Context(), registry, args, func(context.Context) (eventlog.Source, error) { return log, nil }, &out, &failed)
		stdout, stderr = out.String(), failed.String()
	})
	return status, stdout, stderr
}

func TestMain_Status(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		kinds  func(*actor.Registry)
		args   []string
		status int
		says   string
	}{
		"one that is the same":     {counter.Register, []string{"counter", "a"}, Clean, "1 actor, 2 outcomes: 2 the same"},
		"all that are the same":    {counter.Register, []string{"-all"}, Clean, "2 actors, 4 outcomes: 4 the same"},
		"a sample":                 {counter.Register, []string{"-sample", "1"}, Clean, "1 actor, 2 outcomes: 2 the same"},
		"a file":                   {counter.Register, []string{"-file", "FILE"}, Clean, "1 actor, 2 outcomes: 2 the same"},
		"all of a kind":            {counter.Register, []string{"-all", "counter"}, Clean, "2 actors, 4 outcomes: 4 the same"},
		"a sample of a kind":       {counter.Register, []string{"-sample", "1", "counter"}, Clean, "1 actor, 2 outcomes: 2 the same"},
		"all of another kind":      {counter.Register, []string{"-all", "wallet"}, Failed, "no actor of kind wallet"},
		"a sample of none":         {counter.Register, []string{"-sample", "-1"}, Failed, "say what to verify"},
		"no kind that is here":     {func(*actor.Registry) {}, []string{"-all"}, Failed, "no kind of what was recorded is registered"},
		"two that are asked for":   {counter.Register, []string{"-all", "-sample", "1"}, Failed, "not two of them"},
		"one that differs":         {wrong, []string{"counter", "a"}, Differs, "state /count\n    recorded  5\n    now       6"},
		"all that differ":          {wrong, []string{"-all"}, Differs, "4 different (of 2 actors)"},
		"a file that differs":      {wrong, []string{"-file", "FILE"}, Differs, "2 different (of 1 actor)"},
		"nobody":                   {counter.Register, []string{"counter", "nobody"}, Failed, "nothing is known"},
		"a kind that is not here":  {func(*actor.Registry) {}, []string{"counter", "a"}, Failed, "is registered"},
		"another one than in file": {counter.Register, []string{"-file", "FILE", "counter", "b"}, Failed, "of another actor: counter a"},
		"nothing":                  {counter.Register, nil, Failed, "say what to verify"},
		"too much":                 {counter.Register, []string{"-all", "counter", "a"}, Failed, "not two of them"},
		"no time":                  {counter.Register, []string{"-since", "yesterdayish", "-all"}, Failed, "yesterdayish"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, stdout, stderr := program(t, tt.kinds, tt.args...)
			require.Equal(t, tt.status, status, stdout+stderr)
			require.Contains(t, stdout+stderr, tt.says)
		})
	}
}

func TestMain_JSON(t *testing.T) {
	t.Parallel()
	status, stdout, _ := program(t, wrong, "-json", "counter", "a")
	require.Equal(t, Differs, status)
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	require.Len(t, lines, 2, "the first difference and the summary")
	var first line
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &first))
	require.Equal(t, "increment", first.Action)
	require.Contains(t, first.Fields, field{Name: "result", Recorded: "5", Now: "6"})
	require.JSONEq(t, `{"type":"summary","clean":false,"actors":1,"actorsDiffering":1,"outcomes":2,"same":0,"differing":2,"notChecked":0}`, lines[1])
}

func TestMain_ALogThatCannotBeRead(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	status := run(t.Context(), actor.NewRegistry(), []string{"-all"}, func(context.Context) (eventlog.Source, error) {
		return nil, errors.New("the brokers are away")
	}, &stdout, &stderr)
	require.Equal(t, Failed, status)
	require.Contains(t, stderr.String(), "the brokers are away")
}
