// Package refunds has a bug, on purpose: docs/debugging.md finds it, from the log alone.
//
// A wallet holds money. A purchase is paid from a wallet, and paid back when it is cancelled, or when it was not delivered in time. What a customer complains about: after
// a refund, her balance is too high.
//
//	actorlog dev --seed refunds
//	actorlog state wallet ann
//
// Do not read on if you want to find it yourself.
package refunds

import (
	"context"
	"fmt"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
)

// DeliverWithin is how long a purchase may take to be delivered.
const DeliverWithin = time.Second

// Wallet holds the money of one customer.
type Wallet struct {
	Cents int64 `json:"cents"`
}

// Status of a purchase.
type Status string

// The statuses.
const (
	Paid      Status = "paid"
	Delivered Status = "delivered"
	Cancelled Status = "cancelled"
	Late      Status = "late"
)

// Purchase is one thing that one customer bought.
type Purchase struct {
	Wallet string `json:"wallet"`
	Cents  int64  `json:"cents"`
	Status Status `json:"status"`
}

// Order is what is bought.
type Order struct {
	Wallet string `json:"wallet"`
	Cents  int64  `json:"cents"`
}

// Booking moves money of a wallet, because of a purchase.
type Booking struct {
	Cents    int64  `json:"cents"`
	Purchase string `json:"purchase"`
}

// The contract.
var (
	Wallets = actor.New[Wallet]("wallet")
	Deposit = actor.Action[int64, int64](Wallets, "deposit")
	Pay     = actor.Action[Booking, int64](Wallets, "pay")
	Refund  = actor.Action[Booking, int64](Wallets, "refund")
	Balance = actor.Event[int64](Wallets, "balance")

	Purchases = actor.New[Purchase]("purchase")
	Buy       = actor.Action[Order, Purchase](Purchases, "buy")
	Deliver   = actor.Action[actor.None, Purchase](Purchases, "deliver")
	Cancel    = actor.Action[actor.None, Purchase](Purchases, "cancel")
	CheckLate = actor.Action[actor.None, Purchase](Purchases, "checkLate")
)

// Register puts the rules into a worker's registry.
func Register(r *actor.Registry) {
	actor.On(r, Deposit, func(s *Wallet, c *actor.Ctx, cents int64) (int64, error) { return s.book(c, cents) })
	actor.On(r, Pay, func(s *Wallet, c *actor.Ctx, b Booking) (int64, error) { return s.book(c, -b.Cents) })
	actor.On(r, Refund, func(s *Wallet, c *actor.Ctx, b Booking) (int64, error) { return s.book(c, b.Cents) })
	actor.On(r, Buy, (*Purchase).buy)
	actor.On(r, Deliver, (*Purchase).deliver)
	actor.On(r, Cancel, (*Purchase).cancel)
	actor.On(r, CheckLate, (*Purchase).checkLate)
}

func (s *Wallet) book(c *actor.Ctx, cents int64) (int64, error) {
	if s.Cents+cents < 0 {
		return 0, actor.UserError("insufficient_funds", "there is not enough money")
	}
	s.Cents += cents
	c.Broadcast(Balance.With(s.Cents))
	return s.Cents, nil
}

func (s *Purchase) buy(c *actor.Ctx, o Order) (Purchase, error) {
	if s.Status != "" {
		return *s, actor.UserError("bought", "this purchase has been made")
	}
	wallet := Wallets.GetOrCreate(c.Client(), o.Wallet)
	if _, err := Pay.Call(c, wallet, Booking{Cents: o.Cents, Purchase: c.Key()[0]}); err != nil {
		return *s, err
	}
	*s = Purchase{Wallet: o.Wallet, Cents: o.Cents, Status: Paid}
	c.After(DeliverWithin, CheckLate.With(actor.None{}), actor.ScheduleID("late"))
	return *s, nil
}

func (s *Purchase) deliver(c *actor.Ctx, _ actor.None) (Purchase, error) {
	if s.Status != Paid {
		return *s, actor.UserError("not_open", "only what is paid is delivered")
	}
	s.Status = Delivered
	c.Cancel("late")
	return *s, nil
}

func (s *Purchase) cancel(c *actor.Ctx, _ actor.None) (Purchase, error) {
	if s.Status != Paid {
		return *s, actor.UserError("not_open", "only what is paid and not delivered can be cancelled")
	}
	s.Status = Cancelled
	s.refund(c)
	return *s, nil
}

// checkLate is where the bug is: what has been cancelled is not delivered either.
func (s *Purchase) checkLate(c *actor.Ctx, _ actor.None) (Purchase, error) {
	if s.Status != Delivered {
		s.Status = Late
		s.refund(c)
	}
	return *s, nil
}

func (s *Purchase) refund(c *actor.Ctx) {
	Refund.Send(c, Wallets.GetOrCreate(c.Client(), s.Wallet), Booking{Cents: s.Cents, Purchase: c.Key()[0]})
}

// Seed is a day on which the bug shows: Ann buys twice, and cancels once. It may be called again: what was done is not done twice. The last refund comes [DeliverWithin] later.
func Seed(ctx context.Context, client actor.Caller) error {
	do := func(step string, call func(key string) error) error {
		if err := call("seed-refunds-" + step); err != nil {
			return fmt.Errorf("seeding refunds, %s: %w", step, err)
		}
		return nil
	}
	buy := func(key, id string, cents int64) error {
		_, err := Buy.Call(ctx, Purchases.GetOrCreate(client, id).Idempotent(key), Order{Wallet: "ann", Cents: cents})
		return err
	}
	for _, step := range []struct {
		name string
		call func(key string) error
	}{
		{"deposit", func(key string) error {
			_, err := Deposit.Call(ctx, Wallets.GetOrCreate(client, "ann").Idempotent(key), 10_000)
			return err
		}},
		{"book", func(key string) error { return buy(key, "book", 1200) }},
		{"lamp", func(key string) error { return buy(key, "lamp", 2500) }},
		{"deliver", func(key string) error {
			_, err := Deliver.Call(ctx, Purchases.Get(client, "book").Idempotent(key), actor.None{})
			return err
		}},
		{"cancel", func(key string) error {
			_, err := Cancel.Call(ctx, Purchases.Get(client, "lamp").Idempotent(key), actor.None{})
			return err
		}},
	} {
		if err := do(step.name, step.call); err != nil {
			return err
		}
	}
	return nil
}
