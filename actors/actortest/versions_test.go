package actortest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/host"
)

// The purse in three versions: once it counted coins, then cents, then cents of a currency.
type (
	purseV0 struct {
		Coins int `json:"coins"`
	}
	purseV1 struct {
		Cents int `json:"cents"`
	}
	purseV2 struct {
		Cents    int    `json:"cents"`
		Currency string `json:"currency"`
	}
)

var (
	purseKindV0 = actor.New[purseV0]("purse")
	purseKindV1 = actor.New[purseV1]("purse")
	purseKindV2 = actor.New[purseV2]("purse")
	putV0       = actor.Action[int, int](purseKindV0, "put")
	putV1       = actor.Action[int, int](purseKindV1, "put")
	putV2       = actor.Action[int, int](purseKindV2, "put")
	showV2      = actor.Action[actor.None, string](purseKindV2, "show")
)

func purse0(r *actor.Registry) {
	actor.On(r, putV0, func(s *purseV0, _ *actor.Ctx, coins int) (int, error) {
		s.Coins += coins
		return s.Coins, nil
	})
}

func coinsToCents(old json.RawMessage) (json.RawMessage, error) {
	var s purseV0
	if err := json.Unmarshal(old, &s); err != nil {
		return nil, err
	}
	return json.Marshal(purseV1{Cents: 100 * s.Coins})
}

func purse1(r *actor.Registry) {
	actor.StateVersion(r, purseKindV1, 1)
	actor.Upcast(r, purseKindV1, 0, coinsToCents)
	actor.On(r, putV1, func(s *purseV1, _ *actor.Ctx, coins int) (int, error) {
		s.Cents += 100 * coins
		return s.Cents / 100, nil
	})
}

func purse2(upcasts ...uint32) func(*actor.Registry) {
	return func(r *actor.Registry) {
		actor.StateVersion(r, purseKindV2, 2)
		for _, from := range upcasts {
			actor.Upcast(r, purseKindV2, from, map[uint32]func(json.RawMessage) (json.RawMessage, error){
				0: coinsToCents,
				1: func(old json.RawMessage) (json.RawMessage, error) {
					var s purseV1
					err := json.Unmarshal(old, &s)
					return json.RawMessage(fmt.Sprintf(`{"cents":%d,"currency":"EUR"}`, s.Cents)), err
				},
			}[from])
		}
		actor.CreateState(r, purseKindV2, func(*actor.Ctx, actor.None) (purseV2, error) { return purseV2{Currency: "CHF"}, nil })
		actor.On(r, putV2, func(s *purseV2, _ *actor.Ctx, coins int) (int, error) {
			s.Cents += 100 * coins
			return s.Cents / 100, nil
		})
		actor.On(r, showV2, func(s *purseV2, _ *actor.Ctx, _ actor.None) (string, error) {
			return fmt.Sprintf("%d.%02d %s", s.Cents/100, s.Cents%100, s.Currency), nil
		})
	}
}

// A state passes through every upcaster between its version and that of the code, and is recorded in the new version when it next changes.
func TestVersions_StatesAreBroughtUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, purse0)
		old := w.Worker()
		_, err := putV0.Call(ctx, purseKindV0.GetOrCreate(w.Client, "awake"), 3)
		require.NoError(t, err)
		_, err = putV0.Call(ctx, purseKindV0.GetOrCreate(w.Client, "asleep"), 5)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		_, err = putV0.Call(ctx, purseKindV0.Get(w.Client, "awake"), 1)
		require.NoError(t, err)
		w.Stop(old)

		// One version forward: what changes is recorded in version 1, what sleeps stays in version 0.
		one := w.StartWorkerWith(host.Config{}, purse1)
		n, err := putV1.Call(ctx, purseKindV1.Get(w.Client, "awake"), 1)
		require.NoError(t, err)
		require.Equal(t, 5, n)
		w.Stop(one)

		// Another one: a state of version 1, one of version 0, and a new one.
		two := w.StartWorkerWith(host.Config{}, purse2(0, 1))
		for key, want := range map[string]string{"awake": "5.00 EUR", "asleep": "5.00 EUR", "new": "0.00 CHF"} {
			got, err := showV2.Call(ctx, purseKindV2.GetOrCreate(w.Client, key), actor.None{})
			require.NoError(t, err)
			require.Equal(t, want, got, key)
			_, err = putV2.Call(ctx, purseKindV2.Get(w.Client, key), 1)
			require.NoError(t, err)
		}
		w.Stop(two)

		// Everything is of version 2 by now: the upcasters can go.
		w.StartWorkerWith(host.Config{}, purse2())
		got, err := showV2.Call(ctx, purseKindV2.Get(w.Client, "asleep"), actor.None{})
		require.NoError(t, err)
		require.Equal(t, "6.00 EUR", got)
	})
}

// Code that could not read what is recorded does not start, and says what is missing: not when an actor wakes, weeks later.
func TestVersions_NoPathNoStart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		recorded, code func(*actor.Registry)
		want           string
	}{
		"a missing upcaster": {purse0, purse2(1), "kind purse: states of version 0 are recorded, this code has version 2, and there is no Upcast from version 0"},
		"the second is":      {purse0, purse2(0), "there is no Upcast from version 1"},
		"older code":         {purse2(), purse1, "kind purse: states of version 2 are recorded, this code has version 1: run code that is at least as new"},
		"code without any":   {purse2(), purse0, "states of version 2 are recorded, this code has version 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := actortest.New(t, c.recorded)
				for i := range 20 {
					_, _, err := w.Client.Resolve(t.Context(), actor.Target{
						Namespace: actor.DefaultNamespace, Kind: "purse", Key: []string{fmt.Sprint(i)}, Presence: actor.CreateIfAbsent,
					})
					require.NoError(t, err)
				}
				w.Stop(w.Worker()) // all of them in snapshots
				fails := w.StartWorkerWith(host.Config{}, c.code)
				require.ErrorContains(t, w.Failed(fails), c.want)
			})
		})
	}
	t.Run("destroyed actors hinder nobody", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := actortest.New(t, purse0)
			h := purseKindV0.GetOrCreate(w.Client, "a")
			_, err := putV0.Call(t.Context(), h, 1)
			require.NoError(t, err)
			require.NoError(t, h.Destroy(t.Context()))
			w.Stop(w.Worker())
			w.StartWorkerWith(host.Config{}, purse2())
			_, err = showV2.Call(t.Context(), purseKindV2.GetOrCreate(w.Client, "a"), actor.None{})
			require.NoError(t, err)
		})
	})
}

// An upcaster that fails leaves the state as it is, and its actor alone without service.
func TestVersions_UpcasterFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, purse0)
		for _, key := range []string{"good", "bad"} {
			n := 1
			if key == "bad" {
				n = 13
			}
			_, err := putV0.Call(ctx, purseKindV0.GetOrCreate(w.Client, key), n)
			require.NoError(t, err)
		}
		w.Stop(w.Worker())
		w.StartWorkerWith(host.Config{}, func(r *actor.Registry) {
			actor.StateVersion(r, purseKindV1, 1)
			actor.Upcast(r, purseKindV1, 0, func(old json.RawMessage) (json.RawMessage, error) {
				if string(old) == `{"coins":13}` {
					return nil, errors.New("unlucky")
				}
				return coinsToCents(old)
			})
			actor.On(r, putV1, func(s *purseV1, _ *actor.Ctx, coins int) (int, error) {
				s.Cents += 100 * coins
				return s.Cents / 100, nil
			})
		})
		_, err := putV1.Call(ctx, purseKindV1.Get(w.Client, "bad"), 1)
		require.ErrorIs(t, err, actor.ErrInternal)
		n, err := putV1.Call(ctx, purseKindV1.Get(w.Client, "good"), 1)
		require.NoError(t, err)
		require.Equal(t, 2, n)
	})
}

// A shard that newer code has served never goes back to older code, whoever asks for it.
func TestVersions_ShardsNeverGoBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.NewWith(t, host.Config{Version: "new", VersionNumber: 2}, versioned)
		h := versionKind.GetOrCreate(w.Client, "a")
		v, err := whichVersion.Call(ctx, h, actor.None{})
		require.NoError(t, err)
		require.Equal(t, "new", v)
		w.Stop(w.Worker())

		// Only an old worker is there: it takes nothing, and the log has no claim of it.
		old := w.StartWorkerWith(host.Config{Version: "old", VersionNumber: 1}, versioned)
		short, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		_, err = whichVersion.Call(short, h, actor.None{})
		require.ErrorIs(t, err, context.DeadlineExceeded)

		// A newer one comes and goes first; then the old code is deployed again under a higher number.
		newer := w.StartWorkerWith(host.Config{Version: "newer", VersionNumber: 3}, versioned)
		w.Stop(old)
		require.Eventually(t, func() bool {
			v, err := whichVersion.Call(ctx, h, actor.None{})
			return err == nil && v == "newer"
		}, time.Minute, time.Second)
		w.Stop(newer)
		w.StartWorkerWith(host.Config{Version: "old again", VersionNumber: 4}, versioned)
		v, err = whichVersion.Call(ctx, h, actor.None{})
		require.NoError(t, err)
		require.Equal(t, "old again", v)
	})
}

var (
	versionKind  = actor.New[struct{ N int }]("versioned")
	whichVersion = actor.Action[actor.None, string](versionKind, "which")
	countUp      = actor.Action[actor.None, int](versionKind, "up")
)

func versioned(r *actor.Registry) {
	actor.On(r, whichVersion, func(_ *struct{ N int }, c *actor.Ctx, _ actor.None) (string, error) { return c.CodeVersion(), nil })
	actor.On(r, countUp, func(s *struct{ N int }, _ *actor.Ctx, _ actor.None) (int, error) { s.N++; return s.N, nil })
}

// Two workers of version 1 are replaced by two of version 2, one after the other, while callers go on: no call fails, none
// is lost or runs twice, and no actor is served by version 1 again once version 2 has served it.
func TestVersions_RollingUpgradeUnderLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := actortest.NewWith(t, host.Config{Version: "1", VersionNumber: 1}, versioned)
		first := w.Worker()
		second := w.StartWorker()
		time.Sleep(10 * time.Second)

		ctx, stop := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		var calls, back atomic.Int64
		counts := make([]int, 20)
		for i := range counts {
			callers.Go(func() {
				h := versionKind.GetOrCreate(w.Client, fmt.Sprint(i))
				last := "1"
				for ctx.Err() == nil {
					n, err := countUp.Call(context.WithoutCancel(ctx), h, actor.None{})
					if err != nil || n != counts[i]+1 {
						t.Errorf("call %d of caller %d: %d, %v", counts[i]+1, i, n, err)
						return
					}
					counts[i] = n
					v, err := whichVersion.Call(context.WithoutCancel(ctx), h, actor.None{})
					if err != nil || v < last {
						back.Add(1)
					}
					last = v
					calls.Add(2)
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		next := host.Config{Version: "2", VersionNumber: 2}
		time.Sleep(5 * time.Second)
		w.StartWorkerWith(next, versioned)
		time.Sleep(5 * time.Second)
		w.Stop(first)
		time.Sleep(5 * time.Second)
		w.StartWorkerWith(next, versioned)
		time.Sleep(5 * time.Second)
		w.Stop(second)
		time.Sleep(20 * time.Second)
		stop()
		callers.Wait()

		require.Zero(t, back.Load(), "an actor went back to version 1")
		require.Greater(t, calls.Load(), int64(1000))
		for i := range counts {
			v, err := whichVersion.Call(t.Context(), versionKind.Get(w.Client, fmt.Sprint(i)), actor.None{})
			require.NoError(t, err)
			require.Equal(t, "2", v)
		}
	})
}
