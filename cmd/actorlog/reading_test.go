package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
)

func TestBar(t *testing.T) {
	t.Parallel()
	half := replay.Progress{Partition: 3, From: 100, At: 600, To: 1100}
	t.Run("OnTerminals", func(t *testing.T) {
		t.Parallel()
		var out bytes.Buffer
		b := bar{w: &out, begun: time.Now().Add(-time.Second), width: func() int { return 80 }}
		b.show(half)
		require.Contains(t, out.String(), "scanning shard 3 [###############...............]  50% of 1000 events")
		b.clear()
		require.Equal(t, "\r\x1b[K", out.String()[out.Len()-4:], "it leaves nothing behind")
	})
	t.Run("GivesWayToWhatIsPrinted", func(t *testing.T) {
		t.Parallel()
		var screen bytes.Buffer
		b := bar{w: &screen, begun: time.Now().Add(-time.Second), width: func() int { return 80 }}
		b.show(half)
		screen.Reset()
		out := b.over(&screen)
		fmt.Fprintln(out, "an event")
		fmt.Fprintln(out, "another one")
		require.Equal(t, "\r\x1b[Kan event\nanother one\n", screen.String())
	})
	t.Run("OnNarrowTerminals", func(t *testing.T) {
		t.Parallel()
		for width, want := range map[int]string{40: "\r 50% of 1000 events\x1b[K", 12: "\r 50% of 100\x1b[K"} {
			var out bytes.Buffer
			b := bar{w: &out, begun: time.Now().Add(-time.Second), width: func() int { return width }}
			b.show(half)
			require.Equal(t, want, out.String())
		}
	})
	t.Run("NotAtOnce", func(t *testing.T) {
		t.Parallel()
		var out bytes.Buffer
		b := bar{w: &out, begun: time.Now()}
		b.show(half)
		require.Empty(t, out.String(), "what is quick needs none")
	})
	t.Run("NotWhileFollowing", func(t *testing.T) {
		t.Parallel()
		var out bytes.Buffer
		b := bar{w: &out, begun: time.Now().Add(-time.Second)}
		b.show(replay.Progress{At: 10, To: replay.Follow})
		require.Empty(t, out.String())
	})
	t.Run("NotInFiles", func(t *testing.T) {
		t.Parallel()
		f, err := os.Create(t.TempDir() + "/stderr")
		require.NoError(t, err)
		defer f.Close()
		b := newBar(f)
		b.begun = time.Now().Add(-time.Second)
		b.show(half)
		b.clear()
		info, err := f.Stat()
		require.NoError(t, err)
		require.Zero(t, info.Size())
	})
}

func TestWhom(t *testing.T) {
	t.Parallel()
	hash := schemas.HashOf("default", "counter", schemas.Key{"org", "42"})
	for name, w := range map[string]whom{
		"Key": {Kind: "counter", Key: []string{"org", "42"}, Namespace: "default"},
		"ID":  {Kind: schemas.ActorID{Hash: hash, Generation: 2}.String(), Namespace: "default"},
	} {
		got, err := w.hash()
		require.NoError(t, err)
		require.Equal(t, hash, got, name)
	}
	_, err := (whom{Kind: "counter", Key: []string{string(make([]byte, 200))}}).hash()
	require.ErrorContains(t, err, "part 0 of the key")
}

// A point may look like a flag, as the last event does; a flag is no point.
func TestPointText(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		want pointText
		err  string
	}{
		"Apart":    {args: []string{"--at", "-1"}, want: "-1"},
		"Together": {args: []string{"--at=-1"}, want: "-1"},
		"Position": {args: []string{"--at", "3:5310"}, want: "3:5310"},
		"Flag":     {args: []string{"--at", "--all"}, err: "--at: want a point in history and not \"--all\""},
		"Nothing":  {args: []string{"--at"}, err: "--at"},
	} {
		var flags struct {
			At  pointText
			All bool
		}
		parser, err := kong.New(&flags)
		require.NoError(t, err, name)
		_, err = parser.Parse(c.args)
		if c.err != "" {
			require.ErrorContains(t, err, c.err, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, c.want, flags.At, name)
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	require.Equal(t, "caf\u00e9 a/b", printable("caf\u00e9 a/b"))
	require.Equal(t, `a\nb\x1b[2J\u009b`, printable("a\nb\x1b[2J\u009b"))

	// What others say cannot make a line of its own, but for the detail of an error, which is indented.
	var out bytes.Buffer
	printEntry(&out, &replay.Entry{
		Position: "1:2", Type: "invoke", Action: "x\n9:9  #1  forged", Caller: &replay.EntryCaller{Principal: "ann\r\x1b[1A"},
		Error: &replay.EntryError{Group: "user", Code: "no", Message: "no\nno", Detail: "panic: no\n\tat x.go\n"},
	})
	require.Equal(t, `1:2  0001-01-01T00:00:00.000Z  x\n9:9  #1  forged() failed: user.no: no\nno
    by        ann\r\x1b[1A
    took      0s
    detail    panic: no
                  at x.go
`, out.String())
}

func TestSchedule(t *testing.T) {
	t.Parallel()
	due := time.Date(2026, 11, 30, 7, 0, 0, 0, time.UTC)
	require.Equal(t, "digest: digest() at 2026-11-30T07:00:00.000Z, cron 0 8 * * * in Europe/Berlin, skips what it missed, up to 3 attempts, 2 failed",
		schedule(replay.EntrySchedule{ID: "digest", Action: "digest", Due: due, Cron: "0 8 * * *", TimeZone: "Europe/Berlin", Missed: "skip", MaxAttempts: 3, Failed: 2}))
	require.Equal(t, "beat: beat(1) at 2026-11-30T07:00:00.000Z, every 300ms, makes up for all that it missed",
		schedule(replay.EntrySchedule{ID: "beat", Action: "beat", Args: []byte("[1]"), Due: due, EveryMs: 300, Missed: "fireAll"}))
}

// The keys of terminals that are several bytes.
func TestArrow(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]rune{"[C": 'n', "OB": 'n', "[D": 'p', "OA": 'p', "[5~": '?', "": '?', "x": '?'} {
		keys := bufio.NewReader(strings.NewReader("_" + sent + "q"))
		_, err := keys.ReadByte() // which buffers the rest
		require.NoError(t, err)
		if sent == "" {
			keys = bufio.NewReader(strings.NewReader(""))
		}
		require.Equal(t, want, arrow(keys), sent)
		if sent != "" {
			rest, err := keys.ReadByte()
			require.NoError(t, err)
			require.Equal(t, byte('q'), rest, sent)
		}
	}
}

// What was interrupted is not done, whatever its error; what was not, fails or not as it does.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	going := t.Context()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, interrupted(over, nil, "no"))
	require.ErrorIs(t, interrupted(going, os.ErrExist, "no"), os.ErrExist)
	err := interrupted(over, fmt.Errorf("reading: %w", context.Canceled), "there is no file")
	require.EqualError(t, err, "there is no file")
	require.NotErrorIs(t, err, context.Canceled, "which ends a server in peace")
	var status interface{ ExitStatus() int }
	require.ErrorAs(t, err, &status)
	require.Equal(t, 130, status.ExitStatus())
}
