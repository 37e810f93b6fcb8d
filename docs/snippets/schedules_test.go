package snippets_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
)

// snippet: pass

// Pass is for one day, unless it is bought.
type Pass struct {
	Plan  string   `json:"plan"`
	Mails []string `json:"mails"`
}

var (
	passes = actor.New[Pass]("pass")
	start  = actor.Action[actor.None, string](passes, "start")
	buy    = actor.Action[actor.None, bool](passes, "buy")
	expire = actor.Action[actor.None, actor.None](passes, "expire")
	mail   = actor.Action[string, actor.None](passes, "mail")
)

func (s *Pass) start(c *actor.Ctx, _ actor.None) (string, error) {
	s.Plan = "day"
	c.After(time.Hour, mail.With("how do you like it?"))
	c.At(c.Now().AddDate(0, 0, 1), expire.With(actor.None{}), actor.ScheduleID("expiry"))
	return c.Cron("0 9 * * *", "Europe/Berlin", mail.With("good morning"), actor.ScheduleID("daily")), nil
}

func (s *Pass) buy(c *actor.Ctx, _ actor.None) (bool, error) {
	s.Plan = "paid"
	return c.Cancel("expiry"), nil
}

// end snippet

func registerPass(r *actor.Registry) {
	actor.On(r, start, (*Pass).start)
	actor.On(r, buy, (*Pass).buy)
	actor.On(r, expire, func(s *Pass, c *actor.Ctx, _ actor.None) (n actor.None, err error) {
		s.Plan = "none"
		c.Cancel("daily")
		return n, nil
	})
	actor.On(r, mail, func(s *Pass, c *actor.Ctx, text string) (n actor.None, err error) {
		s.Mails = append(s.Mails, fmt.Sprintf("%s: %s", c.Now().Format(time.DateTime), text))
		return n, nil
	})
}

func TestPass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // virtual time begins with the year 2000, in UTC
		ctx := t.Context()
		w := actortest.New(t, registerPass)
		ann, bob := passes.GetOrCreate(w.Client, "ann"), passes.GetOrCreate(w.Client, "bob")
		id, err := start.Call(ctx, ann, actor.None{})
		require.NoError(t, err)
		require.Equal(t, "daily", id)
		_, err = start.Call(ctx, bob, actor.None{})
		require.NoError(t, err)
		cancelled, err := buy.Call(ctx, bob, actor.None{})
		require.NoError(t, err)
		require.True(t, cancelled)
		cancelled, err = buy.Call(ctx, bob, actor.None{})
		require.NoError(t, err)
		require.False(t, cancelled)

		time.Sleep(25 * time.Hour)
		s, err := ann.Read(ctx)
		require.NoError(t, err)
		require.Equal(t, Pass{Plan: "none", Mails: []string{
			"2000-01-01 01:00:00: how do you like it?", "2000-01-01 08:00:00: good morning",
		}}, s)
		s, err = bob.Read(ctx)
		require.NoError(t, err)
		require.Equal(t, "paid", s.Plan)
		require.Len(t, s.Mails, 2)
	})
}

type Sync struct {
	Runs []string `json:"runs"`
	Fail int      `json:"fail"`
}

var (
	syncs  = actor.New[Sync]("sync")
	setUp  = actor.Action[actor.None, actor.None](syncs, "setUp")
	pull   = actor.Action[string, actor.None](syncs, "pull")
	listed = actor.Action[actor.None, []string](syncs, "listed")
)

func registerSync(r *actor.Registry) {
	actor.On(r, setUp, func(_ *Sync, c *actor.Ctx, _ actor.None) (n actor.None, err error) {
		// snippet: schedule-options
		c.Every(10*time.Minute, pull.With("all"), actor.ScheduleID("all"), actor.OnMissed(actor.Skip))
		c.Every(10*time.Minute, pull.With("invoices"), actor.ScheduleID("invoices"), actor.OnMissed(actor.FireAll))
		c.After(time.Minute, pull.With("first"), actor.OnFailure(actor.Retry{Attempts: 5, Backoff: time.Second}))
		// end snippet
		return n, nil
	})
	actor.On(r, pull, func(s *Sync, c *actor.Ctx, what string) (n actor.None, err error) {
		if what == "first" {
			sch, ok := c.Schedule(c.Caller().ScheduleID)
			if !ok || sch.FailedAttempts < 2 {
				return n, errors.New("not yet")
			}
		}
		s.Runs = append(s.Runs, fmt.Sprintf("%s %s late %v", what, c.ScheduledTime().Format(time.TimeOnly), c.Now().Sub(c.ScheduledTime()).Round(time.Second)))
		return n, nil
	})
	actor.On(r, listed, func(_ *Sync, c *actor.Ctx, _ actor.None) ([]string, error) {
		// snippet: schedule-list
		var lines []string
		for _, s := range c.Schedules() {
			lines = append(lines, fmt.Sprintf("%s runs %s next at %s", s.ID, s.Action, s.Next.Format(time.TimeOnly)))
		}
		// end snippet
		return lines, nil
	})
}

func TestScheduleOptions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, registerSync)
		h := syncs.GetOrCreate(w.Client)
		_, err := setUp.Call(ctx, h, actor.None{})
		require.NoError(t, err)
		lines, err := listed.Call(ctx, h, actor.None{})
		require.NoError(t, err)
		require.Contains(t, lines, "all runs pull next at 00:10:00")
		time.Sleep(11 * time.Minute)

		// Nobody is there for half an hour.
		w.Stop(w.Crash())
		time.Sleep(30 * time.Minute)
		w.StartWorker()
		time.Sleep(time.Minute)
		s, err := h.Read(ctx)
		require.NoError(t, err)
		require.Equal(t, []string{
			"first 00:01:00 late 3s", // failed, after 1 s failed again, after 2 more succeeded
			"all 00:10:00 late 0s", "invoices 00:10:00 late 0s",
			"invoices 00:20:00 late 21m0s", "invoices 00:30:00 late 11m0s", "invoices 00:40:00 late 1m0s",
		}, s.Runs)
		require.NoError(t, actor.ValidateCron("@daily", "Asia/Tokyo"))
		require.Error(t, actor.ValidateCron("at noon", ""))
	})
}
