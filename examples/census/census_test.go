package census_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/census"
)

// A builder needs bolts, and asks a hundred suppliers.
func TestStory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, census.Register)

		// Ninety sell bolts, the cheapest is number 42. Five do not, and five have to look.
		names := make([]string, 100)
		for i := range names {
			names[i] = fmt.Sprintf("supplier-%02d", i)
			switch {
			case i == 42:
				setPrice(ctx, t, w, names[i], 5)
			case i < 90:
				setPrice(ctx, t, w, names[i], int64(10+i))
			case i < 95:
				setPrice(ctx, t, w, names[i], 0)
			}
		}

		// All are asked at once, one of them twice, which is once. The worker dies while the questions are on their way.
		monday := census.Kind.GetOrCreate(w.Client, "monday")
		events := w.Watch("inquiry", "monday")
		r, err := census.Ask.Call(ctx, monday, census.Order{Item: "bolt", Suppliers: slices.Concat(names, names[:1]), Seconds: 3600})
		require.NoError(t, err)
		require.Len(t, r.Missing, 100)
		w.Crash()
		time.Sleep(time.Minute)

		// Those who know have answered, once each.
		r, err = census.Progress.Call(ctx, monday, actor.None{})
		require.NoError(t, err)
		require.Equal(t, census.Report{
			Item: "bolt", Best: &census.Offer{Supplier: "supplier-42", Cents: 5}, Offers: 90, Declined: 5, Missing: names[95:],
		}, r)

		// One of the five has looked, and is cheaper. The others never answer: after an hour the builder has what there is, although
		// no worker ran at that moment.
		setPrice(ctx, t, w, "supplier-95", 4)
		time.Sleep(time.Second) // its answer has arrived
		w.Stop(w.Worker())
		time.Sleep(2 * time.Hour)
		w.StartWorker()
		r = done(t, events)
		require.Equal(t, census.Report{
			Item: "bolt", Best: &census.Offer{Supplier: "supplier-95", Cents: 4}, Offers: 91, Declined: 5, Missing: names[96:], Done: true,
		}, r)

		// What comes afterwards changes nothing.
		setPrice(ctx, t, w, "supplier-96", 1)
		time.Sleep(time.Second)
		late, err := census.Progress.Call(ctx, monday, actor.None{})
		require.NoError(t, err)
		require.Equal(t, r, late)

		// On Tuesday he asks only those who know, and need not wait for the deadline.
		tuesday := census.Kind.GetOrCreate(w.Client, "tuesday")
		events = w.Watch("inquiry", "tuesday")
		start := time.Now()
		_, err = census.Ask.Call(ctx, tuesday, census.Order{Item: "bolt", Suppliers: names[:97], Seconds: 3600})
		require.NoError(t, err)
		r = done(t, events)
		require.Less(t, time.Since(start), time.Minute)
		require.Equal(t, census.Report{
			Item: "bolt", Best: &census.Offer{Supplier: "supplier-96", Cents: 1}, Offers: 92, Declined: 5, Missing: []string{}, Done: true,
		}, r)

		// It is over: the deadline that was cancelled does not end it a second time, nor can anybody ask it again.
		w.Crash()
		time.Sleep(2 * time.Hour)
		_, err = census.Ask.Call(ctx, tuesday, census.Order{Item: "nut", Suppliers: names, Seconds: 1})
		require.ErrorIs(t, err, actor.UserError("asked_before", ""))
		s, err := tuesday.Read(ctx)
		require.NoError(t, err)
		require.Len(t, s.Offers, 92)
	})
}

// An offer is a supplier's own, and the end is the clock's.
func TestOnlySuppliersAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := actortest.New(t, census.Register)
		c, err := w.Connect(t.Context(), nil, "inquiry", "monday")
		require.NoError(t, err)
		_, err = c.Call(t.Context(), "answer", 1)
		require.ErrorIs(t, err, actor.ErrForbidden)
		_, err = c.Call(t.Context(), "deadline")
		require.ErrorIs(t, err, actor.ErrForbidden)
	})
}

func setPrice(ctx context.Context, t *testing.T, w *actortest.World, supplier string, cents int64) {
	t.Helper()
	_, err := census.SetPrice.Call(ctx, census.SupplierKind.GetOrCreate(w.Client, supplier), census.Price{Item: "bolt", Cents: cents})
	require.NoError(t, err)
}

func done(t *testing.T, events *actortest.Events) census.Report {
	t.Helper()
	e := events.Next(t)
	require.Equal(t, census.Done.Name(), e.Name)
	var args []census.Report
	require.NoError(t, json.Unmarshal([]byte(e.Args), &args))
	require.Len(t, args, 1)
	return args[0]
}
