package host_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// shardOf is the shard of a probe.
func shardOf(key ...string) int32 {
	return schemas.HashOf("default", "probe", key).Shard(actortest.Shards)
}

// neighbours returns two keys of actors in one shard.
func neighbours() (string, string) {
	for i := 0; ; i++ {
		if key := "b" + strconv.Itoa(i); shardOf(key) == shardOf("a") {
			return "a", key
		}
	}
}

// newTerm makes the shard's next append fail, and one action that meets it.
func newTerm(t *testing.T, w *actortest.World, key string) {
	t.Helper()
	w.Cluster.FailNext(1, eventlog.Events, shardOf(key), memlog.Fault{Err: errors.New("not written")})
	_, err := add.Call(t.Context(), get(w, key), 1)
	require.NoError(t, err)
}

// onePerRef checks that no action has two outcomes.
func onePerRef(t *testing.T, w *actortest.World) {
	t.Helper()
	seen := make(map[string]bool)
	for _, o := range outcomes(t, w) {
		id := o.Action.RequestId
		require.False(t, seen[id], "action %s has two outcomes", id)
		seen[id] = true
	}
}

func TestRefusedBeforeItLived(t *testing.T) {
	t.Parallel()
	// An actor that has no life yet refuses an action. A checkpoint later the worker dies: the action stays
	// refused, for its caller was told so.
	world(t, host.Config{MailboxSize: 1, CheckpointEvery: time.Second}, func(t *testing.T, w *actortest.World) {
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := hang.Call(t.Context(), get(w, "a"), 100)
			require.ErrorIs(t, err, actor.ErrTimedOut)
		})
		synctest.Wait()
		wg.Go(func() {
			_, err := add.Call(t.Context(), get(w, "a"), 1)
			require.NoError(t, err)
		})
		synctest.Wait()
		_, err := add.Call(t.Context(), get(w, "a"), 10)
		require.ErrorIs(t, err, actor.ErrOverloaded)
		time.Sleep(3 * time.Second)

		w.Config.MailboxSize = 10
		w.Crash()
		wg.Wait()
		s, err := get(w, "a").Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, s.N, "what was refused took effect")
		onePerRef(t, w)
	})
}

func TestForgottenWhileItMayBeReadAgain(t *testing.T) {
	t.Parallel()
	// An actor that never lived answers an action while an earlier one of its shard is under way. It is forgotten
	// only when no recovery would read its action again: that is decided by checkpoints, not by the present.
	world(t, host.Config{
		SleepAfter: time.Second, CheckpointEvery: 50 * time.Second, ActionTimeout: 60 * time.Second,
	}, func(t *testing.T, w *actortest.World) {
		a, b := neighbours()
		var wg sync.WaitGroup
		time.Sleep(30 * time.Second)
		wg.Go(func() {
			_, err := hang.Call(t.Context(), get(w, b), 1)
			require.ErrorIs(t, err, actor.ErrTimedOut)
		})
		synctest.Wait()
		_, err := add.Call(t.Context(), kind.Get(w.Client, a), 1)
		require.ErrorIs(t, err, actor.ErrNotFound)
		wg.Wait()                   // a checkpoint after 50 s, the timeout after 90 s
		time.Sleep(5 * time.Second) // both actors sleep; the next checkpoint is at 100 s
		newTerm(t, w, b)
		onePerRef(t, w)
	})
}

func TestForgottenNotWhatWasPromised(t *testing.T) {
	t.Parallel()
	// An actor that never lived has answered a request with an idempotency key. It is not forgotten with that: the repeat of the request
	// gets the same answer, though the actor lives by then.
	world(t, host.Config{SleepAfter: time.Second, CheckpointEvery: 5 * time.Second}, func(t *testing.T, w *actortest.World) {
		once := kind.Get(w.Client, "a").Idempotent("key-1")
		_, err := add.Call(t.Context(), once, 1)
		require.ErrorIs(t, err, actor.ErrNotFound)
		time.Sleep(30 * time.Second) // it sleeps, and checkpoints pass
		_, err = kind.Create(t.Context(), w.Client, nil, "a")
		require.NoError(t, err)
		w.Crash()
		_, err = add.Call(t.Context(), once, 1)
		require.ErrorIs(t, err, actor.ErrNotFound)
		s, err := get(w, "a").Read(t.Context())
		require.NoError(t, err)
		require.Zero(t, s.N, "what was refused took effect")
	})
}

func TestUnreadableSnapshot(t *testing.T) {
	t.Parallel()
	// An actor whose snapshot cannot be read is rebuilt from events, also when the term that did so ends before it
	// has written a new snapshot.
	world(t, host.Config{CheckpointEvery: time.Second}, func(t *testing.T, w *actortest.World) {
		for range 3 {
			_, err := add.Call(t.Context(), get(w, "a"), 1)
			require.NoError(t, err)
		}
		time.Sleep(3 * time.Second)
		hash := schemas.HashOf("default", "probe", schemas.Key{"a"})
		w.Config.CheckpointEvery = time.Hour
		w.Cluster.Inject(eventlog.Snapshots, shardOf("a"), eventlog.Record{
			Key: hash[:], Value: []byte{0xff, 0xff},
			Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(schemas.TypeSnapshot)}},
		})
		w.Crash()
		n, err := add.Call(t.Context(), get(w, "a"), 1)
		require.NoError(t, err)
		require.Equal(t, 4, n)
		newTerm(t, w, "a")
		s, err := get(w, "a").Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, 5, s.N)
	})
}

func TestRefusedWithLargeArguments(t *testing.T) {
	t.Parallel()
	// An action that fits into a record of its own comes while the mailbox is full. Its outcome, which
	// repeats it, would not fit: that must not end the shard's term.
	var mu sync.Mutex
	closed := 0
	world(t, host.Config{MailboxSize: 1, Events: host.EventListener{ShardClosed: func(_ int32, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			closed++
		}
	}}}, func(t *testing.T, w *actortest.World) {
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := hang.Call(t.Context(), get(w, "a"), 100)
			require.ErrorIs(t, err, actor.ErrTimedOut)
		})
		synctest.Wait()
		wg.Go(func() {
			_, err := add.Call(t.Context(), get(w, "a"), 1)
			require.NoError(t, err)
		})
		synctest.Wait()
		_, err := w.Client.Invoke(t.Context(), actor.Target{
			Namespace: "default", Kind: "probe", Key: []string{"a"}, Presence: actor.CreateIfAbsent,
		}, "add", json.RawMessage(`["`+strings.Repeat("x", memlog.DefaultMaxRecordBytes-200)+`"]`))
		require.ErrorIs(t, err, actor.ErrOverloaded)
		wg.Wait()
		mu.Lock()
		defer mu.Unlock()
		require.Zero(t, closed, "terms that failed")
	})
}

func TestFailedZombieDoesNotClaim(t *testing.T) {
	t.Parallel()
	// A worker that was taken for dead, and does not know it yet, fails to append. It must not take the shard back from
	// its new owner.
	world(t, host.Config{}, func(t *testing.T, w *actortest.World) {
		w.Stop(w.StartWorker())
		registry := actor.NewRegistry()
		register(registry)
		log := w.Cluster.Client()
		zombie, err := host.Open(log, registry, host.Config{ID: "zombie"})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { require.NoError(t, zombie.Run(ctx)) })
		defer func() {
			cancel()
			wg.Wait()
			require.NoError(t, zombie.Close())
			log.Close()
		}()
		time.Sleep(time.Second)

		key := ""
		for p, owner := range w.Cluster.Assignment("actorlog") {
			if owner == log {
				for i := 0; shardOf(key) != int32(p); i++ {
					key = strconv.Itoa(i)
				}
				break
			}
		}
		require.NotEmpty(t, key)
		_, err = add.Call(t.Context(), get(w, key), 1)
		require.NoError(t, err)

		require.True(t, log.Expire(5*time.Second))
		time.Sleep(time.Second)
		w.Cluster.SetFaults(func(wr memlog.Write) memlog.Fault {
			if wr.Client == log && wr.Topic == eventlog.Events {
				var claim bool
				for _, h := range wr.Records[0].Headers {
					claim = claim || h.Key == schemas.HeaderType && schemas.Type(h.Value) == schemas.TypeClaim
				}
				if !claim {
					return memlog.Fault{Err: errors.New("timed out")}
				}
			}
			return memlog.Fault{}
		})
		n, err := add.Call(t.Context(), get(w, key), 1)
		require.NoError(t, err)
		require.Equal(t, 2, n)
		time.Sleep(3 * time.Second)
		last := ""
		for _, r := range w.Cluster.Records(eventlog.Events, shardOf(key)) {
			if typ := schemas.Type(r.Header(schemas.HeaderType)); typ == schemas.TypeClaim {
				claim, err := schemas.DecodeAs[*actorlogv1.Claim](typ, r.Value)
				require.NoError(t, err)
				last = claim.Worker
			}
		}
		require.NotEqual(t, "zombie", last, "the zombie took the shard back")
	})
}

func TestForeignRecordsStopNoShard(t *testing.T) {
	t.Parallel()
	// Records in events that no version of a worker writes are passed over by everybody.
	for name, headers := range map[string][]eventlog.Header{
		"NoType":     nil,
		"BadClaim":   {{Key: schemas.HeaderType, Value: []byte(schemas.TypeClaim)}},
		"BadOutcome": {{Key: schemas.HeaderType, Value: []byte(schemas.TypeOutcome)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			world(t, host.Config{}, func(t *testing.T, w *actortest.World) {
				_, err := add.Call(t.Context(), get(w, "a"), 1)
				require.NoError(t, err)
				p := shardOf("a")
				other := schemas.HashOf("default", "probe", schemas.Key{"other"})
				w.Cluster.Inject(eventlog.Events, p, eventlog.Record{Key: other[:], Value: []byte{0xff, 0xff}, Headers: headers})
				for n := range 3 {
					got, err := add.Call(t.Context(), get(w, "a"), 1)
					require.NoError(t, err)
					require.Equal(t, n+2, got)
					w.Crash()
				}
				hash := schemas.HashOf("default", "probe", schemas.Key{"a"})
				seen := 0
				records := w.Cluster.Records(eventlog.Events, p)
				last := records[len(records)-1].Offset
				err = w.Client.Since(t.Context(), hash, schemas.Position{Partition: p, Offset: -1}, schemas.Position{Partition: p, Offset: last},
					func(*remote.Delivery) bool { seen++; return true })
				require.NoError(t, err)
				require.Equal(t, 4, seen)
			})
		})
	}
}

func TestLetInTwice(t *testing.T) {
	t.Parallel()
	// What was let in before a crash is let in after it, also when actions that had been refused stand between.
	world(t, host.Config{MailboxSize: 2, ActionTimeout: 10 * time.Second}, func(t *testing.T, w *actortest.World) {
		var wg sync.WaitGroup
		call := func(action actor.ActionOf[probe, int, int], by int, want error) {
			wg.Go(func() {
				_, err := action.Call(t.Context(), get(w, "a"), by)
				require.ErrorIs(t, err, want, "by %d", by)
			})
			synctest.Wait()
		}
		call(hang, 1000, actor.ErrTimedOut)
		call(hang, 1000, actor.ErrTimedOut)
		call(hang, 1000, actor.ErrTimedOut)
		call(add, 10, actor.ErrOverloaded)
		call(add, 10, actor.ErrOverloaded)
		time.Sleep(11 * time.Second) // one of them is done
		call(add, 1, nil)
		w.Crash()
		wg.Wait()
		s, err := get(w, "a").Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, s.N)
		onePerRef(t, w)
	})
}

func TestHolesInActions(t *testing.T) {
	t.Parallel()
	// Offsets of actions that hold no record, as the marks of somebody's transactions, are passed over.
	world(t, host.Config{}, func(t *testing.T, w *actortest.World) {
		for range 3 {
			_, err := add.Call(t.Context(), get(w, "a"), 1)
			require.NoError(t, err)
		}
		w.Cluster.Compact(eventlog.Actions, shardOf("a"), 2)
		w.Crash()
		n, err := add.Call(t.Context(), get(w, "a"), 1)
		require.NoError(t, err)
		require.Equal(t, 4, n)
	})
}
