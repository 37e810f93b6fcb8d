package snippets_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
)

type Stock struct {
	Left int `json:"left"`
}

type Ledger struct {
	Lines []string `json:"lines"`
}

// snippet: order

type Order struct {
	Placed  int    `json:"placed"`
	Receipt string `json:"receipt"`
}

var (
	orders = actor.New[Order]("order")
	place  = actor.Action[int, string](orders, "place")

	stocks  = actor.New[Stock]("stock")
	reserve = actor.Action[int, int](stocks, "reserve")

	ledgers = actor.New[Ledger]("ledger")
	write   = actor.Action[string, actor.None](ledgers, "write")
)

func (s *Order) place(c *actor.Ctx, amount int) (string, error) {
	// Call waits for the outcome. If this worker dies now and the action is run again, the call is not made twice.
	left, err := reserve.Call(c, stocks.Get(c.Client(), "tea"), amount)
	if err != nil {
		return "", fmt.Errorf("reserving %d: %w", amount, err) // its caller is told what reserve said
	}
	// A step has an effect outside of the log. Its result is committed before the action goes on.
	receipt, err := actor.Run(c, "charge", func(ctx context.Context) (string, error) {
		return charge(ctx, amount, c.RequestID()+"/charge") // an idempotency key: it may be tried twice
	}, actor.Retry{Attempts: 3})
	if err != nil {
		return "", err
	}
	// Send does not wait. It is delivered once, after this action, or not at all if this action fails.
	write.Send(c, ledgers.GetOrCreate(c.Client(), "2026"), fmt.Sprintf("sold %d, %d left", amount, left))
	s.Placed, s.Receipt = amount, receipt
	return receipt, nil
}

// end snippet

// charges is a payment provider that fails every second time.
var charges atomic.Int64

func charge(ctx context.Context, amount int, key string) (string, error) {
	if charges.Add(1)%2 == 1 {
		return "", errors.New("try later")
	}
	return "paid " + fmt.Sprint(amount), ctx.Err()
}

func registerOrder(r *actor.Registry) {
	actor.On(r, place, (*Order).place)
	actor.CreateState(r, stocks, func(_ *actor.Ctx, n int) (Stock, error) { return Stock{Left: n}, nil })
	actor.On(r, reserve, func(s *Stock, _ *actor.Ctx, n int) (int, error) {
		if s.Left < n {
			return 0, actor.UserError("out_of_stock", "there is not that much")
		}
		s.Left -= n
		return s.Left, nil
	})
	actor.On(r, write, func(s *Ledger, c *actor.Ctx, line string) (n actor.None, err error) {
		s.Lines = append(s.Lines, c.Caller().Actor.Kind+": "+line)
		return n, nil
	})
}

func TestOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, registerOrder)
		_, err := stocks.Create(ctx, w.Client, 10, "tea")
		require.NoError(t, err)
		before := charges.Load()
		receipt, err := place.Call(ctx, orders.GetOrCreate(w.Client, "1"), 4)
		require.NoError(t, err)
		require.Equal(t, "paid 4", receipt)
		require.EqualValues(t, 2, charges.Load()-before, "the step was tried twice")

		// What fails in another actor is an error like any other, with its group and code.
		_, err = place.Call(ctx, orders.GetOrCreate(w.Client, "2"), 40)
		require.ErrorIs(t, err, actor.UserError("out_of_stock", ""))

		w.Crash()
		time.Sleep(time.Minute)
		ledger, err := ledgers.Get(w.Client, "2026").Read(ctx)
		require.NoError(t, err)
		require.Equal(t, []string{"order: sold 4, 6 left"}, ledger.Lines)
		stock, err := stocks.Get(w.Client, "tea").Read(ctx)
		require.NoError(t, err)
		require.Equal(t, 6, stock.Left)
	})
}

// A worker that dies in the middle of an action: its calls and steps are not made again.
func TestCallsAndStepsAreMadeOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		var steps, tries atomic.Int64
		slow := actor.Action[actor.None, int64](orders, "slow")
		w := actortest.New(t, registerOrder, func(r *actor.Registry) {
			actor.On(r, slow, func(_ *Order, c *actor.Ctx, _ actor.None) (int64, error) {
				tries.Add(1)
				if _, err := reserve.Call(c, stocks.Get(c.Client(), "tea"), 1); err != nil {
					return 0, err
				}
				n, err := actor.Run(c, "step", func(context.Context) (int64, error) { return steps.Add(1), nil })
				if err != nil {
					return 0, err
				}
				select { // the worker dies here
				case <-time.After(20 * time.Second):
				case <-c.Done():
				}
				return n, c.Err()
			})
		})
		_, err := stocks.Create(ctx, w.Client, 10, "tea")
		require.NoError(t, err)
		called := make(chan error, 1)
		var n int64
		go func() {
			var err error
			n, err = slow.Call(ctx, orders.GetOrCreate(w.Client, "1"), actor.None{})
			called <- err
		}()
		time.Sleep(10 * time.Second)
		w.Crash()
		require.NoError(t, <-called)
		require.EqualValues(t, 1, n)
		require.EqualValues(t, 2, tries.Load(), "the action ran twice")
		require.EqualValues(t, 1, steps.Load(), "its step once")
		stock, err := stocks.Get(w.Client, "tea").Read(ctx)
		require.NoError(t, err)
		require.Equal(t, 9, stock.Left, "and its call once")
	})
}

func TestCallCycle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ping := actor.Action[string, actor.None](orders, "ping")
		w := actortest.New(t, func(r *actor.Registry) {
			actor.On(r, ping, func(_ *Order, c *actor.Ctx, to string) (actor.None, error) {
				return ping.Call(c, orders.GetOrCreate(c.Client(), to), c.Key()[0])
			})
		})
		_, err := ping.Call(t.Context(), orders.GetOrCreate(w.Client, "a"), "b")
		require.ErrorIs(t, err, actor.ErrCallCycle)
		require.ErrorContains(t, err, "order/a -> order/b -> order/a")
	})
}
