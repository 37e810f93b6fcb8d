// Package census is the pattern "fan-out and fan-in": a buyer's inquiry asks a hundred suppliers for a price, gathers the
// answers as they come, and is done when all have answered or the deadline has passed, with what it has by then.
//
// Use it for work that has many parts which do not depend on each other, and for asking many who may be slow or never answer:
// quotes, searches over parts of an index, health checks, votes of a committee. Do not use it for a few actors that answer at once
// when you need the answer now: call them, also from several goroutines of one action, and return the result. That is less code, but the actor stands still for that
// long, it must be over within the action's timeout, and one that does not answer fails the whole.
//
// How it works:
//
//   - The questions are messages: a hundred of them are part of the one record that begins the inquiry. Either all are sent or there is no inquiry,
//     and nobody who crashes asks anybody twice.
//   - Each answer is a message back, and one action of the inquiry. It can be asked how far it is at any time.
//   - Who has not answered is a list in the state. An answer that is not on it comes too late, and changes nothing.
//   - The deadline is a schedule, which waits through sleep and crashes for as long as it takes. The last answer cancels it.
//
// A fan-out of some thousands is better made in two steps, as a tree: a record has a limit of size, and an actor one of speed.
//
// # By hand
//
//	actorlog dev
//	curl $URL/actors/supplier/acme/actions/setPrice -d '["bolt", 12]'
//	curl $URL/actors/supplier/zenith/actions/setPrice -d '["bolt", 9]'
//	curl $URL/actors/inquiry/1/actions/ask -d '{"item": "bolt", "suppliers": ["acme", "zenith", "nobody"], "seconds": 60}'
//	curl $URL/actors/inquiry/1/actions/progress -X POST
//	curl -N $URL/actors/inquiry/1/events   # "done" after a minute, with two offers
//
// URL is http://127.0.0.1:6420.
package census

import (
	"slices"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
)

// Limits.
const (
	MaxSuppliers = 1000
	MaxWait      = 7 * 24 * time.Hour
	// MaxPrices is how many items a supplier may have, and how many questions may wait there.
	MaxPrices = 1000
)

// Inquiry is the job: everything that survives of it.
type Inquiry struct {
	Item string `json:"item"` // empty before it was asked
	// Waiting for these suppliers.
	Waiting  []string `json:"waiting"`
	Offers   []Offer  `json:"offers"`
	Declined []string `json:"declined"`
	Done     bool     `json:"done"`
}

// Offer of a supplier.
type Offer struct {
	Supplier string `json:"supplier"`
	Cents    int64  `json:"cents"`
}

// Order is what an inquiry is about.
type Order struct {
	Item      string   `json:"item"`
	Suppliers []string `json:"suppliers"`
	// Seconds to the deadline.
	Seconds int64 `json:"seconds"`
}

// Report is how far an inquiry is, or what came of it.
type Report struct {
	Item string `json:"item"`
	// Best offer, nil if there is none.
	Best     *Offer `json:"best"`
	Offers   int    `json:"offers"`
	Declined int    `json:"declined"`
	// Missing are those who have not answered. If it is not empty when the inquiry is done, the result is partial.
	Missing []string `json:"missing"`
	Done    bool     `json:"done"`
}

// Supplier is one of those who are asked: everything that survives of it.
type Supplier struct {
	// Prices in cents by item; 0 for what it does not sell.
	Prices map[string]int64 `json:"prices"`
	// Open questions, which nobody has answered yet.
	Open []question `json:"open"`
}

// Price is a supplier's: supplier.setPrice("bolt", 12) from JavaScript.
type Price struct {
	actor.Positional
	Item string `json:"item"`
	// Cents; 0 for what it does not sell.
	Cents int64 `json:"cents"`
}

// The contract.
var (
	Kind     = actor.New[Inquiry]("inquiry")
	Ask      = actor.Action[Order, Report](Kind, "ask")
	Progress = actor.Action[actor.None, Report](Kind, "progress")
	Done     = actor.Event[Report](Kind, "done")

	SupplierKind = actor.New[Supplier]("supplier")
	SetPrice     = actor.Action[Price, actor.None](SupplierKind, "setPrice")
)

// What inquiries and suppliers tell each other, and the schedule an inquiry.
var (
	price    = actor.Action[question, actor.None](SupplierKind, "price")
	answer   = actor.Action[int64, actor.None](Kind, "answer") // cents
	deadline = actor.Action[actor.None, actor.None](Kind, "deadline")
)

type question struct {
	Item  string    `json:"item"`
	Until time.Time `json:"until"`
	// Inquiry that asks. The supplier fills it in: who sent the message.
	Inquiry string `json:"inquiry"`
}

// Register puts the rules of both kinds into a worker's registry.
func Register(r *actor.Registry) {
	actor.CreateState(r, Kind, func(c *actor.Ctx, _ actor.None) (Inquiry, error) {
		return Inquiry{Waiting: []string{}, Offers: []Offer{}, Declined: []string{}}, onePart(c)
	})
	actor.On(r, Ask, (*Inquiry).ask)
	actor.On(r, Progress, func(s *Inquiry, _ *actor.Ctx, _ actor.None) (Report, error) { return s.report(), nil })
	actor.On(r, answer, (*Inquiry).answer)
	actor.On(r, deadline, (*Inquiry).deadline)

	actor.CreateState(r, SupplierKind, func(c *actor.Ctx, _ actor.None) (Supplier, error) {
		return Supplier{Prices: map[string]int64{}, Open: []question{}}, onePart(c)
	})
	actor.On(r, SetPrice, (*Supplier).setPrice)
	actor.On(r, price, (*Supplier).price)
}

func onePart(c *actor.Ctx) error {
	if len(c.Key()) != 1 {
		return actor.UserError("bad_key", "the key has one part")
	}
	return nil
}

// --- the inquiry ------------------------------------------------------------

func (s *Inquiry) ask(c *actor.Ctx, o Order) (Report, error) {
	wait := time.Duration(o.Seconds) * time.Second
	suppliers := slices.Compact(slices.Sorted(slices.Values(o.Suppliers)))
	switch {
	case s.Item != "":
		return Report{}, actor.UserError("asked_before", "an inquiry is asked once: take another key")
	case o.Item == "":
		return Report{}, actor.UserError("no_item", "an inquiry is about an item")
	case len(suppliers) == 0 || len(suppliers) > MaxSuppliers:
		return Report{}, actor.UserError("bad_suppliers", "an inquiry asks 1 to 1000 suppliers").With(map[string]int{"suppliers": len(suppliers)})
	case o.Seconds <= 0 || o.Seconds > int64(MaxWait/time.Second):
		return Report{}, actor.UserError("bad_deadline", "the deadline is 1 second to 7 days away").With(map[string]int64{"seconds": o.Seconds})
	}
	s.Item, s.Waiting = o.Item, suppliers
	for _, name := range suppliers {
		// GetOrCreate: a supplier that nobody has heard of yet may still answer in time.
		price.Send(c, SupplierKind.GetOrCreate(c.Client(), name), question{Item: o.Item, Until: c.Now().Add(wait)})
	}
	c.After(wait, deadline.With(actor.None{}), actor.ScheduleID("deadline"))
	return s.report(), nil
}

func (s *Inquiry) answer(c *actor.Ctx, cents int64) (none actor.None, err error) {
	from, err := peer(c, SupplierKind.Name())
	if err != nil {
		return none, err
	}
	i := slices.Index(s.Waiting, from)
	if s.Done || i < 0 {
		return none, nil // too late
	}
	s.Waiting = slices.Delete(s.Waiting, i, i+1)
	if cents > 0 {
		s.Offers = append(s.Offers, Offer{Supplier: from, Cents: cents})
	} else {
		s.Declined = append(s.Declined, from)
	}
	if len(s.Waiting) == 0 {
		c.Cancel("deadline")
		s.finish(c)
	}
	return none, nil
}

func (s *Inquiry) deadline(c *actor.Ctx, _ actor.None) (none actor.None, err error) {
	if c.Caller().ScheduleID == "" {
		return none, actor.ErrForbidden.Messagef("Only the schedule may do this.")
	}
	s.finish(c)
	return none, nil
}

func (s *Inquiry) finish(c *actor.Ctx) {
	s.Done = true
	c.Broadcast(Done.With(s.report()))
}

func (s *Inquiry) report() Report {
	r := Report{Item: s.Item, Offers: len(s.Offers), Declined: len(s.Declined), Missing: s.Waiting, Done: s.Done}
	for _, o := range s.Offers {
		if r.Best == nil || o.Cents < r.Best.Cents || (o.Cents == r.Best.Cents && o.Supplier < r.Best.Supplier) {
			r.Best = &o
		}
	}
	return r
}

// --- a supplier -------------------------------------------------------------

// price answers at once if the price is known. If not, the question waits for somebody to set it.
func (s *Supplier) price(c *actor.Ctx, q question) (none actor.None, err error) {
	if q.Inquiry, err = peer(c, Kind.Name()); err != nil {
		return none, err
	}
	if cents, known := s.Prices[q.Item]; known {
		reply(c, q, cents)
		return none, nil
	}
	s.Open = slices.DeleteFunc(s.Open, func(q question) bool { return q.Until.Before(c.Now()) })
	if len(s.Open) >= MaxPrices {
		reply(c, q, 0)
		return none, nil
	}
	s.Open = append(s.Open, q)
	return none, nil
}

func (s *Supplier) setPrice(c *actor.Ctx, p Price) (none actor.None, err error) {
	if p.Item == "" || p.Cents < 0 {
		return none, actor.UserError("bad_price", "a price is of an item, and not negative")
	}
	if _, known := s.Prices[p.Item]; !known && len(s.Prices) >= MaxPrices {
		return none, actor.UserError("too_many_prices", "a supplier has at most 1000 items")
	}
	s.Prices[p.Item] = p.Cents
	s.Open = slices.DeleteFunc(s.Open, func(q question) bool {
		if q.Item != p.Item {
			return false
		}
		reply(c, q, p.Cents)
		return true
	})
	return none, nil
}

func reply(c *actor.Ctx, q question, cents int64) {
	answer.Send(c, Kind.Get(c.Client(), q.Inquiry), cents)
}

// peer is the actor of a kind that sent the message; nobody else may.
func peer(c *actor.Ctx, kind string) (string, error) {
	by := c.Caller().Actor
	if by == nil || by.Kind != kind || by.Namespace != c.Namespace() {
		return "", actor.ErrForbidden.Messagef("Only actors of kind %s may do this.", kind)
	}
	return by.Key[0], nil
}
