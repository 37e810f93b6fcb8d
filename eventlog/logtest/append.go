package logtest

import (
	"context"
	"fmt"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/eventlog"
)

var appendTests = []test{
	{"OffsetsAreContiguousAndInOrderOfTheCalls", func(e *env) {
		l := e.open()
		const n = 2000
		var mu sync.Mutex
		var got [2][]int64
		var calls [2][]int
		var wg sync.WaitGroup
		wg.Add(2 * n)
		for i := range n {
			for p := range 2 {
				l.Append(e.ctx, eventlog.Events, record(int32(p), fmt.Sprint(i)), func(offset int64, err error) {
					defer wg.Done()
					mu.Lock()
					defer mu.Unlock()
					require.NoError(e, err)
					got[p] = append(got[p], offset)
					calls[p] = append(calls[p], i)
				})
			}
		}
		wg.Wait()
		for p := range 2 {
			for i := range n {
				require.EqualValues(e, i, got[p][i])
				require.Equal(e, i, calls[p][i])
			}
		}
		tail := e.tail(l, eventlog.Events)
		tail.Add(1, 0)
		for i, r := range e.poll(tail, n) {
			require.EqualValues(e, i, r.Offset)
			require.Equal(e, fmt.Sprint(i), string(r.Value))
		}
	}},

	{"RecordArrivesAsItWasWritten", func(e *env) {
		writer, reader := e.open(), e.open()
		sent := []eventlog.Record{
			{Partition: 2, Key: []byte("k"), Value: []byte("v"), Headers: []eventlog.Header{
				{Key: "a", Value: []byte("1")}, {Key: "b", Value: []byte{}}, {Key: "a", Value: []byte("2")}}},
			{Partition: 2, Key: []byte("tombstone"), Value: nil},
			{Partition: 2, Key: []byte("empty"), Value: []byte{}},
			{Partition: 2, Key: nil, Value: []byte{0, 255, '\n'}},
			{Partition: 2, Key: []byte("big"), Value: make([]byte, 3<<20)},
		}
		var pending []<-chan outcome
		for _, r := range sent {
			pending = append(pending, e.append(writer, eventlog.Events, r))
		}
		for _, ch := range pending {
			e.appended(ch)
		}
		tail := e.tail(reader, eventlog.Events)
		tail.Add(2, 0)
		got := e.poll(tail, len(sent))
		require.Equal(e, "1", string(got[0].Header("a")))
		require.Nil(e, got[0].Header("c"))
		for i := range sent {
			require.EqualValues(e, 2, got[i].Partition)
			require.EqualValues(e, i, got[i].Offset)
			require.False(e, got[i].Mark)
			require.Equal(e, sent[i].Key, got[i].Key)
			require.Equal(e, sent[i].Value == nil, got[i].Value == nil, "tombstone %d", i)
			require.Equal(e, string(sent[i].Value), string(got[i].Value))
			require.Len(e, got[i].Headers, len(sent[i].Headers))
			for j, h := range sent[i].Headers {
				require.Equal(e, h.Key, got[i].Headers[j].Key)
				require.Equal(e, string(h.Value), string(got[i].Headers[j].Value))
			}
		}
	}},

	{"BuffersAreTheCallersAgainWhenDone", func(e *env) {
		l := e.open()
		value := []byte("before")
		e.appended(e.append(l, eventlog.Actions, eventlog.Record{Value: value}))
		copy(value, "after!")
		tail := e.tail(l, eventlog.Actions)
		tail.Add(0, 0)
		require.Equal(e, []string{"before"}, values(e.poll(tail, 1)))
	}},

	{"AllReadersSeeWritersInOneOrder", func(e *env) {
		const n = 300
		a, b := e.open(), e.open()
		var wg sync.WaitGroup
		for name, l := range map[string]eventlog.Log{"a": a, "b": b} {
			wg.Go(func() {
				for i := range n {
					e.appended(e.append(l, eventlog.Actions, record(0, fmt.Sprint(name, i))))
				}
			})
		}
		wg.Wait()
		var seen [][]string
		for _, l := range []eventlog.Log{a, b} {
			tail := e.tail(l, eventlog.Actions)
			tail.Add(0, 0)
			seen = append(seen, values(e.poll(tail, 2*n)))
		}
		require.Equal(e, seen[0], seen[1])
		next := map[byte]int{}
		for _, v := range seen[0] {
			require.Equal(e, fmt.Sprint(string(v[0]), next[v[0]]), v)
			next[v[0]]++
		}
	}},

	{"ErrTooLargeLeavesOthersUnaffected", func(e *env) {
		l := e.open()
		before := e.append(l, eventlog.Actions, record(1, "before"))
		big := e.append(l, eventlog.Actions, eventlog.Record{Partition: 1, Value: make([]byte, e.f.TooLarge)})
		after := e.append(l, eventlog.Actions, record(1, "after"))
		err := e.outcome(big).err
		require.ErrorIs(e, err, eventlog.ErrTooLarge)
		require.ErrorContains(e, err, "actions")
		require.EqualValues(e, 0, e.appended(before))
		require.EqualValues(e, 1, e.appended(after))
	}},

	{"ErrOfARefusedRecordComesInItsTurn", func(e *env) {
		l := e.open()
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range 50 {
			r := record(0, fmt.Sprint(i))
			if i%5 == 1 {
				r.Value = make([]byte, e.f.TooLarge)
			}
			wg.Add(1)
			l.Append(e.ctx, eventlog.Actions, r, func(int64, error) {
				defer wg.Done()
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i)
			})
		}
		wg.Wait()
		for i := range order {
			require.Equal(e, i, order[i])
		}
	}},

	{"ErrOfAContextThatHasEnded", func(e *env) {
		l := e.open()
		ctx, cancel := context.WithCancel(e.ctx)
		cancel()
		failed := make(chan error, 1)
		l.Append(ctx, eventlog.Actions, record(0, "never"), func(_ int64, err error) { failed <- err })
		require.ErrorIs(e, <-failed, context.Canceled)
		require.EqualValues(e, 0, e.appended(e.append(l, eventlog.Actions, record(0, "first"))))
	}},

	{"DoneIsCalledOnceThoughContextsEnd", func(e *env) {
		l := e.open()
		const n = 200
		counts := make([]int, n)
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range n {
			ctx, cancel := context.WithCancel(e.ctx)
			wg.Add(1)
			l.Append(ctx, eventlog.Actions, record(0, fmt.Sprint(i)), func(int64, error) {
				mu.Lock()
				defer mu.Unlock()
				if counts[i]++; counts[i] == 1 {
					wg.Done()
				}
			})
			go cancel()
		}
		wg.Wait()
		// What was not undone comes before what is appended now.
		last := e.appended(e.append(l, eventlog.Actions, record(0, "last")))
		mu.Lock()
		defer mu.Unlock()
		for i := range counts {
			require.Equal(e, 1, counts[i])
		}
		require.LessOrEqual(e, last, int64(n))
	}},

	{"ErrOfAPartitionThatDoesNotExist", func(e *env) {
		l := e.open()
		require.Error(e, e.outcome(e.append(l, eventlog.Actions, record(Partitions, "x"))).err)
		require.Error(e, e.outcome(e.append(l, eventlog.Actions, record(-1, "x"))).err)
		require.Error(e, e.outcome(e.append(l, eventlog.Gateways, record(1, "x"))).err)
		require.EqualValues(e, 0, e.appended(e.append(l, eventlog.Gateways, record(0, "x"))))
	}},

	{"ErrForSnapshotsWhichHaveAWriter", func(e *env) {
		l := e.open()
		require.Error(e, e.outcome(e.append(l, eventlog.Snapshots, record(0, "x"))).err)
	}},

	{"ErrClosedAfterCloseAndDoneForAllBefore", func(e *env) {
		l := e.open()
		var pending []<-chan outcome
		for i := range 200 {
			pending = append(pending, e.append(l, eventlog.Actions, record(int32(i%Partitions), fmt.Sprint(i))))
		}
		closeLog(l)
		for _, ch := range pending {
			if o := e.outcome(ch); o.err != nil {
				require.ErrorIs(e, o.err, eventlog.ErrClosed)
			}
		}
		require.ErrorIs(e, e.outcome(e.append(l, eventlog.Actions, record(0, "x"))).err, eventlog.ErrClosed)
	}},
}

var boundsTests = []test{
	{"EmptyPartitionEndsWhereItStarts", func(e *env) {
		l := e.open()
		for _, topic := range eventlog.Topics() {
			start, end, err := l.Bounds(e.ctx, topic, 0)
			require.NoError(e, err)
			require.Equal(e, [2]int64{0, 0}, [2]int64{start, end}, topic)
		}
	}},

	{"EndFollowsAppends", func(e *env) {
		l, other := e.open(), e.open()
		e.fill(l, eventlog.Events, 3, 7)
		start, end, err := other.Bounds(e.ctx, eventlog.Events, 3)
		require.NoError(e, err)
		require.Equal(e, [2]int64{0, 7}, [2]int64{start, end})
	}},

	{"StartFollowsRetention", func(e *env) {
		l := e.open()
		e.fill(l, eventlog.Actions, 0, 10)
		e.f.Truncate(e.T, eventlog.Actions, 0, 4)
		start, end, err := l.Bounds(e.ctx, eventlog.Actions, 0)
		require.NoError(e, err)
		require.Equal(e, [2]int64{4, 10}, [2]int64{start, end})
	}},

	{"ErrOfAPartitionThatDoesNotExist", func(e *env) {
		_, _, err := e.open().Bounds(e.ctx, eventlog.Actions, Partitions)
		require.Error(e, err)
	}},
}

var identityTests = []test{
	{"SameForAllClientsOfTheSameTopics", func(e *env) {
		a, b := e.open(), e.open()
		require.NotEmpty(e, a.Identity())
		require.Equal(e, a.Identity(), b.Identity())
		require.EqualValues(e, Partitions, a.Partitions())
	}},
}
