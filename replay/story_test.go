package replay_test

import (
	"context"
	"encoding/json"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/refunds"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
)

var (
	ann  = schemas.HashOf("default", "wallet", schemas.Key{"ann"})
	lamp = schemas.HashOf("default", "purchase", schemas.Key{"lamp"})
)

// refunded is the world in which Ann got her money back twice.
func refunded(t *testing.T, story func(t *testing.T, w *actortest.World, r *replay.Reader)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := actortest.New(t, refunds.Register)
		require.NoError(t, refunds.Seed(t.Context(), w.Client))
		time.Sleep(2 * refunds.DeliverWithin)
		log := w.Cluster.Client()
		defer log.Close()
		story(t, w, replay.NewReader(log, replay.Options{}))
	})
}

func entries(t *testing.T, r *replay.Reader, hash schemas.Hash, q replay.Query) (all []*replay.Entry) {
	t.Helper()
	for v, err := range r.Entries(t.Context(), hash, q) {
		require.NoError(t, err)
		all = append(all, v)
	}
	return all
}

func actions(all []*replay.Entry) []string {
	names := []string{}
	for _, v := range all {
		names = append(names, v.Action)
	}
	return names
}

func TestEntries(t *testing.T) {
	t.Parallel()
	refunded(t, func(t *testing.T, w *actortest.World, r *replay.Reader) {
		all := entries(t, r, ann, replay.Query{})
		require.Equal(t, []string{"deposit", "pay", "pay", "refund", "refund"}, actions(all))
		v := all[1]
		require.EqualValues(t, 2, v.Number)
		require.JSONEq(t, `8800`, string(v.Result))
		require.JSONEq(t, `[{"op":"replace","path":"/cents","value":8800}]`, string(v.Patch))
		require.JSONEq(t, `[{"cents":1200,"purchase":"book"}]`, string(v.Args))
		require.Equal(t, "balance", v.Broadcasts[0].Name)
		require.Equal(t, []string{"book"}, v.Caller.Actor.Key)
		require.Equal(t, "created", all[0].Lifecycle)

		require.Equal(t, []string{"refund", "refund"}, actions(entries(t, r, ann, replay.Query{Limit: 2})))
		require.Equal(t, []string{"refund"}, actions(entries(t, r, ann, replay.Query{Limit: 1, Grep: regexp.MustCompile(`"action":"refund"`)})))
		require.Equal(t, []string{"pay", "pay"}, actions(entries(t, r, ann, replay.Query{Grep: regexp.MustCompile("pay")})))
		at, err := schemas.ParsePosition(all[3].Position)
		require.NoError(t, err)
		require.Equal(t, all[3:], entries(t, r, ann, replay.Query{Since: replay.Point{Position: &at}}), "since a position")
		require.Equal(t, all[3:], entries(t, r, ann, replay.Query{Since: replay.Point{Number: 4}}), "since a number")
		require.Equal(t, all[4:], entries(t, r, ann, replay.Query{Since: replay.Point{Time: all[4].Time}}), "since a time")
		require.Equal(t, all[:3], entries(t, r, ann, replay.Query{Before: at.Offset}), "a page")
		require.Equal(t, []string{"buy", "cancel", "checkLate"}, actions(entries(t, r, lamp, replay.Query{})), "the name of what fired")
		require.Empty(t, entries(t, r, hashOf(0), replay.Query{}))
		_, err = refunds.Deposit.Call(t.Context(), refunds.Wallets.GetOrCreate(w.Client, "html").Idempotent("<b> & more"), 1)
		require.NoError(t, err)
		require.Len(t, entries(t, r, schemas.HashOf("default", "wallet", schemas.Key{"html"}), replay.Query{Grep: regexp.MustCompile(`^\{.*"<b> & more".*\}$`)}), 1)

		// What happens while it is followed comes as well.
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var last *replay.Entry
		for v, err := range r.Entries(ctx, ann, replay.Query{Limit: 1, Follow: true}) {
			if err != nil {
				require.ErrorIs(t, err, context.Canceled)
				break
			}
			if last = v; v.Position == all[4].Position {
				_, err := refunds.Deposit.Call(t.Context(), refunds.Wallets.Get(w.Client, "ann"), 5)
				require.NoError(t, err)
			} else {
				cancel()
			}
		}
		require.Equal(t, "deposit", last.Action)
		require.EqualValues(t, 6, last.Number, "it is counted on")
	})
}

func TestTimeTravel(t *testing.T) {
	t.Parallel()
	refunded(t, func(t *testing.T, _ *actortest.World, r *replay.Reader) {
		state := func(hash schemas.Hash, text string) string {
			p, err := replay.ParsePoint(text, time.Now())
			require.NoError(t, err)
			a, err := r.State(t.Context(), hash, p)
			require.NoError(t, err)
			return string(replay.ViewOf(&a, r.Partition(hash)).State)
		}
		all := entries(t, r, ann, replay.Query{})
		require.JSONEq(t, `{"cents":11300}`, state(ann, "now"))
		require.JSONEq(t, `{"cents":11300}`, state(ann, "-1"))
		require.JSONEq(t, `{"cents":8800}`, state(ann, "2"))
		require.JSONEq(t, `{"cents":6300}`, state(ann, "-3"))
		require.JSONEq(t, `{"cents":6300}`, state(ann, all[2].Position))
		require.JSONEq(t, `{"cents":8800}`, state(ann, "1500ms"), "1.5 s ago the second refund was still to come")
		require.JSONEq(t, `null`, state(ann, "1h"), "before it was born")
		require.JSONEq(t, `null`, state(ann, "1d1h"))
		for _, bad := range []string{"0", "yesterday", "1:2:3", "-5m", "d", "-1d", "1d-1h", "1dd", "1.5d"} {
			_, err := replay.ParsePoint(bad, time.Now())
			require.ErrorIs(t, err, replay.ErrPoint, bad)
		}
		for _, p := range []replay.Point{{Number: 6}, {Number: -6}, {Position: &schemas.Position{Partition: r.Partition(ann) + 1}}} {
			_, err := r.State(t.Context(), ann, p)
			require.ErrorIs(t, err, replay.ErrPoint)
		}

		before, err := r.State(t.Context(), lamp, replay.Point{Number: 1})
		require.NoError(t, err)
		after, err := r.State(t.Context(), lamp, replay.Point{})
		require.NoError(t, err)
		d, err := replay.Diff(&before, &after)
		require.NoError(t, err)
		require.JSONEq(t, `[{"op":"replace","path":"/status","value":"late"}]`, string(d.Patch))
		require.Equal(t, []replay.Change{{Op: "replace", Path: "/status", Before: json.RawMessage(`"paid"`), After: json.RawMessage(`"late"`)}}, d.Changes)
		require.Len(t, d.Parts, 1)
		require.Equal(t, "schedules/late", d.Parts[0].Path)

		// Two actors: that each is in a life of its own is no difference.
		other, err := r.State(t.Context(), schemas.HashOf("default", "purchase", schemas.Key{"book"}), replay.Point{})
		require.NoError(t, err)
		other.Generation = 7
		d, err = replay.Diff(&after, &other)
		require.NoError(t, err)
		require.Empty(t, d.Parts)
		require.Equal(t, []string{"/cents", "/status"}, []string{d.Changes[0].Path, d.Changes[1].Path})
		other.Alive, other.State = false, nil
		d, err = replay.Diff(&after, &other)
		require.NoError(t, err)
		require.Equal(t, []replay.Change{{Op: "replace", Path: "life", Before: json.RawMessage(`{"alive":true}`), After: json.RawMessage(`{"alive":false}`)}}, d.Parts)
	})
}

// The chain of causes leads through schedules and actors, in either direction.
func TestWhy(t *testing.T) {
	t.Parallel()
	refunded(t, func(t *testing.T, w *actortest.World, r *replay.Reader) {
		why := func(v *replay.Entry) *replay.Explanation { return why(t, r, v) }
		wallet, purchase := entries(t, r, ann, replay.Query{}), entries(t, r, lamp, replay.Query{})
		require.Equal(t, []string{"sent by purchase checkLate", "scheduled by purchase buy"}, told(why(wallet[4]).Causes))
		require.Equal(t, []string{"sent by purchase cancel"}, told(why(wallet[3]).Causes))
		require.Equal(t, []string{"called by purchase buy"}, told(why(wallet[2]).Causes))
		require.Equal(t, []string{"called wallet pay", "scheduled purchase checkLate"}, told(why(purchase[0]).Effects))
		require.Equal(t, []string{"sent to wallet refund"}, told(why(purchase[1]).Effects))
		require.Empty(t, why(purchase[0]).Causes)

		// By request id or idempotency key.
		for _, id := range []string{purchase[1].RequestID, "seed-refunds-cancel"} {
			e, err := r.Lookup(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, purchase[1].Position, e.Position.String())
		}
		_, err := r.Lookup(t.Context(), "nobody asked")
		require.ErrorIs(t, err, replay.ErrNoEvent)
		for _, bad := range []schemas.Position{{Partition: 99}, {Partition: 0, Offset: 1 << 40}, {Partition: 0, Offset: 0}} {
			_, err := r.Why(t.Context(), bad)
			require.ErrorIs(t, err, replay.ErrNoEvent)
		}

		// A repeat leads to what it repeats; a purchase that is cancelled in time leaves a schedule that never fires.
		require.NoError(t, refunds.Seed(t.Context(), w.Client))
		all := entries(t, r, lamp, replay.Query{})
		require.Equal(t, []string{"repeats purchase cancel"}, told(why(all[len(all)-1]).Causes))
		book := schemas.HashOf("default", "purchase", schemas.Key{"book"})
		x := why(entries(t, r, book, replay.Query{})[0])
		require.Len(t, x.Effects, 2)
		require.Contains(t, x.Effects[1].Missing, "was cancelled at")
		_, err = refunds.Buy.Call(t.Context(), refunds.Purchases.GetOrCreate(w.Client, "sofa"), refunds.Order{Wallet: "ann", Cents: 1})
		require.NoError(t, err)
		x = why(entries(t, r, schemas.HashOf("default", "purchase", schemas.Key{"sofa"}), replay.Query{})[0])
		require.Contains(t, told(x.Effects)[1], "is due at")
	})
}
