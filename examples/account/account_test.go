package account_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/account"
	"github.com/actorlog/actorlog/internal/seed"
)

// Ann pays her rent, once to an account that takes it and once to one that does not.
func TestStory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, account.Register)
		ann, bob := account.Kind.GetOrCreate(w.Client, "ann"), account.Kind.GetOrCreate(w.Client, "bob")
		anns := w.Watch("account", "ann")

		// Pay day. The line is bad and the employer asks twice, with the same key: there is one deposit.
		for range 2 {
			b, err := account.Deposit.Call(ctx, ann.Idempotent("pay-day"), 1000)
			require.NoError(t, err)
			require.Equal(t, account.Balance{Cents: 1000}, b)
		}
		require.Equal(t, actortest.Event{Name: "balance", Args: `[{"cents":1000,"underWay":0}]`}, anns.Next(t))

		// She cannot take out what she does not have, and is told how much is missing.
		_, err := account.Withdraw.Call(ctx, ann, 1500)
		require.ErrorIs(t, err, actor.UserError("insufficient_funds", ""))
		require.JSONEq(t, `{"cents": 1000, "missing": 500}`, metadata(t, err))

		// She pays the rent. The money leaves at once, and the worker dies right then.
		rent, err := account.Pay.Call(ctx, ann, account.Order{To: "bob", Cents: 700, Note: "rent"})
		require.NoError(t, err)
		require.Equal(t, account.UnderWay, rent.Status)
		require.Equal(t, actortest.Event{Name: "balance", Args: `[{"cents":300,"underWay":700}]`}, anns.Next(t))
		w.Crash()

		// It arrives, once.
		require.Equal(t, account.Paid, settled(t, anns).Status)
		require.Equal(t, actortest.Event{Name: "balance", Args: `[{"cents":300,"underWay":0}]`}, anns.Next(t))
		b, err := account.Withdraw.Call(ctx, bob, 700)
		require.NoError(t, err)
		require.Equal(t, account.Balance{}, b)

		// Bob closes his account. The next rent comes back, with the reason.
		_, err = account.Close.Call(ctx, bob, actor.None{})
		require.NoError(t, err)
		_, err = account.Pay.Call(ctx, ann, account.Order{To: "bob", Cents: 300})
		require.NoError(t, err)
		require.Equal(t, actortest.Event{Name: "balance", Args: `[{"cents":0,"underWay":300}]`}, anns.Next(t))
		returned := settled(t, anns)
		require.Equal(t, account.Returned, returned.Status)
		require.Equal(t, "account_closed", returned.Reason)
		require.Equal(t, actortest.Event{Name: "balance", Args: `[{"cents":300,"underWay":0}]`}, anns.Next(t))

		// An hour later all of it is still known.
		time.Sleep(time.Hour)
		w.Crash()
		all, err := account.Transfers.Call(ctx, ann, actor.None{})
		require.NoError(t, err)
		require.Len(t, all, 2)
		require.Equal(t, rent.ID, all[0].ID)
	})
}

// What accounts tell each other is not for clients: somebody who could say it would make money.
func TestOnlyAccountsMayTellAccountsOfMoney(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := actortest.New(t, account.Register)
		thief, err := w.Connect(t.Context(), nil, "account", "thief")
		require.NoError(t, err)
		_, err = thief.Call(t.Context(), "receive", map[string]any{"id": "x", "cents": 1000})
		require.ErrorIs(t, err, actor.ErrForbidden)
		_, err = thief.Call(t.Context(), "settle", map[string]any{"id": "x", "refused": "because"})
		require.ErrorIs(t, err, actor.ErrForbidden)
	})
}

// Four clients move money between six accounts as they like, and workers die at any moment. In the end there is as much
// as was deposited, less what was withdrawn.
func TestMoneyIsNeverLostOrMade(t *testing.T) {
	t.Parallel()
	first := seed.New(t)
	for n := range uint64(8) {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { moveMoney(t, rand.New(rand.NewPCG(first, n))) })
		})
	}
}

func moveMoney(t *testing.T, dice *rand.Rand) {
	const accounts, clients, orders = 6, 4, 40
	ctx := t.Context()
	w := actortest.New(t, account.Register)

	totals := make([]int64, clients)
	var running sync.WaitGroup
	for n := range clients {
		own := rand.New(rand.NewPCG(dice.Uint64(), dice.Uint64())) // of one goroutine
		running.Go(func() {
			for i := range orders {
				time.Sleep(time.Duration(own.IntN(500)) * time.Millisecond)
				name := fmt.Sprint("account-", own.IntN(accounts))
				h := account.Kind.GetOrCreate(w.Client, name).Idempotent(fmt.Sprintf("client-%d-order-%d", n, i))
				cents := own.Int64N(100) + 1
				switch own.IntN(5) {
				case 0, 1:
					if certainly(ctx, t, account.Deposit, h, cents) {
						totals[n] += cents
					}
				case 2:
					if certainly(ctx, t, account.Withdraw, h, cents) {
						totals[n] -= cents
					}
				default:
					certainly(ctx, t, account.Pay, h, account.Order{To: fmt.Sprint("account-", own.IntN(accounts)), Cents: cents})
				}
			}
		})
	}
	for range 4 {
		time.Sleep(time.Duration(dice.Int64N(int64(5 * time.Second))))
		w.Crash()
	}
	running.Wait()
	time.Sleep(time.Minute) // for the last transfers

	var sum, total int64
	for n := range accounts {
		s, err := account.Kind.GetOrCreate(w.Client, fmt.Sprint("account-", n)).Read(ctx)
		require.NoError(t, err)
		require.GreaterOrEqual(t, s.Cents, int64(0))
		for _, tr := range s.Transfers {
			require.NotEqual(t, account.UnderWay, tr.Status, "a transfer has no end")
		}
		sum += s.Cents
	}
	for _, n := range totals {
		total += n
	}
	require.Positive(t, total)
	require.Equal(t, total, sum)
}

// certainly makes a call until it is known what became of it, and says whether it took effect. The idempotency key of the handle makes that one
// effect.
func certainly[In, Out any](ctx context.Context, t *testing.T, a actor.ActionOf[account.Account, In, Out], h actor.Handle[account.Account], in In) bool {
	for {
		_, err := a.Call(ctx, h, in)
		var refused *actor.Error
		switch {
		case err == nil:
			return true
		case errors.As(err, &refused):
			if refused.Group != "user" {
				t.Errorf("%s: %v", a.Name(), err)
			}
			return false
		case ctx.Err() != nil:
			t.Errorf("%s: %v", a.Name(), err)
			return false
		}
	}
}

// settled is the next event, which says what became of a transfer.
func settled(t *testing.T, events *actortest.Events) account.Transfer {
	t.Helper()
	e := events.Next(t)
	require.Equal(t, account.Settled.Name(), e.Name)
	var args []account.Transfer
	require.NoError(t, json.Unmarshal([]byte(e.Args), &args))
	require.Len(t, args, 1)
	return args[0]
}

func metadata(t *testing.T, err error) string {
	t.Helper()
	var refused *actor.Error
	require.ErrorAs(t, err, &refused)
	return string(refused.Metadata)
}
