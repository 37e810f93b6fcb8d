package snippets_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
)

// snippet: ticket

type Ticket struct {
	Title string `json:"title"`
}

var (
	tickets = actor.New[Ticket]("ticket")
	rename  = actor.Action[string, actor.None](tickets, "rename")
)

// end snippet

func registerTicket(r *actor.Registry) {
	actor.InitialState(r, tickets, Ticket{Title: "untitled"})
	actor.On(r, rename, func(s *Ticket, _ *actor.Ctx, title string) (n actor.None, err error) {
		s.Title = title
		return n, nil
	})
}

func getTicket(ctx context.Context, client actor.Caller) (string, error) {
	// snippet: handles
	known := tickets.Get(client, "acme", "42")                   // must exist
	wanted := tickets.GetOrCreate(client, "acme", "42")          // is created by the first call
	fresh, err := tickets.Create(ctx, client, nil, "acme", "42") // now, or ErrDuplicateKey
	if errors.Is(err, actor.ErrDuplicateKey) {
		fresh = known
	}
	id, err := wanted.Resolve(ctx)           // names this life of the ticket
	thisLife := tickets.GetForID(client, id) // and no other
	// end snippet
	if err != nil {
		return "", err
	}
	for _, h := range []actor.Handle[Ticket]{known, wanted, fresh, thisLife} {
		if other, err := h.Resolve(ctx); err != nil || other != id {
			return "", fmt.Errorf("a handle of %s is of %s: %w", id, other, err)
		}
	}
	return id, nil
}

func TestHandles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, registerTicket)
		_, err := rename.Call(ctx, tickets.Get(w.Client, "acme", "42"), "x")
		require.ErrorIs(t, err, actor.ErrNotFound)
		id, err := getTicket(ctx, w.Client)
		require.NoError(t, err)
		again, err := getTicket(ctx, w.Client)
		require.NoError(t, err)
		require.Equal(t, id, again)
		_, err = rename.Call(ctx, tickets.GetForID(w.Client, id), "printer on fire")
		require.NoError(t, err)

		// The same key in another namespace is another actor, and so is every other key.
		for _, other := range []actor.Handle[Ticket]{
			tickets.Get(w.Client, "acme", "42").InNamespace("staging"), tickets.Get(w.Client, "acme/42"), tickets.Get(w.Client),
		} {
			_, err = other.Read(ctx)
			require.ErrorIs(t, err, actor.ErrNotFound)
		}

		// An id is of one life.
		require.NoError(t, tickets.GetForID(w.Client, id).Destroy(ctx))
		next, err := tickets.GetOrCreate(w.Client, "acme", "42").Resolve(ctx)
		require.NoError(t, err)
		require.NotEqual(t, id, next)
		_, err = tickets.GetForID(w.Client, id).Read(ctx)
		require.ErrorIs(t, err, actor.ErrNotFound)
	})
}
