package sealed_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/logtest"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/eventlog/sealed"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

var keyA, keyB = strings.Repeat("a1", 32), strings.Repeat("b2", 32)

func masters(t *testing.T, keys ...string) sealed.Masters {
	t.Helper()
	m, err := sealed.ParseMasters(strings.Join(keys, "\n"))
	require.NoError(t, err)
	return m
}

// open opens a client of a cluster, as a process of its own.
func open(t *testing.T, c *memlog.Cluster, m sealed.Masters, kinds ...string) *sealed.Log {
	t.Helper()
	inner := c.Client()
	l, err := sealed.Open(t.Context(), inner, m, kinds...)
	require.NoError(t, err)
	t.Cleanup(func() {
		l.Close()
		inner.Close()
	})
	return l
}

// action is an action of actor user/key, with a secret in it.
func action(t *testing.T, key, secret string) eventlog.Record {
	t.Helper()
	m := &actorlogv1.Action{
		Actor: &actorlogv1.Actor{Namespace: "default", Kind: "user", Key: []string{key}}, RequestId: "r",
		Body: &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: "rename", ArgsJson: fmt.Appendf(nil, "[%q]", secret)}},
	}
	value, err := schemas.Encode(m)
	require.NoError(t, err)
	hash := schemas.HashOf("default", "user", []string{key})
	return eventlog.Record{Key: hash[:], Value: value, Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(schemas.TypeAction)}}}
}

func write(t *testing.T, l eventlog.Log, r eventlog.Record) {
	t.Helper()
	done := make(chan error, 1)
	l.Append(t.Context(), eventlog.Actions, r, func(_ int64, err error) { done <- err })
	require.NoError(t, <-done)
}

// read returns the arguments of all actions, "erased" for those that were.
func read(t *testing.T, l eventlog.Log) (all []string) {
	t.Helper()
	_, end, err := l.Bounds(t.Context(), eventlog.Actions, 0)
	require.NoError(t, err)
	require.NoError(t, eventlog.Scan(t.Context(), l, eventlog.Actions, 0, 0, end, func(r *eventlog.Record) error {
		a, err := schemas.DecodeAs[*actorlogv1.Action](schemas.TypeAction, r.Value)
		if err != nil {
			return err
		}
		require.Equal(t, "rename", a.GetInvoke().Name, "what was asked stays readable")
		text := string(a.GetInvoke().ArgsJson)
		if a.Sealed != nil {
			require.True(t, a.Sealed.Erased)
			require.Equal(t, schemas.Erased, text)
			text = "erased"
		}
		all = append(all, text)
		return nil
	}))
	return all
}

func userHash(key string) schemas.Hash { return schemas.HashOf("default", "user", []string{key}) }

func erase(t *testing.T, l *sealed.Log, key string) (int, error) {
	t.Helper()
	if n, err := l.Retire(t.Context(), userHash(key)); err != nil {
		return n, err
	}
	return l.Destroy(t.Context(), userHash(key))
}

type closing struct {
	*sealed.Log
	inner *memlog.Log
}

func (c closing) Close() { c.inner.Close() }

func TestLog_Conforms(t *testing.T) {
	t.Parallel()
	logtest.Exercise(t, func(t *testing.T) logtest.Factory {
		const session = 500 * time.Millisecond
		c := memlog.NewCluster(logtest.Partitions)
		c.SetSessionTimeout(session)
		return logtest.Factory{
			Open: func(t *testing.T) eventlog.Log {
				inner := c.Client()
				l, err := sealed.Open(t.Context(), inner, masters(t, keyA), sealed.AllKinds)
				require.NoError(t, err)
				t.Cleanup(func() {
					inner.Close()
					l.Close()
				})
				return closing{l, inner}
			},
			TooLarge: memlog.DefaultMaxRecordBytes + 1,
			Truncate: func(_ *testing.T, topic eventlog.Topic, partition int32, below int64) {
				c.Truncate(topic, partition, below)
			},
			Crash:          func(l eventlog.Log) { l.(closing).inner.Crash() },
			SessionTimeout: session,
		}
	})
}

func TestSealed(t *testing.T) {
	t.Parallel()
	c := memlog.NewCluster(1)
	l, other := open(t, c, masters(t, keyA), "user"), open(t, c, masters(t, keyA), "user")
	write(t, l, action(t, "ann", "canary-1"))
	write(t, other, action(t, "ann", "canary-2"))
	write(t, l, action(t, "bob", "canary-3"))
	for _, topic := range []eventlog.Topic{eventlog.Actions, eventlog.Keys} {
		for _, r := range c.Records(topic, 0) {
			require.NotContains(t, string(r.Value), "canary")
		}
	}
	all := []string{`["canary-1"]`, `["canary-2"]`, `["canary-3"]`}
	require.Equal(t, all, read(t, l))
	require.Equal(t, all, read(t, other))
	require.Equal(t, all, read(t, open(t, c, masters(t, keyA))), "who reads alone needs no kinds")

	// Without the keys, a record says what it is.
	plain := c.Client()
	t.Cleanup(plain.Close)
	err := eventlog.Scan(t.Context(), plain, eventlog.Actions, 0, 0, 1, func(r *eventlog.Record) error {
		_, err := schemas.Decode(schemas.TypeAction, r.Value)
		return err
	})
	require.ErrorIs(t, err, schemas.ErrSealed)
	wrong := open(t, c, masters(t, keyB))
	err = eventlog.Scan(t.Context(), wrong, eventlog.Actions, 0, 0, 1, func(*eventlog.Record) error { return nil })
	require.ErrorContains(t, err, "which was not given", "not taken for erased")

	n, err := erase(t, l, "ann")
	require.NoError(t, err)
	require.Positive(t, n, "one, or one of each process")
	erased := []string{"erased", "erased", `["canary-3"]`}
	require.Equal(t, erased, read(t, l))
	require.Eventually(t, func() bool { all := read(t, other); return all[0] == "erased" && all[1] == "erased" }, 5*time.Second, time.Millisecond, "other processes hear of it")

	// A life after that has a key of its own. Compaction takes the old one away, and nobody misses it.
	write(t, other, action(t, "ann", "again"))
	c.Compact(eventlog.Keys, 0, 100)
	require.Len(t, c.Records(eventlog.Keys, 0), 2, "those of bob, and the new one")
	require.Equal(t, append(erased, `["again"]`), read(t, open(t, c, masters(t, keyA))))
}

// Many processes write of an actor that none has written of. Whoever makes its key first, everything can be read, also when compaction has been there.
func TestSealed_KeysThatAreMadeAtTheSameTime(t *testing.T) {
	t.Parallel()
	for range 20 {
		c := memlog.NewCluster(1)
		logs := make([]*sealed.Log, 5)
		for i := range logs {
			logs[i] = open(t, c, masters(t, keyA), "user")
		}
		var wg sync.WaitGroup
		for i, l := range logs {
			for j := range 3 {
				wg.Go(func() { write(t, l, action(t, "ann", fmt.Sprint(i, j))) })
			}
		}
		wg.Wait()
		c.Compact(eventlog.Keys, 0, 1000)
		all := read(t, open(t, c, masters(t, keyA)))
		require.Len(t, all, 15)
		require.NotContains(t, all, "erased")
		// From then on, all use the same one.
		write(t, logs[0], action(t, "ann", "x"))
		write(t, logs[1], action(t, "ann", "y"))
		used := make(map[string]bool)
		for _, r := range c.Records(eventlog.Actions, 0)[15:] {
			m, err := schemas.DecodeStored(schemas.TypeAction, r.Value)
			require.NoError(t, err)
			used[string(m.(*actorlogv1.Action).Sealed.KeyId)] = true
		}
		require.Len(t, used, 1)
		_, err := erase(t, logs[2], "ann")
		require.NoError(t, err)
		for _, text := range read(t, logs[2]) {
			require.Equal(t, "erased", text, "all keys are destroyed")
		}
	}
}

func TestSealed_WhichRecords(t *testing.T) {
	t.Parallel()
	c := memlog.NewCluster(1)
	l, reader := open(t, c, masters(t, keyA), "user"), open(t, c, masters(t, keyA))
	isSealed := func(r eventlog.Record, by eventlog.Log) bool {
		write(t, by, r)
		records := c.Records(eventlog.Actions, 0)
		return !bytes.Contains(records[len(records)-1].Value, []byte("canary"))
	}
	edit := func(set func(*actorlogv1.Action)) eventlog.Record {
		r := action(t, "ann", "canary")
		a, err := schemas.DecodeAs[*actorlogv1.Action](schemas.TypeAction, r.Value)
		require.NoError(t, err)
		set(a)
		r.Value, err = schemas.Encode(a)
		require.NoError(t, err)
		return r
	}
	byID := edit(func(a *actorlogv1.Action) { a.Actor = &actorlogv1.Actor{Generation: 1} })
	require.False(t, isSealed(byID, l), "nobody knows that it is of a kind that is sealed")
	require.False(t, isSealed(action(t, "ann", "canary"), reader))
	require.False(t, isSealed(edit(func(a *actorlogv1.Action) { a.Actor.Kind = "other" }), reader))
	destroy := edit(func(a *actorlogv1.Action) { a.Body = &actorlogv1.Action_Destroy{Destroy: new(actorlogv1.Destroy)} })
	write(t, l, destroy)
	require.Empty(t, c.Records(eventlog.Keys, 0), "there is nothing in it to be sealed")
	require.True(t, isSealed(action(t, "ann", "canary"), l))
	require.True(t, isSealed(byID, l))
	require.True(t, isSealed(byID, open(t, c, masters(t, keyA), "something else")), "a process that has heard nothing yet asks")
	require.Eventually(t, func() bool { return isSealed(action(t, "ann", "canary"), reader) }, 5*time.Second, time.Millisecond,
		"once an actor has a key, its records are sealed, whoever writes them")
}

// A record that was changed stops its actor, as one that cannot be decoded: it is neither passed off as another one nor does it stop its shard.
func TestSealed_Tampered(t *testing.T) {
	t.Parallel()
	c := memlog.NewCluster(1)
	l := open(t, c, masters(t, keyA), "user")
	hash := userHash("ann")
	value, err := schemas.Encode(&actorlogv1.Outcome{Ref: 1, Epoch: 7, Actor: &actorlogv1.Actor{Kind: "user", Key: []string{"ann"}}, ResultJson: []byte("1")})
	require.NoError(t, err)
	r := eventlog.Record{Key: hash[:], Value: schemas.AppendPlace(value, 9), Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(schemas.TypeOutcome)}}}
	require.NoError(t, l.Seal(t.Context(), eventlog.Events, &r))
	stored := eventlog.Record{Key: r.Key, Value: r.Stored, Headers: r.Headers}
	epoch, place := schemas.PlaceOf(stored.Value)
	require.Equal(t, []int64{7, 9}, []int64{epoch, place}, "readers need no key to know whether it counts")

	m, err := schemas.DecodeStored(schemas.TypeOutcome, stored.Value)
	require.NoError(t, err)
	o := m.(*actorlogv1.Outcome)
	o.Sealed.Text[20] ^= 1
	changed := stored
	changed.Value, err = schemas.Encode(o)
	require.NoError(t, err)
	otherActor := stored
	other := userHash("bob")
	_, err = l.Keys(t.Context(), other)
	require.NoError(t, err)
	otherActor.Key = other[:]
	c.Inject(eventlog.Events, 0, changed, stored, otherActor)
	var errs []error
	require.NoError(t, eventlog.Scan(t.Context(), l, eventlog.Events, 0, 0, 3, func(r *eventlog.Record) error {
		epoch, place := schemas.PlaceOf(r.Value)
		require.Equal(t, []int64{7, 9}, []int64{epoch, place})
		o, err := schemas.DecodeAs[*actorlogv1.Outcome](schemas.TypeOutcome, r.Value)
		errs = append(errs, err)
		if err == nil && r.Offset == 1 {
			require.Equal(t, "1", string(o.ResultJson))
		}
		if r.Offset == 2 {
			require.True(t, o.Sealed.Erased, "moved to another actor, whose key it is not")
		}
		return nil
	}))
	require.ErrorIs(t, errs[0], schemas.ErrMalformed)
	require.NoError(t, errs[1])
}

// A process that has heard nothing for a while asks before it seals with a key that was retired meanwhile. So what it writes outlives that key.
func TestSealed_RetiredKeysSealNothingMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := memlog.NewCluster(1)
		m := masters(t, keyA)
		inner := c.Client()
		l, err := sealed.Open(t.Context(), inner, m, "user")
		require.NoError(t, err)
		lag := &lagging{Log: c.Client()}
		slow, err := sealed.Open(t.Context(), lag, m, "user")
		require.NoError(t, err)
		write(t, slow, action(t, "ann", "old"))
		lag.by.Store(int64(20 * time.Second))
		_, err = l.Retire(t.Context(), userHash("ann"))
		require.NoError(t, err)
		time.Sleep(sealed.RetireFor)
		go func() { // it waits for the news
			time.Sleep(30 * time.Second)
			lag.by.Store(0)
		}()
		write(t, slow, action(t, "ann", "new"))
		_, err = l.Destroy(t.Context(), userHash("ann"))
		require.NoError(t, err)
		require.Equal(t, []string{"erased", `["new"]`}, read(t, l))
		lag.by.Store(0)
		l.Close()
		slow.Close()
		inner.Close()
		lag.Log.(*memlog.Log).Close()
	})
}

// lagging is a log whose readers hear late.
type lagging struct {
	eventlog.Log
	by atomic.Int64
}

func (l *lagging) Tail(t eventlog.Topic) (eventlog.Tail, error) {
	tail, err := l.Log.Tail(t)
	return lateTail{tail, l}, err
}

type lateTail struct {
	eventlog.Tail
	l *lagging
}

func (t lateTail) Poll(ctx context.Context) ([]eventlog.Record, error) {
	records, err := t.Tail.Poll(ctx)
	time.Sleep(time.Duration(t.l.by.Load()))
	return records, err
}

func TestRewrap(t *testing.T) {
	t.Parallel()
	c := memlog.NewCluster(2)
	old := open(t, c, masters(t, keyA), "user")
	for i := range 20 {
		r := action(t, fmt.Sprint(i), "s")
		r.Partition = userHash(fmt.Sprint(i)).Shard(2)
		write(t, old, r)
	}
	both := open(t, c, masters(t, keyB, keyA), "user")
	_, err := erase(t, both, "3")
	require.NoError(t, err)
	n, err := both.Rewrap(t.Context())
	require.NoError(t, err)
	require.Equal(t, 19, n)
	n, err = both.Rewrap(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	for p := range int32(2) {
		c.Compact(eventlog.Keys, p, 1000)
	}
	alone := open(t, c, masters(t, keyB), "user")
	erased := 0
	for p := range int32(2) {
		_, end, err := alone.Bounds(t.Context(), eventlog.Actions, p)
		require.NoError(t, err)
		require.NoError(t, eventlog.Scan(t.Context(), alone, eventlog.Actions, p, 0, end, func(r *eventlog.Record) error {
			a, err := schemas.DecodeAs[*actorlogv1.Action](schemas.TypeAction, r.Value)
			if a.GetSealed() != nil {
				erased++
			}
			return err
		}))
	}
	require.Equal(t, 1, erased, "it stays destroyed")
}

// Keys cannot be made while the brokers refuse: nothing is written in the clear meanwhile.
func TestSealed_NothingIsWrittenWithoutAKey(t *testing.T) {
	t.Parallel()
	c := memlog.NewCluster(1)
	l := open(t, c, masters(t, keyA), "user")
	c.SetFaults(func(w memlog.Write) memlog.Fault {
		if w.Topic == eventlog.Keys {
			return memlog.Fault{Err: context.DeadlineExceeded}
		}
		return memlog.Fault{}
	})
	done := make(chan error, 1)
	l.Append(t.Context(), eventlog.Actions, action(t, "ann", "s"), func(_ int64, err error) { done <- err })
	require.ErrorContains(t, <-done, "making a key")
	require.Empty(t, c.Records(eventlog.Actions, 0))
	c.SetFaults(nil)
	write(t, l, action(t, "ann", "s"))
	require.Equal(t, []string{`["s"]`}, read(t, l))
}

func TestParseMasters(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "# nothing", "abc", keyA[2:], keyA + "\nx"} {
		_, err := sealed.ParseMasters(text)
		require.Error(t, err, text)
		require.NotContains(t, err.Error(), "a1a1")
	}
	_, err := sealed.ParseMasters("# new\n" + keyA + "\n\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")
	require.NoError(t, err)
}
