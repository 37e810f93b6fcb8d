package verify_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
)

// shop is an actor with all that there is to verify. Its code has versions, of which the recorded histories in testdata were made.
type shop struct {
	Balance int            `json:"balance"`
	Orders  map[string]int `json:"orders,omitempty"`
	Log     []string       `json:"log,omitempty"`
}

var (
	shops   = actor.New[shop]("shop")
	pay     = actor.Action[int, int](shops, "pay")              // a step, a call, a broadcast, a schedule
	refund  = actor.Action[int, int](shops, "refund")           // where the bug is
	expire  = actor.Action[string, actor.None](shops, "expire") // a firing
	refuse  = actor.Action[actor.None, actor.None](shops, "refuse")
	crash   = actor.Action[actor.None, actor.None](shops, "crash")
	roll    = actor.Action[actor.None, string](shops, "roll") // time, dice, ids
	tell    = actor.Action[string, actor.None](shops, "tell") // a send
	count   = actor.Action[actor.None, int](shops, "count")   // vars
	header  = actor.Action[actor.None, string](shops, "header")
	place   = actor.Action[actor.None, string](shops, "place") // the worker's name
	balance = actor.Event[int](shops, "balance")
	orders  = actor.Queue[string, string](shops, "orders")
)

// ledger is who is called.
type ledger struct{ Sum int }

var (
	ledgers = actor.New[ledger]("ledger")
	add     = actor.Action[int, int](ledgers, "add")
)

// code is one version of the shop.
type code struct {
	refund func(s *shop, amount int) int
	// pay and more change other things than the state.
	pay  func(s *shop, c *actor.Ctx)
	more func(r *actor.Registry)
	// charged is the calls of the outside world.
	charged *int
}

func good() code {
	return code{refund: func(_ *shop, amount int) int { return amount }, pay: func(*shop, *actor.Ctx) {}, more: func(*actor.Registry) {}, charged: new(int)}
}

func (v code) register(r *actor.Registry) {
	actor.CreateState(r, shops, func(_ *actor.Ctx, start int) (shop, error) { return shop{Balance: start}, nil })
	actor.OnCreate(r, shops, func(s *shop, c *actor.Ctx, _ int) error { s.Log = append(s.Log, "created by "+c.Kind()); return nil })
	actor.CreateVars(r, shops, func(*shop, *actor.Ctx) (*int, error) { return new(int), nil })
	actor.OnWake(r, shops, func(s *shop, c *actor.Ctx) error {
		if len(s.Log) < 3 {
			s.Log = append(s.Log, "woke "+c.NewID()[:4])
		}
		return nil
	})
	actor.OnStateChange(r, shops, func(s *shop, c *actor.Ctx) error { c.Broadcast(balance.With(s.Balance)); return nil })
	actor.OnBeforeActionResponse(r, shops, func(_ *shop, _ *actor.Ctx, a *actor.ActionResponse) error {
		if a.Action == "pay" {
			a.Result = fmt.Appendf(nil, "%s", a.Result)
		}
		return nil
	})
	actor.OnConnect(r, shops, func(s *shop, _ *actor.Ctx, conn *actor.Conn) error {
		if !conn.Ephemeral() {
			s.Log = append(s.Log, "connected")
		}
		return nil
	})
	actor.OnDisconnect(r, shops, func(s *shop, _ *actor.Ctx, conn *actor.Conn) error {
		if !conn.Ephemeral() {
			s.Log = append(s.Log, "disconnected")
		}
		return nil
	})
	actor.On(r, pay, func(s *shop, c *actor.Ctx, amount int) (int, error) {
		id, err := actor.Run(c, "charge", func(context.Context) (int, error) { *v.charged++; return *v.charged, nil })
		if err != nil {
			return 0, err
		}
		sum, err := add.Call(c, ledgers.GetOrCreate(c.Client(), "main"), amount)
		if err != nil {
			return 0, err
		}
		if s.Orders == nil {
			s.Orders = make(map[string]int)
		}
		s.Orders[fmt.Sprint(id)] = sum
		s.Balance += amount
		c.After(time.Hour, expire.With(fmt.Sprint(id)))
		v.pay(s, c)
		return sum, nil
	})
	actor.On(r, refund, func(s *shop, _ *actor.Ctx, amount int) (int, error) {
		s.Balance -= v.refund(s, amount)
		return s.Balance, nil
	})
	actor.On(r, expire, func(s *shop, _ *actor.Ctx, id string) (n actor.None, err error) {
		delete(s.Orders, id)
		return n, nil
	})
	actor.On(r, refuse, func(s *shop, _ *actor.Ctx, _ actor.None) (n actor.None, err error) {
		s.Balance = 0
		return n, actor.UserError("no", "not today")
	})
	actor.On(r, crash, func(*shop, *actor.Ctx, actor.None) (n actor.None, err error) { panic(errors.New("out of paper")) })
	actor.On(r, roll, func(s *shop, c *actor.Ctx, _ actor.None) (string, error) {
		text := fmt.Sprint(c.Now().UnixMilli(), c.Rand().IntN(1000), c.NewID())
		s.Log = append(s.Log, text)
		return text, nil
	})
	actor.On(r, tell, func(_ *shop, c *actor.Ctx, _ string) (n actor.None, err error) {
		add.Send(c, ledgers.GetOrCreate(c.Client(), "main"), 1)
		return n, nil
	})
	actor.On(r, count, func(_ *shop, c *actor.Ctx, _ actor.None) (int, error) {
		n := actor.Vars[*int](c)
		*n++
		return *n, nil
	})
	actor.On(r, header, func(_ *shop, c *actor.Ctx, _ actor.None) (string, error) {
		if c.Request() == nil {
			return "", nil
		}
		return c.Request().Header("X-Who"), nil
	})
	actor.On(r, place, func(_ *shop, c *actor.Ctx, _ actor.None) (string, error) { return c.WorkerID(), nil })
	actor.Accept(r, orders)
	actor.OnRequest(r, shops, func(s *shop, _ *actor.Ctx, request *actor.Request) (*actor.Response, error) {
		s.Log = append(s.Log, request.Target)
		return &actor.Response{Body: []byte(request.Method + " " + request.Target + " " + request.Header("X-Who"))}, nil
	})
	actor.On(r, add, func(s *ledger, _ *actor.Ctx, n int) (int, error) { s.Sum += n; return s.Sum, nil })
	v.more(r)
}
