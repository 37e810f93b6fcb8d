package snippets_test

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
)

// snippet: account

type Account struct {
	Cents int64 `json:"cents"`
}

// Transfer is JavaScript's account.transfer("savings", 100, "rent"); the note may be left out.
type Transfer struct {
	actor.Positional
	To    string `json:"to"`
	Cents int64  `json:"cents"`
	Note  string `json:"note,omitempty"`
}

var (
	accounts = actor.New[Account]("account")
	deposit  = actor.Action[int64, int64](accounts, "deposit")            // one argument, one result
	transfer = actor.Action[Transfer, int64](accounts, "transfer")        // positional arguments
	freeze   = actor.Action[actor.None, actor.None](accounts, "freeze")   // none of either
	report   = actor.Action[*time.Time, Account](accounts, "reportSince") // one argument that may be left out
)

func registerAccount(r *actor.Registry) {
	actor.On(r, deposit, (*Account).deposit)
	actor.On(r, transfer, (*Account).transfer)
	actor.On(r, freeze, func(*Account, *actor.Ctx, actor.None) (n actor.None, err error) { return n, nil })
	actor.On(r, report, func(s *Account, _ *actor.Ctx, _ *time.Time) (Account, error) { return *s, nil })
}

func (s *Account) deposit(_ *actor.Ctx, cents int64) (int64, error) {
	if cents <= 0 {
		return 0, actor.UserError("bad_amount", "an amount is positive")
	}
	s.Cents += cents
	return s.Cents, nil
}

// end snippet

func (s *Account) transfer(_ *actor.Ctx, t Transfer) (int64, error) {
	if t.Cents > s.Cents {
		return 0, actor.UserError("no_funds", "there is not that much")
	}
	s.Cents -= t.Cents
	return s.Cents, nil
}

// callAccount charges for an order, however often it is called.
func callAccount(ctx context.Context, client actor.Caller, order string) (int64, error) {
	// snippet: idempotent
	account := accounts.GetOrCreate(client, "ann")
	return deposit.Call(ctx, account.Idempotent("order-"+order), 1250)
	// end snippet
}

func TestAccount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, registerAccount)
		for range 3 {
			n, err := callAccount(ctx, w.Client, "17")
			require.NoError(t, err)
			require.EqualValues(t, 1250, n)
			w.Crash()
		}
		ann := accounts.Get(w.Client, "ann")
		_, err := deposit.Call(ctx, ann.Idempotent("order-17"), 1)
		require.ErrorIs(t, err, actor.ErrKeyReused)
		n, err := transfer.Call(ctx, ann, Transfer{To: "bob", Cents: 250})
		require.NoError(t, err)
		require.EqualValues(t, 1000, n)
		_, err = freeze.Call(ctx, ann, actor.None{})
		require.NoError(t, err)
		_, err = report.Call(ctx, ann, nil)
		require.NoError(t, err)

		// What clients of other languages send.
		js, err := w.Connect(ctx, nil, "account", "ann")
		require.NoError(t, err)
		for _, c := range []struct {
			args []any
			want string
		}{
			{[]any{"bob", 1}, ""},
			{[]any{"bob", 1, "rent"}, ""},
			{[]any{"bob"}, "argument 2 (cents) is missing"},
			{[]any{"bob", "1"}, "argument 2 (cents): a string where a whole number belongs"},
			{[]any{"bob", 1, "rent", "x"}, "the action takes 3 arguments, got 4"},
		} {
			_, err := js.Call(ctx, "transfer", c.args...)
			if c.want == "" {
				require.NoError(t, err)
				continue
			}
			require.ErrorIs(t, err, actor.ErrInvalidRequest)
			require.ErrorContains(t, err, c.want)
		}
		result, err := js.Call(ctx, "reportSince")
		require.NoError(t, err)
		require.Equal(t, json.RawMessage(`{"cents":998}`), result)
		_, err = js.Call(ctx, "close")
		require.ErrorIs(t, err, actor.ErrActionNotFound)
	})
}

// An action that runs past its timeout had no effect, and its actor goes on.
func TestActionTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		wait := actor.Action[actor.None, actor.None](accounts, "wait")
		w := actortest.New(t, registerAccount, func(r *actor.Registry) {
			actor.On(r, wait, func(s *Account, c *actor.Ctx, _ actor.None) (n actor.None, err error) {
				s.Cents++
				<-c.Done() // a Ctx is a context.Context: pass it to whatever waits
				return n, c.Err()
			})
		})
		ann := accounts.GetOrCreate(w.Client, "ann")
		began := time.Now()
		_, err := wait.Call(t.Context(), ann, actor.None{})
		require.ErrorIs(t, err, actor.ErrTimedOut)
		require.Equal(t, time.Minute, time.Since(began).Round(time.Second))
		s, err := ann.Read(t.Context())
		require.NoError(t, err)
		require.Zero(t, s.Cents)
	})
}
