// Package account is the pattern "actor per entity": each bank account is one actor, and what one account
// may do is decided in one place, one action at a time. Money moves between two of them without a lock, a
// transaction or a coordinator, and is never lost or made.
//
// Use it when the things of your domain have an identity, rules of their own and little to do with each
// other at any moment: accounts, carts, devices, documents, players. Do not use it for what has to look at many
// of them at once (reports: read the log), for one entity that everybody changes (see examples/votes), or for requests,
// which have no life after the answer.
//
// # A transfer
//
// An account that pays takes the money out of its balance, notes the transfer and sends the other one a
// message, all in one record. The other account takes the money in, or refuses it, and sends back which; then the
// first one closes the transfer, or compensates: it takes the money back. Messages are part of the record
// of who sends them and are delivered once, so at any moment the money is in one balance or under way in one
// transfer, whoever crashes.
//
// Why messages and not a call? A call waits, so both accounts stand still for its time, and two accounts that pay each
// other at the same moment wait for each other until they time out. Worse, what was called stays done when the caller then fails: the
// other account has the money and this one still has it too. Call another actor to ask it something, or when a
// failure of your own afterwards does no harm (examples/tasks); send when both sides must agree in the end.
//
// The price is that the answer to transfer is not its end. Whoever must know subscribes to "settled" or asks transfers.
//
// # By hand
//
//	actorlog dev
//	curl $URL/actors/account/ann/actions/deposit -d 10000 -H 'Idempotency-Key: pay-day'
//	curl $URL/actors/account/ann/actions/transfer -d '{"to": "bob", "cents": 2500, "note": "rent"}'
//	curl $URL/actors/account/ann/actions/transfers -X POST
//	curl $URL/actors/account/bob/actions/withdraw -d 9999999   # refused, and told why
//	curl -N $URL/actors/account/bob/events
//
// URL is http://127.0.0.1:6420. With the idempotency key the deposit takes effect once, however often it is asked.
package account

import (
	"slices"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
)

// Limits. The largest sum is exact in JavaScript too.
const (
	// MaxCents is how much one account may hold.
	MaxCents = 1_000_000_000_000
	// MaxUnderWay is how many transfers an account may have under way.
	MaxUnderWay = 100
	// KeptTransfers is how many transfers that are over an account remembers. The log has all of them.
	KeptTransfers = 20
)

// Account is everything that survives.
type Account struct {
	Cents  int64 `json:"cents"`
	Closed bool  `json:"closed"`
	// Transfers out of this account, oldest first: all under way, and the latest that are over.
	Transfers []Transfer `json:"transfers"`
}

// Status of a transfer.
type Status string

// The statuses. Money of a transfer that is under way belongs to nobody's balance.
const (
	UnderWay Status = "under_way"
	Paid     Status = "paid"
	Returned Status = "returned"
)

// Transfer is money on its way to another account.
type Transfer struct {
	ID     string    `json:"id"`
	To     string    `json:"to"`
	Cents  int64     `json:"cents"`
	Note   string    `json:"note,omitempty"`
	At     time.Time `json:"at"`
	Status Status    `json:"status"`
	// Reason why it was returned.
	Reason string `json:"reason,omitempty"`
}

// Order to transfer money.
type Order struct {
	To    string `json:"to"`
	Cents int64  `json:"cents"`
	Note  string `json:"note,omitempty"`
}

// Balance is what everybody who looks at an account is shown.
type Balance struct {
	Cents int64 `json:"cents"`
	// UnderWay is what has left this account and has not arrived.
	UnderWay int64 `json:"underWay"`
}

// The contract.
var (
	Kind      = actor.New[Account]("account")
	Deposit   = actor.Action[int64, Balance](Kind, "deposit")  // cents
	Withdraw  = actor.Action[int64, Balance](Kind, "withdraw") // cents
	Pay       = actor.Action[Order, Transfer](Kind, "transfer")
	Transfers = actor.Action[actor.None, []Transfer](Kind, "transfers")
	Close     = actor.Action[actor.None, actor.None](Kind, "close")
	Changed   = actor.Event[Balance](Kind, "balance")
	Settled   = actor.Event[Transfer](Kind, "settled")
)

// What accounts say to each other. Nobody else may.
var (
	receive = actor.Action[arrival, actor.None](Kind, "receive")
	settle  = actor.Action[receipt, actor.None](Kind, "settle")
)

type arrival struct {
	ID    string `json:"id"`
	Cents int64  `json:"cents"`
}

type receipt struct {
	ID string `json:"id"`
	// Refused says why the money was not taken; empty if it was.
	Refused string `json:"refused,omitempty"`
}

// Register puts the rules into a worker's registry.
func Register(r *actor.Registry) {
	actor.CreateState(r, Kind, func(c *actor.Ctx, _ actor.None) (Account, error) {
		if len(c.Key()) != 1 {
			return Account{}, actor.UserError("bad_account", "an account has a key of one part")
		}
		return Account{Transfers: []Transfer{}}, nil
	})
	actor.On(r, Deposit, (*Account).deposit)
	actor.On(r, Withdraw, (*Account).withdraw)
	actor.On(r, Pay, (*Account).pay)
	actor.On(r, Transfers, func(s *Account, _ *actor.Ctx, _ actor.None) ([]Transfer, error) { return s.Transfers, nil })
	actor.On(r, Close, (*Account).close)
	actor.On(r, receive, (*Account).receive)
	actor.On(r, settle, (*Account).settle)
	// One place instead of one line in each action, none of which can forget it.
	actor.OnStateChange(r, Kind, func(s *Account, c *actor.Ctx) error {
		c.Broadcast(Changed.With(s.balance()))
		return nil
	})
}

func (s *Account) balance() Balance {
	b := Balance{Cents: s.Cents}
	for _, t := range s.Transfers {
		if t.Status == UnderWay {
			b.UnderWay += t.Cents
		}
	}
	return b
}

// room is how much more the account can take in, so that what is under way can still come back.
func (s *Account) room() int64 {
	b := s.balance()
	return MaxCents - b.Cents - b.UnderWay
}

// check refuses what no account takes.
func (s *Account) check(cents int64) error {
	if s.Closed {
		return actor.UserError("account_closed", "this account is closed")
	}
	if cents <= 0 || cents > MaxCents {
		return actor.UserError("bad_amount", "an amount is a positive number of cents").With(map[string]int64{"cents": cents, "max": MaxCents})
	}
	return nil
}

// take takes money out of the balance.
func (s *Account) take(cents int64) error {
	if s.Cents < cents {
		return actor.UserError("insufficient_funds", "there is not enough money").
			With(map[string]int64{"cents": s.Cents, "missing": cents - s.Cents})
	}
	s.Cents -= cents
	return nil
}

func (s *Account) deposit(_ *actor.Ctx, cents int64) (Balance, error) {
	if err := s.check(cents); err != nil {
		return Balance{}, err
	}
	if cents > s.room() {
		return Balance{}, actor.UserError("account_full", "the account cannot hold so much").With(map[string]int64{"room": s.room()})
	}
	s.Cents += cents
	return s.balance(), nil
}

func (s *Account) withdraw(_ *actor.Ctx, cents int64) (Balance, error) {
	if err := s.check(cents); err != nil {
		return Balance{}, err
	}
	if err := s.take(cents); err != nil {
		return Balance{}, err
	}
	return s.balance(), nil
}

func (s *Account) pay(c *actor.Ctx, o Order) (Transfer, error) {
	if err := s.check(o.Cents); err != nil {
		return Transfer{}, err
	}
	if o.To == "" || o.To == c.Key()[0] {
		return Transfer{}, actor.UserError("bad_recipient", "a transfer goes to another account").With(map[string]string{"to": o.To})
	}
	if s.underWay() >= MaxUnderWay {
		return Transfer{}, actor.UserError("too_many_transfers", "too many transfers are under way: try again later")
	}
	if err := s.take(o.Cents); err != nil {
		return Transfer{}, err
	}
	t := Transfer{ID: c.NewID(), To: o.To, Cents: o.Cents, Note: o.Note, At: c.Now(), Status: UnderWay}
	s.Transfers = append(s.Transfers, t)
	// GetOrCreate, not Get: a message to an actor that does not exist is gone, and this one must be answered.
	receive.Send(c, Kind.GetOrCreate(c.Client(), o.To), arrival{ID: t.ID, Cents: t.Cents})
	return t, nil
}

// receive runs on the account that is paid. It must not fail: who pays waits for a receipt. So a refusal is
// a message, not an error.
func (s *Account) receive(c *actor.Ctx, m arrival) (none actor.None, err error) {
	from, err := peer(c)
	if err != nil {
		return none, err
	}
	answer := receipt{ID: m.ID}
	switch {
	case s.Closed:
		answer.Refused = "account_closed"
	case m.Cents > s.room():
		answer.Refused = "account_full"
	default:
		s.Cents += m.Cents
	}
	settle.Send(c, Kind.Get(c.Client(), from), answer)
	return none, nil
}

// settle runs on the account that pays.
func (s *Account) settle(c *actor.Ctx, m receipt) (none actor.None, err error) {
	from, err := peer(c)
	if err != nil {
		return none, err
	}
	i := slices.IndexFunc(s.Transfers, func(t Transfer) bool { return t.ID == m.ID && t.To == from && t.Status == UnderWay })
	if i < 0 {
		return none, actor.UserError("no_transfer", "there is no such transfer under way")
	}
	t := &s.Transfers[i]
	t.Status = Paid
	if m.Refused != "" {
		t.Status, t.Reason = Returned, m.Refused
		s.Cents += t.Cents // the compensation
	}
	c.Broadcast(Settled.With(*t))
	s.forget()
	return none, nil
}

// close does not destroy the actor: money that is on its way here must be sent back, for ever, and an actor that is
// created anew by its arrival would keep it.
func (s *Account) close(_ *actor.Ctx, _ actor.None) (none actor.None, err error) {
	if b := s.balance(); b != (Balance{}) {
		return none, actor.UserError("not_empty", "only an empty account can be closed").With(b)
	}
	s.Closed = true
	return none, nil
}

func (s *Account) underWay() (n int) {
	for _, t := range s.Transfers {
		if t.Status == UnderWay {
			n++
		}
	}
	return n
}

// forget drops the oldest transfers that are over: a state is what decisions need, history is the log's.
func (s *Account) forget() {
	over := len(s.Transfers) - s.underWay() - KeptTransfers
	s.Transfers = slices.DeleteFunc(s.Transfers, func(t Transfer) bool {
		if over <= 0 || t.Status == UnderWay {
			return false
		}
		over--
		return true
	})
}

// peer is the account that sent the message. The log says who it was, so nobody can pretend to be one.
func peer(c *actor.Ctx) (string, error) {
	by := c.Caller().Actor
	if by == nil || by.Kind != Kind.Name() || by.Namespace != c.Namespace() {
		return "", actor.ErrForbidden.Messagef("Only accounts may do this.")
	}
	return by.Key[0], nil
}
