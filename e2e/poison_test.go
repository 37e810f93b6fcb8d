package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/e2e/process"
)

// TestPoison has a worker that is started again whenever it ends, as by a supervisor, do what it does not survive. Each time it is set aside after three attempts,
// and everything else goes on.
func TestPoison(t *testing.T) {
	t.Parallel()
	kafka, address := process.Address(t), process.Address(t)
	broker := process.Start(t, "actorlog", "broker", "--data", t.TempDir(), "--kafka-listen", kafka)
	gateway := process.Start(t, "gateway", "--brokers", kafka, "--listen", address, "--partitions", "8")
	process.Ready(t, address, gateway)

	supervised, stop := context.WithCancel(t.Context())
	var deaths atomic.Int64
	over := make(chan *process.Process, 1)
	go func() {
		for supervised.Err() == nil {
			worker := process.Start(t, "bomb", "--brokers", kafka, "--data", t.TempDir())
			select {
			case <-worker.Done():
				deaths.Add(1)
				process.Pause(supervised, 100*time.Millisecond)
			case <-supervised.Done():
				over <- worker
				return
			}
		}
	}()

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	// ask repeats until there is an answer: the key has it done once.
	ask := func(path, body, key string) (int, string) {
		for {
			status, answer, err := process.Request(ctx, http.MethodPost, "http://"+address+"/actors/"+path, body, key)
			if err == nil && status != http.StatusServiceUnavailable && !strings.Contains(answer, "outcome_unknown") {
				return status, answer
			}
			require.NoError(t, ctx.Err(), "%d %s", status, answer)
			process.Pause(ctx, 100*time.Millisecond)
		}
	}
	for i, how := range []string{"panic", "exit", "exhaust"} {
		before := deaths.Load()
		_, answer := ask("bomb/bad-"+how+"/actions/blow", `"`+how+`"`, how)
		require.Contains(t, answer, `"parked"`, how)
		require.EqualValues(t, 3, deaths.Load()-before, "%s ended so many workers", how)
		for _, actor := range []string{"good", "bad-" + how} {
			status, answer := ask("bomb/"+actor+"/actions/note", "", "after-"+how)
			require.Equal(t, http.StatusOK, status, answer)
		}
		require.Len(t, parked(t, ctx, address), i+1)
	}
	// What never returns ends nobody: it is answered when its time is over.
	before := deaths.Load()
	_, answer := ask("bomb/bad-spin/actions/blow", `"spin"`, "spin")
	require.Contains(t, answer, "action_timed_out")
	status, answer := ask("bomb/bad-spin/actions/note", "", "after-spin")
	require.Equal(t, http.StatusOK, status, answer)
	require.Equal(t, before, deaths.Load())

	list := parked(t, ctx, address)
	cli := func(args ...string) string {
		out, err := exec.CommandContext(ctx, process.Path(t, "actorlog"), append(args, "--brokers", kafka)...).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	require.Contains(t, cli("parked"), list[0].What)
	require.Contains(t, cli("history", "bomb", "bad-panic"), "parked    after 3 workers")
	require.Contains(t, cli("parked", "dismiss", list[0].Position), "Dismissed")
	status, answer, err := process.Request(ctx, http.MethodPost, "http://"+address+"/admin/parked/"+list[1].Position+"/dismiss", "", "")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, answer)
	require.Equal(t, list[2:], parked(t, ctx, address))

	stop()
	require.Equal(t, 0, (<-over).Stop(t))
	require.Equal(t, 0, gateway.Stop(t))
	require.Equal(t, 0, broker.Stop(t))
}

type parkedItem struct{ Position, What, Kind string }

func parked(t *testing.T, ctx context.Context, gateway string) []parkedItem {
	t.Helper()
	status, answer, err := process.Request(ctx, http.MethodGet, "http://"+gateway+"/admin/parked", "", "")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, answer)
	var list struct{ Parked []parkedItem }
	require.NoError(t, json.Unmarshal([]byte(answer), &list))
	return list.Parked
}
