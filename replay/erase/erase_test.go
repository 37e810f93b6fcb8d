package erase_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/eventlog/sealed"
	"github.com/actorlog/actorlog/projection"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/replay/erase"
	"github.com/actorlog/actorlog/replay/operate"
	"github.com/actorlog/actorlog/replay/restore"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

const canary = "canary-51c7"

var (
	notes = actor.New[string]("note")
	write = actor.Action[string, actor.None](notes, "write")
)

func register(r *actor.Registry) {
	actor.InitialState(r, notes, "")
	actor.On(r, write, func(s *string, _ *actor.Ctx, text string) (actor.None, error) {
		*s = text
		return actor.None{}, nil
	})
}

func open(t *testing.T, c *memlog.Cluster, kinds ...string) *sealed.Log {
	t.Helper()
	inner := c.Client()
	masters, err := sealed.ParseMasters(strings.Repeat("a1", 32))
	require.NoError(t, err)
	l, err := sealed.Open(t.Context(), inner, masters, kinds...)
	require.NoError(t, err)
	t.Cleanup(func() {
		l.Close()
		inner.Close()
	})
	return l
}

// work runs a worker until stop is called, which waits until all actors sleep: then they are in its store.
func work(t *testing.T, l eventlog.Log, dir string) (stop func()) {
	t.Helper()
	registry := actor.NewRegistry()
	register(registry)
	w, err := host.Open(l, registry, host.Config{DataDir: dir, SleepAfter: 10 * time.Millisecond, CheckpointEvery: 50 * time.Millisecond})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		require.Eventually(t, func() bool { s := w.Shards(); return len(s) > 0 && s[0].Awake == 0 }, 20*time.Second, 5*time.Millisecond)
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, w.Close())
	})
	t.Cleanup(stop)
	return stop
}

func client(t *testing.T, l eventlog.Log) *remote.Client {
	t.Helper()
	c, err := remote.Open(l, remote.Config{})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func whom(key string) erase.Whom {
	return erase.Whom{Hash: schemas.HashOf("default", "note", schemas.Key{key}), Actor: &actorlogv1.Actor{Namespace: "default", Kind: "note", Key: []string{key}}}
}

func say(t *testing.T, c *remote.Client, key, text string) {
	t.Helper()
	_, err := write.Call(t.Context(), notes.GetOrCreate(c, key), text)
	require.NoError(t, err)
}

func kept(t *testing.T, r *erase.Report, place string) erase.Kept {
	t.Helper()
	for _, k := range r.Kept {
		if k.Place == place {
			return k
		}
	}
	t.Fatalf("the report has no %s", place)
	return erase.Kept{}
}

// What was written before the kind was sealed is found in topics and in the local store, where it has been replaced since; what was written after it is found erased. The same
// report comes over HTTP.
func TestErase(t *testing.T) {
	t.Parallel()
	c := memlog.NewCluster(1)
	dir := t.TempDir()
	stored := func(o erase.Options) erase.Options {
		o.Stores, o.Canary = []erase.Store{host.StoreDir(dir)}, canary
		return o
	}
	// In the clear.
	plain := open(t, c)
	stop := work(t, plain, dir)
	caller := client(t, plain)
	say(t, caller, "old", canary)
	_, err := erase.Erase(t.Context(), caller, whom("old"), erase.Options{})
	require.ErrorIs(t, err, erase.ErrNeverSealed)
	_, err = erase.Look(t.Context(), plain, whom("nobody"), erase.Options{})
	require.ErrorIs(t, err, erase.ErrUnknown)
	_, err = erase.Look(t.Context(), c.Client(), whom("old"), erase.Options{})
	require.ErrorIs(t, err, erase.ErrUnsealed)
	stop()
	r, err := erase.Look(t.Context(), plain, whom("old"), stored(erase.Options{}))
	require.NoError(t, err)
	for _, place := range []string{"actions", "events", dir} {
		k := kept(t, r, place)
		require.Positive(t, k.Plain, place)
		require.Positive(t, k.Canary, place)
		require.Contains(t, strings.Join(r.Left, "\n"), "the canary is in", place)
	}
	require.Contains(t, strings.Join(r.Left, "\n"), "are not sealed: end its worker, delete the directory")

	// Sealed from now on.
	log := open(t, c, "note")
	stop = work(t, log, dir)
	caller = client(t, log)
	say(t, caller, "old", canary)
	say(t, caller, "new", canary)
	stop()
	stop = work(t, log, dir)
	r, err = erase.Look(t.Context(), log, whom("new"), stored(erase.Options{}))
	require.NoError(t, err)
	require.Nil(t, r.Done)
	require.Empty(t, r.Left)
	for _, place := range []string{"actions", "events", "snapshots", dir} {
		k := kept(t, r, place)
		require.Positive(t, k.Sealed, place)
		require.Zero(t, k.Canary, place)
	}
	r, err = erase.Look(t.Context(), log, whom("old"), stored(erase.Options{}))
	require.NoError(t, err)
	require.NotEmpty(t, r.Left, "what an erasure would leave")

	// Erased: over HTTP, and as the command does it.
	handler := operate.Handler(caller, operate.Config{Erase: stored(erase.Options{})})
	ask := func(method, body string) (r erase.Report) {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/admin/erase/note/new", strings.NewReader(body)))
		require.Equal(t, 200, w.Code, w.Body.String())
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &r))
		return r
	}
	require.Nil(t, ask("GET", "").Done)
	require.Nil(t, ask("POST", `{"canary": "x"}`).Done)
	r, err = erase.Erase(t.Context(), caller, whom("old"), stored(erase.Options{By: "ann"}))
	require.NoError(t, err)
	require.Contains(t, r.Left[0], "1 records in actions were written before its kind was sealed")
	require.NotNil(t, r.Done)
	over := ask("POST", `{"yes": true, "canary": "`+canary+`"}`)
	require.Empty(t, over.Left)
	require.Equal(t, 1, over.Done.Keys)
	require.Len(t, over.Done.Destroyed, 2)
	require.Zero(t, over.Keys.Living-1, "that of the answer that nobody lives")
	require.Equal(t, "new", over.Key[0])
	for _, place := range []string{"actions", "events", dir} { // in which the worker writes meanwhile
		require.Positive(t, kept(t, &over, place).Erased, place)
		require.Zero(t, kept(t, &over, place).Canary, place)
	}
	require.Positive(t, over.Keys.Awaiting)
	// What it was cannot be brought back, nor copied.
	reader, first := replay.NewReader(log, replay.Options{}), replay.Point{Number: 1}
	_, err = restore.Undo(t.Context(), caller, reader, whom("new").Hash, first, restore.Options{})
	require.ErrorIs(t, err, restore.ErrNothing)
	require.ErrorContains(t, err, "erased")
	_, err = restore.Fork(t.Context(), caller, reader, whom("new").Hash, first, restore.Target{Key: schemas.Key{"copy"}}, restore.Options{})
	require.ErrorIs(t, err, restore.ErrNothing)
	require.ErrorContains(t, err, "erased")

	_, err = write.Call(t.Context(), notes.GetOrCreate(caller, "new"), "another life")
	require.NoError(t, err)

	// By its id alone, and again. The store is a cache: without it, nothing of the one that was written in the clear is on this disk.
	stop()
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, os.Mkdir(dir, 0o700))
	_, err = erase.Look(t.Context(), log, whom("old"), stored(erase.Options{}))
	require.ErrorIs(t, err, host.ErrNoStore)
	stop = work(t, log, dir)
	defer stop()
	c.Compact(eventlog.Keys, 0, 1000)
	c.Compact(eventlog.Snapshots, 0, 1000)
	r, err = erase.Look(t.Context(), log, whom("new"), stored(erase.Options{}))
	require.NoError(t, err)
	require.Contains(t, r.Awaits, "0 wrapped keys stay on the disks of the brokers.")
	r, err = erase.Erase(t.Context(), caller, erase.Whom{Hash: whom("new").Hash}, stored(erase.Options{}))
	require.NoError(t, err)
	require.Empty(t, r.Left)
	require.Equal(t, "note", r.Kind)
}

// tables is a projection that is one step behind, and where something is left.
type tables struct {
	behind []uint32
	open   int64
	erased int
	fails  error
}

func (p *tables) Behind(context.Context, string, schemas.Position) ([]uint32, error) {
	return p.behind, nil
}

func (p *tables) Erase(context.Context, schemas.Hash, schemas.Position) error {
	p.erased++
	p.open = 0
	return nil
}

func (p *tables) Remains(_ context.Context, _ schemas.Hash, before *schemas.Position, _ string) ([]projection.Remains, error) {
	return []projection.Remains{{Table: "events_1", Rows: 3, Open: p.open, Replaced: 2, ReplacedFor: 480}}, p.fails
}

// Projectors are waited for, not for ever; what one has left is erased; and nothing is begun where the projection cannot be asked.
func TestErase_Projection(t *testing.T) {
	t.Parallel()
	c := memlog.NewCluster(1)
	log := open(t, c, "note")
	work(t, log, "")
	caller := client(t, log)
	say(t, caller, "ann", canary)
	away := errors.New("ClickHouse is away")
	p := &tables{open: 3, fails: away}
	_, err := erase.Erase(t.Context(), caller, whom("ann"), erase.Options{Projection: p})
	require.ErrorIs(t, err, away)
	_, err = write.Call(t.Context(), notes.Get(caller, "ann"), canary)
	require.NoError(t, err, "nothing was done")

	p.fails, p.behind = nil, []uint32{7}
	r, err := erase.Erase(t.Context(), caller, whom("ann"), erase.Options{Projection: p, Wait: time.Millisecond})
	require.NoError(t, err)
	require.Len(t, r.Left, 2)
	require.Contains(t, r.Left[0], "build 7 of the projection in ClickHouse is not projected past 0:")
	require.Contains(t, r.Left[1], "3 rows of events_1")
	require.Zero(t, p.erased)

	p.behind = nil
	r, err = erase.Erase(t.Context(), caller, whom("ann"), erase.Options{Projection: p})
	require.NoError(t, err)
	require.Empty(t, r.Left)
	require.Equal(t, 1, p.erased)
	require.Contains(t, strings.Join(r.Awaits, "\n"), "2 replaced parts of events_1 in ClickHouse cannot be queried and may have what was there; the server deletes them within 8m0s.")
}
