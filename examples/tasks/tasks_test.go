package tasks_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/tasks"
)

// store is a Store that takes three seconds for a file, and notes who asked.
type store struct {
	mu    sync.Mutex
	puts  []string
	stuck bool // refuses everything
}

func (s *store) Put(ctx context.Context, content []byte) (string, error) {
	s.mu.Lock()
	s.puts = append(s.puts, string(content))
	stuck := s.stuck
	s.mu.Unlock()
	if stuck {
		return "", errors.New("the disk is full")
	}
	select {
	case <-time.After(3 * time.Second):
		return "ref-" + string(content), nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (s *store) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.puts...)
}

func (s *store) jam() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stuck = true
}

func register(s tasks.Store) func(*actor.Registry) {
	return func(r *actor.Registry) { tasks.Register(r, s) }
}

// A new web site, from the plan to the launch.
func TestStory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // it is midnight
		ctx := t.Context()
		w := actortest.New(t, register(new(store)))
		site, err := tasks.ProjectKind.Create(ctx, w.Client, tasks.ProjectInput{Zone: "UTC"}, "site")
		require.NoError(t, err)
		events := w.Watch("project", "site")

		// Two tasks. Whoever has the answer can go to the task at once.
		text, err := tasks.Add.Call(ctx, site, tasks.TaskInput{Title: "Text", Due: time.Now().Add(7 * time.Hour)})
		require.NoError(t, err)
		_, err = tasks.Rename.Call(ctx, task(w, text.ID), "All of the text")
		require.NoError(t, err)
		launch, err := tasks.Add.Call(ctx, site, tasks.TaskInput{Title: "Launch"})
		require.NoError(t, err)

		// A task without a title is refused by the task, and the project passes that on. There is no third task.
		_, err = tasks.Add.Call(ctx, site, tasks.TaskInput{})
		require.ErrorIs(t, err, actor.UserError("bad_title", ""))

		// The list hears of the new title, a moment later.
		time.Sleep(time.Second)
		list := listOf(ctx, t, site)
		require.Equal(t, []string{"All of the text", "Launch"}, titles(list))

		// The worker dies. At seven the text is due all the same, and at eight the digest says so.
		w.Crash()
		time.Sleep(8 * time.Hour)
		require.Equal(t, tasks.Digest{Open: 2, Overdue: []string{"All of the text"}}, next[tasks.Digest](t, events, tasks.Morning.Name()))

		// It gets until noon, and is done by eleven. Noon passes without a word.
		_, err = tasks.SetDue.Call(ctx, task(w, text.ID), time.Now().Add(4*time.Hour))
		require.NoError(t, err)
		time.Sleep(3 * time.Hour)
		_, err = tasks.Complete.Call(ctx, task(w, text.ID), actor.None{})
		require.NoError(t, err)
		time.Sleep(21 * time.Hour)
		require.Equal(t, tasks.Digest{Open: 1, Overdue: []string{}}, next[tasks.Digest](t, events, tasks.Morning.Name()))

		// The launch is called off. However the task ends, its project knows.
		require.NoError(t, task(w, launch.ID).Destroy(ctx))
		require.Equal(t, "Launch", next[tasks.Entry](t, events, tasks.Unlisted.Name()).Title)
		_, err = tasks.Complete.Call(ctx, task(w, launch.ID), actor.None{})
		require.ErrorIs(t, err, actor.ErrNotFound)

		// And a weekend without workers has one digest, not three.
		w.Stop(w.Worker())
		time.Sleep(72 * time.Hour)
		w.StartWorker()
		require.Equal(t, tasks.Digest{Open: 0, Overdue: []string{}}, next[tasks.Digest](t, events, tasks.Morning.Name()))
		_, err = tasks.Remove.Call(ctx, task(w, text.ID), actor.None{})
		require.NoError(t, err)
		require.Equal(t, tasks.Unlisted.Name(), events.Next(t).Name, "there was another digest")
		require.Empty(t, titles(listOf(ctx, t, site)))
	})
}

// Files come all at once, and are attached one after the other, through the death of a worker.
func TestFiles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		files := new(store)
		w := actortest.New(t, register(files))
		e, err := tasks.Add.Call(ctx, tasks.ProjectKind.GetOrCreate(w.Client, "site"), tasks.TaskInput{Title: "Text"})
		require.NoError(t, err)

		// Three files. The worker dies in the middle of the second one.
		names := []string{"a", "b", "c"}
		receipts := make([]tasks.Receipt, len(names))
		var senders sync.WaitGroup
		for i, name := range names {
			senders.Go(func() {
				var err error
				receipts[i], err = tasks.Files.SendAndWait(ctx, task(w, e.ID), tasks.File{Name: name, Content: []byte(name)})
				if err != nil {
					t.Errorf("sending file %s: %v", name, err)
				}
			})
			synctest.Wait()
		}
		time.Sleep(5 * time.Second)
		w.Crash()
		senders.Wait()

		// Every sender has its receipt, every file is there once. The store was asked twice for the second: it is the store that
		// makes this harmless.
		require.Equal(t, []tasks.Receipt{{Ref: "ref-a"}, {Ref: "ref-b"}, {Ref: "ref-c"}}, receipts)
		s, err := task(w, e.ID).Read(ctx)
		require.NoError(t, err)
		require.Equal(t, []tasks.Attached{{"a", "ref-a"}, {"b", "ref-b"}, {"c", "ref-c"}}, s.Files)
		require.Equal(t, []string{"a", "b", "b", "c"}, files.asked())

		// The store is out of order. After three attempts the sender is told, and the next message has its turn.
		files.jam()
		r, err := tasks.Files.SendAndWait(ctx, task(w, e.ID), tasks.File{Name: "d", Content: []byte("d")})
		require.NoError(t, err)
		require.Equal(t, tasks.Receipt{Refused: actor.ErrInternal.Code}, r)
		require.Len(t, files.asked(), 7)
	})
}

// The list is the project's and its tasks': nobody else can change it, nor make a task that is in no list.
func TestOnlyTasksReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, register(new(store)))
		c, err := w.Connect(ctx, nil, "project", "site")
		require.NoError(t, err)
		_, err = c.Call(ctx, "report", tasks.Entry{Title: "Ghost"})
		require.ErrorIs(t, err, actor.ErrForbidden)
		_, err = c.Call(ctx, "dropped")
		require.ErrorIs(t, err, actor.ErrForbidden)
		_, err = tasks.TaskKind.Create(ctx, w.Client, tasks.TaskInput{Title: "Ghost"}, "site", "1")
		require.ErrorIs(t, err, actor.UserError("not_listed", ""))
		_, err = tasks.ProjectKind.Create(ctx, w.Client, tasks.ProjectInput{Zone: "Atlantis"}, "sunk")
		require.ErrorIs(t, err, actor.UserError("bad_zone", ""))
	})
}

func TestDir(t *testing.T) {
	t.Parallel()
	dir := tasks.Dir(filepath.Join(t.TempDir(), "files"))
	ref, err := dir.Put(t.Context(), []byte("hello"))
	require.NoError(t, err)
	again, err := dir.Put(t.Context(), []byte("hello"))
	require.NoError(t, err)
	require.Equal(t, ref, again)
	entries, err := os.ReadDir(string(dir))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	content, err := os.ReadFile(filepath.Join(string(dir), ref))
	require.NoError(t, err)
	require.Equal(t, "hello", string(content))
}

func task(w *actortest.World, id string) actor.Handle[tasks.Task] {
	return tasks.TaskKind.Get(w.Client, "site", id)
}

func listOf(ctx context.Context, t *testing.T, site actor.Handle[tasks.Project]) []tasks.Entry {
	t.Helper()
	entries, err := tasks.List.Call(ctx, site, actor.None{})
	require.NoError(t, err)
	return entries
}

func titles(list []tasks.Entry) []string {
	all := []string{}
	for _, e := range list {
		all = append(all, e.Title)
	}
	return all
}

// next is the next event of a name.
func next[T any](t *testing.T, events *actortest.Events, name string) T {
	t.Helper()
	for {
		e := events.Next(t)
		if e.Name != name {
			continue
		}
		var args []T
		require.NoError(t, json.Unmarshal([]byte(e.Args), &args))
		require.Len(t, args, 1)
		return args[0]
	}
}
