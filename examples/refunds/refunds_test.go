package refunds_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/refunds"
)

// The bug is there: Ann has paid 1,200 for the book, and the lamp was refunded twice. docs/debugging.md finds out why.
func TestStory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := actortest.New(t, refunds.Register)
		require.NoError(t, refunds.Seed(t.Context(), w.Client))
		require.NoError(t, refunds.Seed(t.Context(), w.Client), "seeding again changes nothing")
		time.Sleep(2 * refunds.DeliverWithin)
		cents, err := refunds.Deposit.Call(context.Background(), refunds.Wallets.Get(w.Client, "ann"), 0)
		require.NoError(t, err)
		require.EqualValues(t, 10_000-1200+2500, cents)
	})
}
