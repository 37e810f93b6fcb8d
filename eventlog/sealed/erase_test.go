package sealed_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/archive"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/eventlog/sealed"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/replay/evidence"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

const canary = "canary-7f3a"

// An actor that has something to hide.
type profile struct{ Name string }

var (
	profileKind = actor.New[profile]("profile")
	rename      = actor.Action[string, string](profileKind, "rename")
	refuse      = actor.Action[string, actor.None](profileKind, "refuse")
	renamed     = actor.Event[string](profileKind, "renamed")
)

func registerProfile(r *actor.Registry) {
	actor.InitialState(r, profileKind, profile{})
	actor.On(r, rename, func(s *profile, c *actor.Ctx, name string) (string, error) {
		old := s.Name
		s.Name = name
		if _, err := actor.Run(c, "look up", func(context.Context) (string, error) { return "looked up " + name, nil }); err != nil {
			return "", err
		}
		c.Broadcast(renamed.With(name))
		c.After(time.Hour, rename.With(name))
		return old, nil
	})
	actor.On(r, refuse, func(s *profile, c *actor.Ctx, name string) (actor.None, error) {
		return actor.None{}, actor.UserError("no", "not "+name)
	})
}

// work runs a worker until stop is called.
func work(t *testing.T, l eventlog.Log, dir string) (stop func()) {
	t.Helper()
	registry := actor.NewRegistry()
	registerProfile(registry)
	w, err := host.Open(l, registry, host.Config{DataDir: dir, SleepAfter: 10 * time.Millisecond, CheckpointEvery: 50 * time.Millisecond})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	return func() {
		cancel()
		require.NoError(t, <-done)
		require.NoError(t, w.Close())
	}
}

// leaks says where a text is, in the records as the brokers have them and in the files below a directory.
func leaks(t *testing.T, c *memlog.Cluster, dirs ...string) (where []string) {
	t.Helper()
	for _, topic := range append(eventlog.Topics(), eventlog.Keys) {
		for _, r := range c.Records(topic, 0) {
			if bytes.Contains(r.Value, []byte(canary)) {
				where = append(where, topic.String())
			}
		}
	}
	for _, dir := range dirs {
		require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			if bytes.Contains(text, []byte(canary)) {
				where = append(where, path)
			}
			return err
		}))
	}
	return where
}

// An actor is used, sleeps, is checkpointed, archived, and moves between workers, and nothing of what it holds is readable in what brokers and disks have. Then it is erased,
// and nobody can read it any more; its key may be used again, and the hash chain is whole.
func TestErase(t *testing.T) {
	t.Parallel()
	c := memlog.NewCluster(1)
	m := masters(t, keyA)
	log := open(t, c, m, "profile")
	store, files := t.TempDir(), t.TempDir()
	stop := work(t, log, store)
	client, err := remote.Open(open(t, c, m, "profile"), remote.Config{})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	h := profileKind.GetOrCreate(client, "ann")
	hash := schemas.HashOf("default", "profile", []string{"ann"})
	_, err = rename.Call(t.Context(), h, canary)
	require.NoError(t, err)
	_, err = refuse.Call(t.Context(), h, canary)
	require.ErrorContains(t, err, "not "+canary)
	other := profileKind.GetOrCreate(client, "bob")
	_, err = rename.Call(t.Context(), other, "bob")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(c.Records(eventlog.Snapshots, 0)) > 2 }, 10*time.Second, 5*time.Millisecond, "checkpoints")
	stop()
	require.NoError(t, archive.Copy(t.Context(), log, files, archive.Options{}, nil))
	require.Empty(t, leaks(t, c, store, files))

	// Another worker, first with the store of the first and then without, knows all of it.
	for _, dir := range []string{store, ""} {
		stop = work(t, log, dir)
		old, err := rename.Call(t.Context(), h, canary)
		require.NoError(t, err)
		require.Equal(t, canary, old)
		if dir != "" {
			stop()
		}
	}

	d, _, err := client.Do(t.Context(), remote.Request{Hash: hash, Action: &actorlogv1.Action{
		Actor: &actorlogv1.Actor{Namespace: "default", Kind: "profile", Key: []string{"ann"}},
		Body:  &actorlogv1.Action_Destroy{Destroy: &actorlogv1.Destroy{Erase: true}},
	}})
	require.NoError(t, err)
	require.NoError(t, actor.OutcomeError(d.Outcome))
	require.True(t, d.Outcome.Action.GetDestroy().Erase, "whoever follows the log hears of it")
	_, err = log.Retire(t.Context(), hash)
	require.NoError(t, err)
	n, err := log.Destroy(t.Context(), hash)
	require.NoError(t, err)
	require.Positive(t, n)
	places, err := log.Survey(t.Context(), hash, canary)
	require.NoError(t, err)
	for _, p := range places {
		require.Zero(t, p.Canary)
		if p.Topic != eventlog.Keys {
			require.Zero(t, p.Plain)
			require.Zero(t, p.Sealed, p.Topic)
		}
		if p.Topic == eventlog.Events {
			require.Greater(t, p.Erased, 3)
		}
	}
	require.Positive(t, places[3].Awaiting, "the brokers have not compacted the keys yet")
	c.Compact(eventlog.Keys, 0, 1000)
	places, err = log.Survey(t.Context(), hash, "")
	require.NoError(t, err)
	require.Zero(t, places[3].Awaiting)

	// History can be read, and says nothing.
	before, err := archive.Open(log.Log, files)
	require.NoError(t, err)
	for _, source := range []eventlog.Log{log, must(sealed.Open(t.Context(), before, m))} {
		events := 0
		for moment, err := range replay.NewReader(source, replay.Options{}).Fold(t.Context(), hash, 0) {
			require.NoError(t, err)
			require.Empty(t, moment.After.Broken)
			require.NotContains(t, string(moment.After.State), canary)
			if moment.After.Alive {
				require.Equal(t, schemas.Erased, string(moment.After.State))
			}
			events++
		}
		require.Greater(t, events, 3)
	}
	report, err := evidence.Verify(t.Context(), log, 0, nil, nil)
	require.NoError(t, err)
	require.Nil(t, report.Finding, "the chain is over what is kept, and that has not changed")
	require.Positive(t, report.Heads)

	// A worker that recovers all of it goes on, with what the store of the first has of the actor and without; others are as they were.
	for _, dir := range []string{store, ""} {
		stop()
		stop = work(t, log, dir)
		old, err := rename.Call(t.Context(), other, "bob")
		require.NoError(t, err)
		require.Equal(t, "bob", old)
	}
	old, err := rename.Call(t.Context(), h, "a new life")
	require.NoError(t, err)
	require.Empty(t, old)
	stop()
	require.Empty(t, leaks(t, c, store, files))

	// A worker that was not given the keys does not serve what it cannot read.
	plain := c.Client()
	t.Cleanup(plain.Close)
	registry := actor.NewRegistry()
	registerProfile(registry)
	failed := make(chan error, 100)
	w, err := host.Open(plain, registry, host.Config{Events: host.EventListener{ShardRetry: func(_ int32, err error) { failed <- err }}})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	require.ErrorIs(t, <-failed, schemas.ErrSealed)
	cancel()
	require.NoError(t, <-done)
	require.NoError(t, w.Close())
}

func must(l *sealed.Log, err error) eventlog.Log {
	if err != nil {
		panic(err)
	}
	return l
}
