package actor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/actorlog/actorlog/actors/actor"
)

// Account is everything that survives.
type Account struct {
	Cents int64 `json:"cents"`
}

// The contract: a caller links these, and nothing of the rules below.
var (
	AccountKind = actor.New[Account]("account")
	Deposit     = actor.Action[int64, int64](AccountKind, "deposit")
	Close       = actor.Action[actor.None, actor.None](AccountKind, "close")
	Deposited   = actor.Event[int64](AccountKind, "deposited")
)

func (a *Account) deposit(c *actor.Ctx, cents int64) (int64, error) {
	if cents <= 0 {
		return 0, actor.UserError("bad_amount", "an amount is positive").With(map[string]int64{"cents": cents})
	}
	a.Cents += cents
	c.Broadcast(Deposited.With(a.Cents))
	return a.Cents, nil
}

func (a *Account) close(c *actor.Ctx, _ actor.None) (n actor.None, err error) {
	c.Destroy()
	return n, nil
}

// A rule has exactly the types of its action, and so has every call. None of these compiles:
//
//	Deposit.Call(ctx, account, "12")              // "12" is no int64
//	var text string = Deposit.Call(...)           // the result is an int64
//	Deposit.Call(ctx, counter.Kind.Get(c), 12)    // a handle to another kind of actor
//	c.Broadcast(Deposited.With("12"))             // the event carries an int64
//	actor.On(r, Close, (*Account).deposit)        // the rule of another action
//	actor.InitialState(r, AccountKind, "empty")   // another kind's state
func ExampleOn() {
	r := actor.NewRegistry()
	actor.On(r, Deposit, (*Account).deposit)
	actor.On(r, Close, (*Account).close)

	// What a worker does with an action from the log:
	def := r.Kind("account")
	c := actor.NewCtx(context.Background(), &actor.Job{})
	state, err := def.Create(c, nil)
	if err != nil {
		fmt.Println(err)
	}
	result, err := def.Invoke(c, state, "deposit", json.RawMessage(`[1250]`), nil)
	fmt.Println(string(result), err)
	effects, err := c.Effects()
	fmt.Println(effects.Broadcasts[0].Name, string(effects.Broadcasts[0].ArgsJson), err)
	_, err = def.Invoke(c, state, "deposit", json.RawMessage(`["a lot"]`), nil)
	fmt.Println(err)
	// Output:
	// 1250 <nil>
	// deposited [1250] <nil>
	// actor.invalid_request: argument 1: a string where a whole number belongs
}

// A refusal is an error that the client sees. Both sides name it by group and code.
func ExampleUserError() {
	_, err := new(Account).deposit(nil, -5)

	if errors.Is(err, actor.UserError("bad_amount", "")) {
		fmt.Println(err)
	}
	var refused *actor.Error
	if errors.As(err, &refused) {
		fmt.Println(string(refused.Metadata))
	}
	// Output:
	// user.bad_amount: an amount is positive
	// {"cents":-5}
}

// JavaScript's transfer("savings", 100) is an action with positional arguments; its note may
// be left out.
func ExamplePositional() {
	type Transfer struct {
		actor.Positional
		To    string `json:"to"`
		Cents int64  `json:"cents"`
		Note  string `json:"note,omitempty"`
	}
	r := actor.NewRegistry()
	actor.On(r, actor.Action[Transfer, string](AccountKind, "transfer"), func(_ *Account, _ *actor.Ctx, t Transfer) (string, error) {
		return fmt.Sprintf("%d to %s", t.Cents, t.To), nil
	})
	transfer := func(args string) {
		c := actor.NewCtx(context.Background(), &actor.Job{})
		result, err := r.Kind("account").Invoke(c, new(Account), "transfer", json.RawMessage(args), nil)
		fmt.Println(string(result), err)
	}
	transfer(`["savings", 100]`)
	transfer(`["savings"]`)
	transfer(`["savings", "100"]`)
	// Output:
	// "100 to savings" <nil>
	//  actor.invalid_request: argument 2 (cents) is missing
	//  actor.invalid_request: argument 2 (cents): a string where a whole number belongs
}
