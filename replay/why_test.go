package replay_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/examples/lobby"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// told is links in a few words each: how, and of whom what was asked.
func told(links []replay.Link) []string {
	all := []string{}
	for _, l := range links {
		text := l.How + " " + l.Missing
		if l.Entry != nil {
			what := l.Entry.Action
			if what == "" {
				what = l.Entry.Type
			}
			text = l.How + " " + l.Entry.Kind + " " + what
		}
		all = append(all, text)
	}
	return all
}

func why(t *testing.T, r *replay.Reader, v *replay.Entry) *replay.Explanation {
	t.Helper()
	at, err := schemas.ParsePosition(v.Position)
	require.NoError(t, err)
	x, err := r.Why(t.Context(), at)
	require.NoError(t, err)
	return x
}

// one is the only entry of an actor with a type and, unless it is empty, a name.
func one(t *testing.T, all []*replay.Entry, kind, name string) *replay.Entry {
	t.Helper()
	var found *replay.Entry
	for _, v := range all {
		if v.Type == kind && (name == "" || v.Action == name) {
			require.Nil(t, found, "there are several %s %s", kind, name)
			found = v
		}
	}
	require.NotNil(t, found, "%s %s", kind, name)
	return found
}

// What a client did through its connection leads to the connection, and a message to what completed it, in both directions.
func TestWhy_ConnectionsAndMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := actortest.New(t, lobby.Register)
		log := w.Cluster.Client()
		defer log.Close()
		r := replay.NewReader(log, replay.Options{})
		ann, err := w.Connect(t.Context(), lobby.Params{Name: "ann"}, "lobby", "eu")
		require.NoError(t, err)
		bob, err := w.Connect(t.Context(), lobby.Params{Name: "bob"}, "lobby", "eu")
		require.NoError(t, err)
		_, err = bob.Call(t.Context(), lobby.Rename.Name(), "rob")
		require.NoError(t, err)
		require.NoError(t, bob.Close(t.Context(), "bye"))
		_, err = ann.Call(t.Context(), lobby.Shout.Name(), "hello")
		require.NoError(t, err)
		eu := lobby.Kind.Get(w.Client, "eu")
		_, err = lobby.Orders.SendAndWait(t.Context(), eu, lobby.Order{Game: "go"})
		require.NoError(t, err)
		require.NoError(t, lobby.Parked.Send(t.Context(), eu, lobby.Order{Game: "chess"}))

		all := entries(t, r, schemas.HashOf("default", "lobby", schemas.Key{"eu"}), replay.Query{})
		x := why(t, r, one(t, all, "invoke", "shout"))
		require.Equal(t, []string{"came through the connection of lobby connect"}, told(x.Causes))
		require.Contains(t, string(x.Causes[0].Entry.Body), "ann", "of hers, and not of the other one that is there")
		for _, v := range []*replay.Entry{one(t, all, "invoke", "rename"), one(t, all, "disconnect", "")} {
			x := why(t, r, v)
			require.Equal(t, []string{"came through the connection of lobby connect"}, told(x.Causes))
			require.Contains(t, string(x.Causes[0].Entry.Body), "bob")
		}
		issued := one(t, all, "invoke", "issue") // by the actor's loop
		require.Equal(t, []string{"completes lobby orders"}, told(why(t, r, issued).Causes))
		require.Equal(t, []string{"was completed by lobby issue"}, told(why(t, r, one(t, all, "enqueue", "orders")).Effects))
		require.Equal(t, []string{"was completed by has not happened yet"}, told(why(t, r, one(t, all, "enqueue", "parked")).Effects))
	})
}

type job struct{ Done int }

var (
	jobs   = actor.New[job]("job")
	work   = actor.Action[actor.None, int](jobs, "work")
	deadly = actor.Action[actor.None, int](jobs, "deadly")
	letter = actor.Queue[string, actor.None](jobs, "letter")
)

// A recorded step leads to its action, what a loop completes by itself to the message, and what was set aside and then let run to what it takes the place of.
func TestWhy_StepsAndWhatWasParked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var defused atomic.Bool
		bang := make(chan struct{})
		w := actortest.New(t, func(r *actor.Registry) {
			actor.On(r, work, func(s *job, c *actor.Ctx, _ actor.None) (int, error) {
				n, err := actor.Run(c, "measure", func(context.Context) (int, error) { return 7, nil })
				s.Done += n
				return n, err
			})
			actor.On(r, deadly, func(s *job, c *actor.Ctx, _ actor.None) (int, error) {
				if !defused.Load() {
					bang <- struct{}{}
					<-c.Done() // the process is gone
					return 0, c.Err()
				}
				s.Done++
				return s.Done, nil
			})
			actor.Accept(r, letter)
			actor.OnRun(r, jobs, func(l *actor.Loop) error {
				for {
					m, err := letter.Next(l)
					if err != nil {
						return err
					}
					if err := m.Complete(actor.None{}); err != nil {
						return err
					}
				}
			})
		})
		log := w.Cluster.Client()
		defer log.Close()
		r := replay.NewReader(log, replay.Options{})
		h := jobs.GetOrCreate(w.Client, "a")
		_, err := work.Call(t.Context(), h, actor.None{})
		require.NoError(t, err)
		_, err = letter.SendAndWait(t.Context(), h, "dear actor")
		require.NoError(t, err)
		failed := make(chan error, 1)
		go func() {
			_, err := deadly.Call(t.Context(), h, actor.None{})
			failed <- err
		}()
		for range 3 {
			<-bang
			w.Crash()
		}
		require.ErrorIs(t, <-failed, actor.ErrParked)
		defused.Store(true)
		items, err := w.Client.Parked(t.Context())
		require.NoError(t, err)
		require.Len(t, items, 1)
		_, err = w.Client.Unpark(t.Context(), items[0].Position, false)
		require.NoError(t, err)
		time.Sleep(time.Second)

		all := entries(t, r, schemas.HashOf("default", "job", schemas.Key{"a"}), replay.Query{})
		require.Equal(t, []string{"a step of job work"}, told(why(t, r, one(t, all, "step", "measure")).Causes))
		require.Equal(t, []string{"completes job letter"}, told(why(t, r, one(t, all, "complete", "")).Causes))
		var parked, again *replay.Entry
		for _, v := range all {
			switch {
			case v.Parked > 0:
				parked = v
			case v.Action == "deadly":
				again = v
			}
		}
		require.NotNil(t, parked)
		require.NotNil(t, again)
		x := why(t, r, again)
		require.Equal(t, []string{"takes the place of job deadly"}, told(x.Causes))
		require.Equal(t, parked.Position, x.Causes[0].Entry.Position)
		require.JSONEq(t, `8`, string(again.Result), "it ran")
	})
}

// A schedule in another time zone is another schedule.
func TestDiff_Schedules(t *testing.T) {
	t.Parallel()
	of := func(s *actorlogv1.Schedule) *machine.Actor {
		a := machine.NewActor(hashOf(0))
		a.Schedules = []*actorlogv1.Schedule{s}
		return &a
	}
	was := &actorlogv1.Schedule{Id: "digest", Action: "digest", Cron: "0 8 * * *", TimeZone: "UTC", Missed: actorlogv1.Schedule_MISSED_FIRE_ONCE, MaxAttempts: 1}
	for name, change := range map[string]func(*actorlogv1.Schedule){
		"nothing":     func(*actorlogv1.Schedule) {},
		"timeZone":    func(s *actorlogv1.Schedule) { s.TimeZone = "Europe/Berlin" },
		"missed":      func(s *actorlogv1.Schedule) { s.Missed = actorlogv1.Schedule_MISSED_SKIP },
		"maxAttempts": func(s *actorlogv1.Schedule) { s.MaxAttempts = 3 },
		"failed":      func(s *actorlogv1.Schedule) { s.Failed = 1 },
	} {
		is := proto.CloneOf(was)
		change(is)
		d, err := replay.Diff(of(was), of(is))
		require.NoError(t, err)
		if name == "nothing" {
			require.Empty(t, d.Parts)
			continue
		}
		require.Len(t, d.Parts, 1, name)
		require.Contains(t, string(d.Parts[0].After), name)
		require.NotEqual(t, string(d.Parts[0].Before), string(d.Parts[0].After))
	}
}
