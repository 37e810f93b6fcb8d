package verify_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/replay/file"
	"github.com/actorlog/actorlog/replay/verify"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

var rewrite = flag.Bool("rewrite", false, "write the histories in testdata that are missing")

var shopHash = schemas.HashOf(actor.DefaultNamespace, "shop", []string{"a"})

// play has all happen that can happen to a shop.
func play(t *testing.T, w *actortest.World) {
	t.Helper()
	ctx, h := t.Context(), shops.GetOrCreate(w.Client, "a").WithInput(100)
	call := func(err error) {
		t.Helper()
		require.NoError(t, err)
	}
	_, err := pay.Call(ctx, h, 5)
	call(err)
	_, err = pay.Call(ctx, h, 7)
	call(err)
	_, err = refund.Call(ctx, h, 3)
	call(err)
	_, err = refuse.Call(ctx, h, actor.None{})
	require.Error(t, err)
	_, err = crash.Call(ctx, h, actor.None{})
	require.Error(t, err)
	_, err = roll.Call(ctx, h, actor.None{})
	call(err)
	_, err = tell.Call(ctx, h, "x")
	call(err)
	_, err = pay.Call(ctx, h.Idempotent("once"), 1)
	call(err)
	_, err = pay.Call(ctx, h.Idempotent("once"), 1) // a repeat
	call(err)
	_, err = pay.Call(ctx, shops.GetForID(w.Client, schemas.ActorID{Hash: shopHash, Generation: 9}.String()), 1)
	require.ErrorIs(t, err, actor.ErrNotFound) // of another life
	call(orders.Send(ctx, h, "one"))
	ask(t, w, &actorlogv1.Action{
		Handshake: &actorlogv1.Handshake{ConnectionId: "r", Target: "/x?y=1", Headers: []*actorlogv1.Header{{Name: "X-Who", Value: []byte("me")}}},
		Body:      &actorlogv1.Action_Request{Request: &actorlogv1.Request{Method: "GET", Headers: []*actorlogv1.Header{{Name: "X-Who", Value: []byte("me")}}}},
	})
	ask(t, w, &actorlogv1.Action{
		Handshake: &actorlogv1.Handshake{ConnectionId: "c"}, Body: &actorlogv1.Action_Connect{Connect: new(actorlogv1.Connect)},
	})
	ask(t, w, &actorlogv1.Action{Body: &actorlogv1.Action_Disconnect{Disconnect: &actorlogv1.Disconnect{ConnectionId: "c"}}})
	w.Crash()
	_, err = h.Read(ctx)
	call(err)
	time.Sleep(2 * time.Hour) // the orders expire, the actor sleeps
	_, err = roll.Call(ctx, h, actor.None{})
	call(err)
	call(h.Destroy(ctx))
	_, err = roll.Call(ctx, h, actor.None{}) // another life
	call(err)
}

func ask(t *testing.T, w *actortest.World, a *actorlogv1.Action) {
	t.Helper()
	a.Actor = &actorlogv1.Actor{Namespace: actor.DefaultNamespace, Kind: "shop", Key: []string{"a"}}
	d, _, err := w.Client.Do(t.Context(), remote.Request{Hash: shopHash, Action: a})
	require.NoError(t, err)
	require.NoError(t, actor.OutcomeError(d.Outcome))
}

// within runs a story of the shops in a world.
func within(t *testing.T, v code, story func(t *testing.T, w *actortest.World, r *replay.Reader)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := actortest.NewWith(t, host.Config{}, v.register)
		log := w.Cluster.Client()
		defer log.Close()
		story(t, w, replay.NewReader(log, replay.Options{}))
	})
}

// found is what a verification tells.
type found struct {
	verify.Summary
	differences []*verify.Difference
	unchecked   []*verify.Unchecked
}

func check(t *testing.T, r *replay.Reader, v code, cfg verify.Config, all bool) *found {
	t.Helper()
	f := new(found)
	cfg.Registry = actor.NewRegistry()
	v.register(cfg.Registry)
	cfg.Differs = func(d *verify.Difference) { f.differences = append(f.differences, d) }
	cfg.NotChecked = func(u *verify.Unchecked) { f.unchecked = append(f.unchecked, u) }
	var err error
	if all {
		f.Summary, err = verify.All(t.Context(), r, 0, 0, cfg)
	} else {
		f.Summary, err = verify.Actor(t.Context(), r, shopHash, cfg)
	}
	require.NoError(t, err)
	require.Equal(t, f.Outcomes, f.Same+f.Differing+f.NotChecked)
	require.Len(t, f.differences, f.Differing)
	require.Len(t, f.unchecked, f.NotChecked)
	return f
}

func TestVerify_AnHonestHistory(t *testing.T) {
	t.Parallel()
	for _, all := range []bool{false, true} {
		v := good()
		within(t, v, func(t *testing.T, w *actortest.World, r *replay.Reader) {
			play(t, w)
			charged := *v.charged
			f := check(t, r, v, verify.Config{}, all)
			require.Empty(t, f.differences)
			require.Zero(t, f.NotChecked, f.Reasons)
			require.Greater(t, f.Same, 20)
			require.Equal(t, charged, *v.charged, "a step ran")
		})
	}
}

// recorded reads a history of testdata. The file is made by the code of that name, as play has it, if there is none and -rewrite is given; it is never changed.
func recorded(t *testing.T, name string, v code) *replay.Reader {
	t.Helper()
	path := filepath.Join("testdata", name+".history")
	if _, err := os.Stat(path); err != nil && *rewrite {
		within(t, v, func(t *testing.T, w *actortest.World, r *replay.Reader) {
			play(t, w)
			var b bytes.Buffer
			_, err := file.Export(t.Context(), &b, r, shopHash, file.Options{Log: "test", CodeVersion: name})
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
		})
	}
	h, err := file.Open(path)
	require.NoError(t, err)
	return replay.NewReader(h, replay.Options{})
}

// double is a bug: it refunds too much.
func double() code {
	v := good()
	v.refund = func(_ *shop, amount int) int { return 2 * amount }
	return v
}

func TestVerify_RecordedHistories(t *testing.T) {
	t.Parallel()
	t.Run("good: is the same but for headers, which no history has", func(t *testing.T) {
		t.Parallel()
		f := check(t, recorded(t, "good", good()), good(), verify.Config{}, false)
		require.Empty(t, f.differences)
		require.Equal(t, map[string]int{
			"it asks for the headers of the request, which are not kept any more":                                                   1,
			"it was refused, perhaps for what the history does not repeat: how the actor was addressed, or what was to be restored": 1,
		}, f.Reasons)
		require.Greater(t, f.Same, 18)
	})
	t.Run("bad: a refund that took too much", func(t *testing.T) {
		t.Parallel()
		f := check(t, recorded(t, "bad", double()), good(), verify.Config{}, false)
		require.Len(t, f.differences, 1)
		d := f.differences[0]
		require.Equal(t, "refund", d.Action)
		require.Equal(t, []string{
			`state /balance: recorded 106, now 109`,
			`patch: recorded [{"op":"replace","path":"/balance","value":106}], now [{"op":"replace","path":"/balance","value":109}]`,
			`result: recorded 106, now 109`,
			`broadcasts 0: recorded {"args":[106],"name":"balance"}, now {"args":[109],"name":"balance"}`,
		}, texts(d))
	})
	t.Run("good: on code that differs, what differs", func(t *testing.T) {
		t.Parallel()
		for name, tt := range map[string]struct {
			change func(*code)
			action string
			want   []string
		}{
			"a broadcast more": {func(v *code) { v.pay = func(_ *shop, c *actor.Ctx) { c.Broadcast(balance.With(-1)) } }, "pay",
				[]string{`broadcasts 0: recorded {"args":[105],"name":"balance"}, now {"args":[-1],"name":"balance"}`}},
			"no schedule": {func(v *code) {
				v.pay = func(_ *shop, c *actor.Ctx) {
					for _, s := range c.Schedules() {
						c.Cancel(s.ID)
					}
				}
			}, "pay", nil},
			"a send more": {func(v *code) {
				v.pay = func(_ *shop, c *actor.Ctx) { add.Send(c, ledgers.GetOrCreate(c.Client(), "main"), 1) }
			}, "pay", nil},
			"a step more": {func(v *code) {
				v.pay = func(_ *shop, c *actor.Ctx) {
					_, _ = actor.Run(c, "mail", func(context.Context) (int, error) { panic("a step ran") })
				}
			}, "pay", []string{`steps: recorded nothing, now step 1, "mail"`}},
			"a call more": {func(v *code) {
				v.pay = func(_ *shop, c *actor.Ctx) { _, _ = add.Call(c, ledgers.GetOrCreate(c.Client(), "main"), 1) }
			}, "pay", []string{`calls: recorded nothing, now a call to ledger main`}},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				v := good()
				tt.change(&v)
				f := check(t, recorded(t, "good", good()), v, verify.Config{MaxDifferences: -1}, true)
				require.NotEmpty(t, f.differences)
				d := f.differences[0]
				require.Equal(t, tt.action, d.Action, d)
				if tt.want != nil {
					require.Equal(t, tt.want, texts(d))
				}
			})
		}
	})
}

func texts(d *verify.Difference) (all []string) {
	for _, f := range d.Fields {
		all = append(all, f.String())
	}
	return all
}

func TestVerify_WhatIsNotRecorded(t *testing.T) {
	t.Parallel()
	t.Run("vars are not checked, or made if asked", func(t *testing.T) {
		t.Parallel()
		v := good()
		within(t, v, func(t *testing.T, w *actortest.World, r *replay.Reader) {
			for range 2 {
				for range 3 {
					_, err := count.Call(t.Context(), shops.GetOrCreate(w.Client, "a"), actor.None{})
					require.NoError(t, err)
				}
				time.Sleep(time.Minute) // sleeps
			}
			f := check(t, r, v, verify.Config{}, false)
			require.Equal(t, map[string]int{"it asks for the vars of the activation, which are not recorded": 6}, f.Reasons)
			f = check(t, r, v, verify.Config{Vars: true}, false)
			require.Empty(t, f.differences)
			require.Equal(t, 6, f.Same)
		})
	})
	t.Run("headers are read from the actions, as long as they are kept", func(t *testing.T) {
		t.Parallel()
		v := good()
		within(t, v, func(t *testing.T, w *actortest.World, r *replay.Reader) {
			play(t, w)
			require.Zero(t, check(t, r, v, verify.Config{}, false).NotChecked)
			_, end, err := r.Source().Bounds(t.Context(), eventlog.Actions, r.Partition(shopHash))
			require.NoError(t, err)
			w.Cluster.Truncate(eventlog.Actions, r.Partition(shopHash), end)
			f := check(t, r, v, verify.Config{}, false)
			require.Empty(t, f.differences)
			require.Equal(t, 1, f.Reasons["it asks for the headers of the request, which are not kept any more"])
		})
	})
	t.Run("the worker's name is not checked", func(t *testing.T) {
		t.Parallel()
		v := good()
		within(t, v, func(t *testing.T, w *actortest.World, r *replay.Reader) {
			_, err := place.Call(t.Context(), shops.GetOrCreate(w.Client, "a"), actor.None{})
			require.NoError(t, err)
			f := check(t, r, v, verify.Config{}, false)
			require.Equal(t, 1, f.NotChecked)
		})
	})
	t.Run("a kind that is not here is not checked", func(t *testing.T) {
		t.Parallel()
		f := new(found)
		var err error
		f.Summary, err = verify.Actor(t.Context(), recorded(t, "good", good()), shopHash, verify.Config{Registry: actor.NewRegistry()})
		require.NoError(t, err)
		require.Equal(t, map[string]int{verify.ReasonNoKind: f.Outcomes}, f.Reasons)
	})
}

func TestVerify_Sample(t *testing.T) {
	t.Parallel()
	v := good()
	within(t, v, func(t *testing.T, w *actortest.World, r *replay.Reader) {
		for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
			_, err := refund.Call(t.Context(), shops.GetOrCreate(w.Client, key), 1)
			require.NoError(t, err)
		}
		registry := actor.NewRegistry()
		v.register(registry)
		for n, want := range map[int]int{1: 1, 4: 4, 100: 6, 0: 6} {
			s, err := verify.All(t.Context(), r, n, 7, verify.Config{Registry: registry})
			require.NoError(t, err)
			require.Equal(t, want, s.Actors, n)
			require.Equal(t, want, s.Same)
		}
	})
}

func TestVerify_Since(t *testing.T) {
	t.Parallel()
	v := double()
	within(t, v, func(t *testing.T, w *actortest.World, r *replay.Reader) {
		h := shops.GetOrCreate(w.Client, "a")
		_, err := refund.Call(t.Context(), h, 1)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		_, err = pay.Call(t.Context(), h, 1)
		require.NoError(t, err)
		require.False(t, check(t, r, good(), verify.Config{}, false).Clean())
		f := check(t, r, good(), verify.Config{Since: time.Now().Add(-time.Minute)}, false)
		require.Equal(t, 1, f.Outcomes)
		require.True(t, f.Clean())
	})
}

// erasedSource is a log of which the records of some actors are erased: it has what a log whose keys are destroyed reads.
type erasedSource struct {
	eventlog.Source
	erased func(schemas.Hash) bool
}

type erasedTail struct {
	eventlog.Tail
	erased func(schemas.Hash) bool
}

func (s erasedSource) Tail(t eventlog.Topic) (eventlog.Tail, error) {
	tail, err := s.Source.Tail(t)
	return erasedTail{tail, s.erased}, err
}

func (t erasedTail) Poll(ctx context.Context) ([]eventlog.Record, error) {
	polled, err := t.Tail.Poll(ctx)
	records := slices.Clone(polled)
	for i, r := range records {
		hash, ok := schemas.ParseHash(r.Key)
		if !ok || !t.erased(hash) {
			continue
		}
		m, err := schemas.Decode(schemas.Type(r.Header(schemas.HeaderType)), r.Value)
		if err != nil {
			return nil, err
		}
		if schemas.Split(m) == nil {
			continue
		}
		sealed := &actorlogv1.Sealed{Erased: true}
		switch m := m.(type) {
		case *actorlogv1.Outcome:
			m.Sealed = sealed
		case *actorlogv1.Step:
			m.Sealed = sealed
		case *actorlogv1.Action:
			m.Sealed = sealed
		}
		if records[i].Value, err = schemas.Encode(m); err != nil {
			return nil, err
		}
	}
	return records, err
}

// An actor that was erased is not checked, and what another one was told by it is not certain: the gate does not fail for ever because somebody had a right to be forgotten.
func TestVerify_WhatWasErased(t *testing.T) {
	t.Parallel()
	v := good()
	within(t, v, func(t *testing.T, w *actortest.World, r *replay.Reader) {
		play(t, w)
		for name, erased := range map[string]func(schemas.Hash) bool{
			"the shop":       func(h schemas.Hash) bool { return h == shopHash },
			"whom it called": func(h schemas.Hash) bool { return h != shopHash },
			"all":            func(schemas.Hash) bool { return true },
		} {
			for _, all := range []bool{false, true} {
				r := replay.NewReader(erasedSource{r.Source(), erased}, replay.Options{})
				f := check(t, r, v, verify.Config{}, all)
				require.Empty(t, f.differences, name)
				require.Positive(t, f.NotChecked, name)
				for reason := range f.Reasons {
					require.Contains(t, reason, "erased", name)
				}
				if name == "whom it called" || (name == "the shop" && all) {
					require.Positive(t, f.Same, name)
				}
			}
		}
	})
}
