package host_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog/memlog"
)

// stuck is an actor whose actions wait for gate.
type stuck struct{ N int }

var (
	stuckKind = actor.New[stuck]("stuck")
	work      = actor.Action[string, int](stuckKind, "work")
)

// stuckWorld is a worker of one shard, in virtual time.
type stuckWorld struct {
	worker *host.Worker
	client *remote.Client
	gate   chan struct{}

	wg            sync.WaitGroup
	mu            sync.Mutex
	done, refused int
}

func newStuckWorld(t *testing.T, cfg host.Config) *stuckWorld {
	t.Helper()
	w := &stuckWorld{gate: make(chan struct{})}
	registry := actor.NewRegistry()
	actor.On(registry, work, func(s *stuck, _ *actor.Ctx, _ string) (int, error) {
		<-w.gate
		s.N++
		return s.N, nil
	})
	cluster := memlog.NewCluster(1)
	log, callers := cluster.Client(), cluster.Client()
	var err error
	w.worker, err = host.Open(log, registry, cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.worker.Run(ctx) }()
	w.client, err = remote.Open(callers, remote.Config{})
	require.NoError(t, err)
	t.Cleanup(func() {
		w.client.Close()
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, w.worker.Close())
		log.Close()
		callers.Close()
	})
	return w
}

// call calls, and lets the world come to rest: so the worker reads one action at a time.
func (w *stuckWorld) call(t *testing.T, key string, size int) {
	w.wg.Go(func() {
		_, err := work.Call(t.Context(), stuckKind.GetOrCreate(w.client, key), strings.Repeat("x", size))
		w.mu.Lock()
		defer w.mu.Unlock()
		if errors.Is(err, actor.ErrOverloaded) {
			w.refused++
			return
		}
		require.NoError(t, err)
		w.done++
	})
	synctest.Wait()
}

// open lets all actions go on, and waits for them.
func (w *stuckWorld) open(t *testing.T) {
	t.Helper()
	close(w.gate)
	w.wg.Wait()
	synctest.Wait()
	n, bytes := w.worker.Queued()
	require.Zero(t, n)
	require.Zero(t, bytes)
}

func TestMaxQueued(t *testing.T) {
	t.Parallel()
	// A shard of which too much waits is read no further, until half of that is done. All that was asked is done then.
	const actors, calls = 20, 300
	for name, c := range map[string]struct {
		cfg             host.Config
		most, mostBytes int64
	}{
		"Actions": {host.Config{MaxQueued: 10}, 11, 1 << 20},
		"Bytes":   {host.Config{MaxQueuedBytes: 20_000}, calls, 22_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newStuckWorld(t, c.cfg)
				for i := range calls {
					w.call(t, fmt.Sprint(i%actors), 1000)
					n, bytes := w.worker.Queued()
					require.LessOrEqual(t, n, c.most)
					require.LessOrEqual(t, bytes, c.mostBytes)
				}
				n, _ := w.worker.Queued()
				require.Positive(t, n)
				w.open(t)
				require.Equal(t, calls, w.done)
			})
		})
	}
}

func TestMailboxBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newStuckWorld(t, host.Config{MailboxBytes: 10_000})
		w.call(t, "large", 50_000) // alone, one action may be larger
		w.call(t, "large", 1)
		require.Equal(t, 1, w.refused)
		for range 10 {
			w.call(t, "hot", 3000)
		}
		// One runs, two wait; the shard goes on.
		require.Equal(t, 1+7, w.refused)
		w.call(t, "other", 3000)
		require.Equal(t, 1+7, w.refused)
		w.open(t)
		require.Equal(t, 1+3+1, w.done)
	})
}
