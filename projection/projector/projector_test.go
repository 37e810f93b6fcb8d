package projector_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/internal/randomlog"
	"github.com/actorlog/actorlog/internal/seed"
	"github.com/actorlog/actorlog/projection"
	"github.com/actorlog/actorlog/projection/projector"
	"github.com/actorlog/actorlog/schemas"
)

const shards = 3

// tables is a sink in memory, which keeps what a sink promises. Its parts can fail.
type tables struct {
	mu     sync.Mutex
	events map[schemas.Position]projection.Event
	actors map[schemas.Hash]projection.Actor
	places map[int32]projection.Place
	// fault is asked before each part of a write, and before a load: 0 events, 1 actors, 2 erasures and places, 3 a load.
	fault  func(part int) error
	writes int
	// loaded counts actors that were asked for; largest is the most events of a batch.
	loaded, largest int
}

func newTables() *tables {
	return &tables{
		events: make(map[schemas.Position]projection.Event), actors: make(map[schemas.Hash]projection.Actor), places: make(map[int32]projection.Place),
		fault: func(int) error { return nil },
	}
}

func (t *tables) Places(context.Context) ([]projection.Place, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []projection.Place
	for _, p := range t.places {
		all = append(all, p)
	}
	return all, nil
}

func (t *tables) Load(_ context.Context, actors []schemas.Hash) ([]projection.Actor, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.fault(3); err != nil {
		return nil, err
	}
	t.loaded += len(actors)
	var all []projection.Actor
	for _, hash := range actors {
		if a, ok := t.actors[hash]; ok {
			again, err := projection.Restore(a.Shard, hash, a.Rest(), a.State, a.Parked)
			if err != nil {
				return nil, err
			}
			all = append(all, again)
		}
	}
	return all, nil
}

func (t *tables) Write(_ context.Context, b *projection.Batch) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.largest = max(t.largest, len(b.Events))
	if err := t.fault(0); err != nil {
		return err
	}
	for _, e := range b.Events {
		erased := e
		erased.Erase()
		if old, ok := t.events[e.Position]; ok && !equal(&old, &e) && !equal(&old, &erased) {
			return errors.New("another row at the same position")
		}
		t.events[e.Position] = e
	}
	if err := t.fault(1); err != nil {
		return err
	}
	for _, a := range b.Actors {
		if old, ok := t.actors[a.Hash]; !ok || old.LastOffset < a.LastOffset {
			t.actors[a.Hash] = a
		}
	}
	if err := t.fault(2); err != nil {
		return err
	}
	for _, e := range b.Erasures {
		if _, counts := t.events[e.Position]; !counts {
			continue
		}
		for p, row := range t.events {
			if row.Actor.Hash == e.Actor && p.Partition == e.Position.Partition && p.Offset < e.Position.Offset {
				row.Erase()
				t.events[p] = row
			}
		}
	}
	for _, p := range b.Places {
		if p.Next > t.places[p.Shard].Next {
			t.places[p.Shard] = p
		}
	}
	t.writes++
	return nil
}

func equal(a, b *projection.Event) bool {
	return a.Position == b.Position && a.Ref == b.Ref && a.TimeMs == b.TimeMs && a.Action == b.Action && string(a.Patch) == string(b.Patch) &&
		string(a.State) == string(b.State) && slices.Equal(a.PatchPaths, b.PatchPaths) && a.RequestID == b.RequestID && a.Error.Code == b.Error.Code
}

// world is a log, and what a projection that never stops makes of it.
func world(t *testing.T, s uint64, records int) (*memlog.Cluster, *randomlog.Writer) {
	t.Helper()
	cluster := memlog.NewCluster(shards)
	w := randomlog.New(s, shards, func(shard int32, r eventlog.Record) int64 { return cluster.Inject(eventlog.Events, shard, r) })
	w.Write(records)
	return cluster, w
}

// project runs a projector until all is projected, or it ends by itself.
func project(t *testing.T, cluster *memlog.Cluster, sink projection.Sink, cfg projector.Config) error {
	t.Helper()
	log := cluster.Client()
	defer log.Close()
	p := projector.New(log, sink, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	for {
		select {
		case err := <-done:
			return err
		case <-time.After(10 * time.Millisecond):
		}
		left := int64(1)
		if lag := p.Lag(); len(lag) == shards {
			left = 0
			for _, l := range lag {
				left += l.Records()
			}
		}
		if left == 0 {
			cancel()
			return <-done
		}
	}
}

// requireSame requires that two sinks hold the same rows.
func requireSame(t *testing.T, want, got *tables) {
	t.Helper()
	require.Len(t, got.events, len(want.events))
	for at, e := range want.events {
		other := got.events[at]
		require.True(t, equal(&e, &other), "the row at %s", at)
	}
	require.Len(t, got.actors, len(want.actors))
	for hash, a := range want.actors {
		other := got.actors[hash]
		require.Equal(t, string(a.State), string(other.State))
		require.Equal(t, a.Parked, other.Parked)
		require.Equal(t, a.Rest(), other.Rest(), "actor %s", a.ID())
	}
	require.Equal(t, want.places, got.places)
}

func TestRun_OneRowPerOutcomeThatCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster, w := world(t, seed.New(t), 3000)
		all := newTables()
		require.NoError(t, project(t, cluster, all, projector.Config{}))
		require.Len(t, all.events, w.Counted)
		require.Zero(t, all.loaded, "who reads from the beginning knows all actors")
	})
}

// A projector dies anywhere in a write, again and again; each one that follows has hardly any memory. What is there at the end is what one that never dies makes.
func TestRun_ExactlyOnceThroughCrashes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := seed.New(t)
		cluster, w := world(t, s, 3000)
		want := newTables()
		require.NoError(t, project(t, cluster, want, projector.Config{}))

		rng := rand.New(rand.NewPCG(s, 1))
		got := newTables()
		crashes := 0
		for {
			ctx, crash := context.WithCancel(t.Context())
			got.fault = func(part int) error {
				if part < 3 && rng.IntN(12) == 0 {
					crash()
					return errors.New("crashed")
				}
				return nil
			}
			log := cluster.Client()
			p := projector.New(log, got, projector.Config{MaxRows: 1 + rng.IntN(60), MaxBytes: 1 << 20, CacheBytes: 1, MaxDelay: 5 * time.Millisecond})
			done := make(chan error, 1)
			go func() { done <- p.Run(ctx) }()
			caughtUp := false
			for !caughtUp && ctx.Err() == nil {
				time.Sleep(20 * time.Millisecond)
				got.mu.Lock()
				caughtUp = len(got.places) == shards
				for shard, place := range got.places {
					_, end, err := log.Bounds(t.Context(), eventlog.Events, shard)
					require.NoError(t, err)
					caughtUp = caughtUp && place.Next == end
				}
				got.mu.Unlock()
			}
			over := ctx.Err() == nil
			crash()
			require.NoError(t, <-done)
			log.Close()
			if over {
				break
			}
			crashes++
		}
		require.Greater(t, crashes, 5)
		require.Positive(t, got.loaded)
		require.Len(t, got.events, w.Counted)
		requireSame(t, want, got)
	})
}

// The sink is away for an hour, while the log grows: it catches up, and held no more than a few batches meanwhile.
func TestRun_SinkAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster, w := world(t, seed.New(t), 500)
		sink := newTables()
		away := true
		sink.fault = func(int) error {
			if away {
				return errors.New("connection refused")
			}
			return nil
		}
		log := cluster.Client()
		defer log.Close()
		retries := 0
		p := projector.New(log, sink, projector.Config{MaxRows: 100, Events: projector.EventListener{Retry: func(string, int, error) { retries++ }}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		for range 60 {
			w.Write(100)
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		require.Empty(t, sink.events)
		require.Less(t, retries, 500, "it waits longer and longer, up to 10 s")
		lag := int64(0)
		for _, l := range p.Lag() {
			lag += l.Records()
		}
		require.Greater(t, lag, int64(5000), "the lag tells")

		sink.mu.Lock()
		away = false
		sink.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, sink.events, w.Counted)
		require.LessOrEqual(t, sink.largest, 100)
		for _, l := range p.Lag() {
			require.Zero(t, l.Records())
		}
		cancel()
		require.NoError(t, <-done)
	})
}

func TestRun_LogThatIsShorterThanWhatWasProjected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster, _ := world(t, 1, 100)
		sink := newTables()
		sink.places[1] = projection.Place{Shard: 1, Next: 1 << 40}
		require.ErrorContains(t, project(t, cluster, sink, projector.Config{}), "the log ends before what was projected")
	})
}

func TestRun_RecordOfANewerVersion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster, _ := world(t, 1, 100)
		cluster.Inject(eventlog.Events, 0, eventlog.Record{Key: []byte("x"), Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte("outcome/9")}}})
		err := project(t, cluster, newTables(), projector.Config{})
		require.ErrorIs(t, err, schemas.ErrUnknownType)
		require.ErrorContains(t, err, "run a newer version")
	})
}

// Events that expired before they were projected are told of, and the rest is projected from the next claim on.
func TestRun_Gap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster, _ := world(t, seed.New(t), 3000)
		all := newTables()
		require.NoError(t, project(t, cluster, all, projector.Config{}))
		type ref struct {
			shard int32
			ref   int64
		}
		answered := make(map[ref]bool)
		for at, e := range all.events {
			answered[ref{at.Partition, e.Ref}] = true
		}
		for shard := range int32(shards) {
			cluster.Truncate(eventlog.Events, shard, 200)
		}
		late, gaps := newTables(), 0
		require.NoError(t, project(t, cluster, late, projector.Config{Events: projector.EventListener{Gap: func(_ int32, from, to int64) {
			require.Zero(t, from)
			require.EqualValues(t, 200, to)
			gaps++
		}}}))
		require.Equal(t, shards, gaps)
		require.NotEmpty(t, late.events)
		require.Less(t, len(late.events), len(all.events))
		for at, e := range late.events {
			require.GreaterOrEqual(t, at.Offset, int64(200))
			want, ok := all.events[at]
			if !ok { // a copy of one that has expired, or stands before the first claim: nobody can tell any more
				require.True(t, answered[ref{at.Partition, e.Ref}], "%s does not count", at)
				continue
			}
			require.Equal(t, want.RequestID, e.RequestID)
		}
	})
}

// The sink is away, and comes back as it was some time ago, or empty. Who goes on as if nothing had happened would leave a hole, and places that say there is none.
func TestRun_SinkLosesWhatItHad(t *testing.T) {
	t.Parallel()
	for _, lost := range []string{"some", "all", "some while nobody looked", "all while nobody looked"} {
		t.Run(strings.ReplaceAll(lost, " ", "_"), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cluster, w := world(t, seed.New(t), 1000)
				sink, old := newTables(), newTables()
				require.NoError(t, project(t, cluster, sink, projector.Config{}))
				if strings.HasPrefix(lost, "some") {
					require.NoError(t, project(t, cluster, old, projector.Config{}))
				}
				log := cluster.Client()
				defer log.Close()
				p := projector.New(log, sink, projector.Config{MaxDelay: time.Millisecond})
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				done := make(chan error, 1)
				go func() { done <- p.Run(ctx) }()
				w.Write(1000)
				time.Sleep(time.Second)
				synctest.Wait()
				require.Len(t, sink.events, w.Counted)

				sink.mu.Lock()
				sink.events, sink.actors, sink.places = old.events, old.actors, old.places
				away := !strings.Contains(lost, "nobody")
				sink.fault = func(int) error {
					if away {
						return errors.New("connection refused")
					}
					return nil
				}
				sink.mu.Unlock()
				time.Sleep(2 * time.Second)
				w.Write(100)
				time.Sleep(time.Minute)
				sink.mu.Lock()
				away = false
				sink.mu.Unlock()
				select {
				case err := <-done:
					require.ErrorContains(t, err, "the sink has less than it had")
				case <-time.After(time.Hour):
					require.Fail(t, "it has not noticed")
				}

				require.NoError(t, project(t, cluster, sink, projector.Config{}))
				want := newTables()
				require.NoError(t, project(t, cluster, want, projector.Config{}))
				requireSame(t, want, sink)
			})
		})
	}
}

// A batch ends when it has as many bytes as it may, also where a poll brings many large events at once.
func TestRun_BatchesByBytes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster := memlog.NewCluster(shards)
		write := func(shard int32, r eventlog.Record) int64 { return cluster.Inject(eventlog.Events, shard, r) }
		w := randomlog.New(seed.New(t), shards, write)
		w.Large = 20 << 10
		w.Write(500)
		sink := newTables()
		var most int
		require.NoError(t, project(t, cluster, sink, projector.Config{MaxBytes: 100 << 10, Events: projector.EventListener{Written: func(_, _, bytes int, _ time.Duration) {
			most = max(most, bytes)
		}}}))
		require.Len(t, sink.events, w.Counted)
		require.Less(t, most, 200<<10, "a batch has what it may, and one event with its actor more")
		require.Greater(t, most, 100<<10)
	})
}

// Who starts while the sink is away says how much there is to project, as far as it can know.
func TestLag_SinkAwayFromTheStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster, _ := world(t, seed.New(t), 500)
		log := cluster.Client()
		defer log.Close()
		p := projector.New(log, nowhere{}, projector.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		time.Sleep(time.Minute)
		want := int64(0)
		for shard := range int32(shards) {
			_, end, err := log.Bounds(t.Context(), eventlog.Events, shard)
			require.NoError(t, err)
			want += end
		}
		lag := int64(0)
		for _, l := range p.Lag() {
			lag += l.Records()
		}
		require.Equal(t, want, lag)
		cancel()
		require.NoError(t, <-done)
	})
}

// nowhere is a sink that is away.
type nowhere struct{ projection.Sink }

func (nowhere) Places(context.Context) ([]projection.Place, error) {
	return nil, errors.New("connection refused")
}
