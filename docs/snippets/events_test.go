package snippets_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
)

// snippet: auction

type Auction struct {
	Best   int64  `json:"best"`
	Bidder string `json:"bidder"`
}

// Bid is two arguments for JavaScript: auction.bid("ann", 500).
type Bid struct {
	actor.Positional
	Bidder string `json:"bidder"`
	Cents  int64  `json:"cents"`
}

var (
	auctions = actor.New[Auction]("auction")
	bid      = actor.Action[Bid, actor.None](auctions, "bid")
	raised   = actor.Event[Bid](auctions, "raised") // on("raised", (bidder, cents) => ...)
	beaten   = actor.Event[int64](auctions, "beaten")
)

func registerAuction(r *actor.Registry) {
	actor.On(r, bid, (*Auction).bid)
}

func (s *Auction) bid(c *actor.Ctx, b Bid) (n actor.None, err error) {
	if b.Cents <= s.Best {
		return n, actor.UserError("too_low", "bid more").With(map[string]int64{"best": s.Best})
	}
	s.Best, s.Bidder = b.Cents, b.Bidder
	c.Broadcast(raised.With(b))                       // to everybody who is subscribed
	c.BroadcastExcept(beaten.With(b.Cents), c.Conn()) // but not to who made the bid
	return n, nil
}

// end snippet

func follow(ctx context.Context, client actor.Caller, show func(Bid), gone func(error)) error {
	// snippet: subscribe
	return raised.Subscribe(ctx, auctions.Get(client, "lot-7"), func(b Bid) {
		show(b) // one at a time, in order
	}, func(err error) {
		gone(err) // events were missed: read the state, and subscribe again
	})
	// end snippet
}

func TestAuction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, registerAuction)
		lot := auctions.GetOrCreate(w.Client, "lot-7")
		var seen []Bid
		require.NoError(t, follow(ctx, w.Client, func(b Bid) { seen = append(seen, b) }, func(err error) { t.Error(err) }))
		ann, err := w.Connect(ctx, nil, "auction", "lot-7")
		require.NoError(t, err)
		bob, err := w.Connect(ctx, nil, "auction", "lot-7")
		require.NoError(t, err)
		require.NoError(t, ann.Subscribe(ctx, "raised", "beaten"))
		require.NoError(t, bob.Subscribe(ctx, "raised", "beaten"))

		_, err = ann.Call(ctx, "bid", "ann", 500)
		require.NoError(t, err)
		_, err = bob.Call(ctx, "bid", "bob", 400) // refused: nothing is broadcast
		require.ErrorIs(t, err, actor.UserError("too_low", ""))
		w.Crash()
		_, err = bob.Call(ctx, "bid", "bob", 600)
		require.NoError(t, err)

		require.Equal(t, actortest.Event{Name: "raised", Args: `["ann",500]`}, ann.Next(t))
		require.Equal(t, actortest.Event{Name: "raised", Args: `["bob",600]`}, ann.Next(t))
		require.Equal(t, actortest.Event{Name: "beaten", Args: `[600]`}, ann.Next(t))
		require.Equal(t, actortest.Event{Name: "raised", Args: `["ann",500]`}, bob.Next(t))
		require.Equal(t, actortest.Event{Name: "beaten", Args: `[500]`}, bob.Next(t))
		require.Equal(t, actortest.Event{Name: "raised", Args: `["bob",600]`}, bob.Next(t))
		_, err = bid.Call(ctx, lot, Bid{Bidder: "eve", Cents: 700})
		require.NoError(t, err)
		synctest.Wait()
		require.Len(t, seen, 3)
	})
}
