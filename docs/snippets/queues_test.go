package snippets_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
)

// snippet: mailer

type Mailer struct {
	Sent int `json:"sent"`
}

type Mail struct {
	To   string `json:"to"`
	Text string `json:"text"`
}

type Delivered struct {
	ID int64 `json:"id"`
	At string
}

var (
	mailers = actor.New[Mailer]("mailer")
	mails   = actor.Queue[Mail, string](mailers, "mails") // Mail in, a string back to a sender who waits
	noted   = actor.Action[Delivered, actor.None](mailers, "noted")
)

func registerMailer(r *actor.Registry) {
	actor.Accept(r, mails) // messages for a queue that nobody accepts are dropped
	actor.OnRun(r, mailers, deliver)
	actor.On(r, noted, func(s *Mailer, c *actor.Ctx, d Delivered) (n actor.None, err error) {
		s.Sent++
		mails.Complete(c, d.ID, d.At) // the count and the end of the message are one outcome
		return n, nil
	})
}

func deliver(l *actor.Loop) error {
	for {
		m, err := mails.Next(l)
		if err != nil {
			return err // asleep, moved or destroyed: not a failure
		}
		at, err := smtp(l, m.Body)
		if err != nil {
			return err // the message stays, and comes again
		}
		_, err = noted.Call(l, mailers.Self(l), Delivered{ID: m.ID, At: at})
		if err != nil && !errors.Is(err, actor.ErrCompleted) { // completed before: a call of an earlier loop did it
			return err
		}
	}
}

// end snippet

func smtp(l *actor.Loop, m Mail) (string, error) {
	select {
	case <-time.After(time.Second):
		return "mx1 took it for " + m.To, nil
	case <-l.Done():
		return "", l.Err()
	}
}

func TestMailer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, registerMailer)

		// snippet: queue-send
		mailer := mailers.GetOrCreate(w.Client, "eu")
		err := mails.Send(ctx, mailer, Mail{To: "ann"}) // it is in the queue, durably
		require.NoError(t, err)
		reply, err := mails.SendAndWait(ctx, mailer, Mail{To: "bob"}) // it was completed
		require.NoError(t, err)
		require.Equal(t, "mx1 took it for bob", reply)
		// end snippet

		// A worker dies with messages in the queue, one of which is being worked on. None is lost.
		for range 5 {
			require.NoError(t, mails.Send(ctx, mailer, Mail{To: "eve"}))
		}
		time.Sleep(time.Second / 2)
		w.Crash()
		time.Sleep(time.Minute)
		s, err := mailer.Read(ctx)
		require.NoError(t, err)
		require.Equal(t, 7, s.Sent)
	})
}

func TestQueueLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		idle := actor.New[Mailer]("idle")
		q := actor.Queue[[]byte, actor.None](idle, "q")
		nobody := actor.Queue[int, actor.None](idle, "nobody")
		w := actortest.New(t, func(r *actor.Registry) { actor.Accept(r, q) })
		h := idle.GetOrCreate(w.Client)
		require.NoError(t, nobody.Send(ctx, h, 1), "dropped, as Rivet does")
		require.ErrorIs(t, q.Send(ctx, h, make([]byte, 64<<10)), actor.ErrMessageTooLarge)
		for range actor.MaxQueued {
			require.NoError(t, q.Send(ctx, h, nil))
		}
		require.ErrorIs(t, q.Send(ctx, h, nil), actor.ErrQueueFull)
	})
}
