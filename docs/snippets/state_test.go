package snippets_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
)

// snippet: cart

// Cart is everything that survives.
type Cart struct {
	Currency string         `json:"currency"`
	Items    map[string]int `json:"items"`
	Opened   time.Time      `json:"opened"`
}

// CartInput is given with the creation.
type CartInput struct {
	Currency string `json:"currency"`
}

var (
	carts   = actor.New[Cart]("cart")
	addItem = actor.Action[string, int](carts, "addItem")
)

func registerCart(r *actor.Registry) {
	actor.CreateState(r, carts, func(c *actor.Ctx, in CartInput) (Cart, error) {
		if in.Currency == "" {
			return Cart{}, actor.UserError("no_currency", "a cart needs a currency")
		}
		return Cart{Currency: in.Currency, Items: map[string]int{}, Opened: c.Now()}, nil
	})
	actor.On(r, addItem, (*Cart).add)
}

func (s *Cart) add(_ *actor.Ctx, item string) (int, error) {
	s.Items[item]++
	if len(s.Items) > 100 {
		return 0, actor.UserError("cart_full", "a cart takes 100 different items") // and nothing was added
	}
	return s.Items[item], nil
}

// end snippet

func TestCart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, registerCart)

		// The input refuses the creation, and with it the action.
		_, err := addItem.Call(ctx, carts.GetOrCreate(w.Client, "ann"), "tea")
		require.ErrorIs(t, err, actor.UserError("no_currency", ""))
		_, err = carts.Get(w.Client, "ann").Read(ctx)
		require.ErrorIs(t, err, actor.ErrNotFound)

		// snippet: cart-call
		cart := carts.GetOrCreate(w.Client, "ann").WithInput(CartInput{Currency: "EUR"})
		n, err := addItem.Call(ctx, cart, "tea")
		require.NoError(t, err)
		require.Equal(t, 1, n)

		s, err := cart.Read(ctx) // a copy of the state
		require.NoError(t, err)
		require.Equal(t, map[string]int{"tea": 1}, s.Items)
		// end snippet

		// What an action that fails has changed does not stay.
		for i := range 99 {
			_, err = addItem.Call(ctx, cart, strings.Repeat("x", i+1))
			require.NoError(t, err)
		}
		_, err = addItem.Call(ctx, cart, "coffee")
		require.ErrorIs(t, err, actor.UserError("cart_full", ""))
		s, err = cart.Read(ctx)
		require.NoError(t, err)
		require.Len(t, s.Items, 100)
		require.NotContains(t, s.Items, "coffee")
	})
}

type Note struct {
	Text string
	// hidden does not survive: JSON has no unexported fields.
	hidden string
}

// An unexported field is there until the actor leaves memory.
func TestUnexportedFieldIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		notes := actor.New[Note]("note")
		set := actor.Action[string, actor.None](notes, "set")
		get := actor.Action[actor.None, string](notes, "get")
		w := actortest.New(t, func(r *actor.Registry) {
			actor.On(r, set, func(s *Note, _ *actor.Ctx, text string) (n actor.None, err error) {
				s.Text, s.hidden = text, text
				return n, nil
			})
			actor.On(r, get, func(s *Note, _ *actor.Ctx, _ actor.None) (string, error) { return s.Text + s.hidden, nil })
		})
		note := notes.GetOrCreate(w.Client)
		_, err := set.Call(t.Context(), note, "a")
		require.NoError(t, err)
		text, err := get.Call(t.Context(), note, actor.None{})
		require.NoError(t, err)
		require.Equal(t, "aa", text)
		w.Crash()
		text, err = get.Call(t.Context(), note, actor.None{})
		require.NoError(t, err)
		require.Equal(t, "a", text)
	})
}

// A state has a largest size, and the action that would pass it has no effect.
func TestStateTooLarge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		notes := actor.New[Note]("note")
		grow := actor.Action[int, actor.None](notes, "grow")
		w := actortest.New(t, func(r *actor.Registry) {
			actor.On(r, grow, func(s *Note, _ *actor.Ctx, n int) (none actor.None, err error) {
				s.Text = strings.Repeat("x", n)
				return none, nil
			})
		})
		note := notes.GetOrCreate(w.Client)
		_, err := grow.Call(t.Context(), note, 7_000_000)
		require.NoError(t, err)
		_, err = grow.Call(t.Context(), note, 8_000_000)
		require.ErrorIs(t, err, actor.ErrTooLarge)
		s, err := note.Read(t.Context())
		require.NoError(t, err)
		require.Len(t, s.Text, 7_000_000)
	})
}
