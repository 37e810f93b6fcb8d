package logtest

import (
	"context"
	"fmt"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/eventlog"
)

var tailTests = []test{
	{"ReadsFromWhereItWasAdded", func(e *env) {
		l := e.open()
		e.fill(l, eventlog.Events, 0, 5)
		e.fill(l, eventlog.Events, 1, 5)
		tail := e.tail(l, eventlog.Events)
		tail.Add(0, 3)
		require.Equal(e, []string{"3", "4"}, values(e.poll(tail, 2)))
		tail.Add(1, 0)
		require.Equal(e, []int64{0, 1, 2, 3, 4}, offsets(e.poll(tail, 5)))
	}},

	{"WaitingPollIsWokenByAppend", func(e *env) {
		l, other := e.open(), e.open()
		tail := e.tail(l, eventlog.Events)
		for p := range int32(Partitions) {
			tail.Add(p, 0)
		}
		for i := range 20 {
			type polled struct {
				records []eventlog.Record
				err     error
			}
			ch := make(chan polled, 1)
			go func() {
				records, err := tail.Poll(e.ctx)
				ch <- polled{records, err}
			}()
			p := int32(i % Partitions)
			e.appended(e.append(other, eventlog.Events, record(p, fmt.Sprint(i))))
			got := <-ch
			require.NoError(e, got.err)
			require.Len(e, got.records, 1)
			require.Equal(e, fmt.Sprint(i), string(got.records[0].Value))
			require.Equal(e, p, got.records[0].Partition)
		}
	}},

	{"PartitionAddedWhilePollWaitsIsRead", func(e *env) {
		l := e.open()
		e.fill(l, eventlog.Events, 1, 3)
		e.fill(l, eventlog.Events, 2, 3)
		tail := e.tail(l, eventlog.Events)
		tail.Add(0, 0)
		got := make(chan []eventlog.Record, 1)
		go func() {
			var out []eventlog.Record
			for len(out) < 6 {
				records, err := tail.Poll(e.ctx)
				if err != nil {
					break
				}
				out = append(out, records...)
			}
			got <- out
		}()
		tail.Add(1, 0)
		tail.Add(2, 0)
		require.Len(e, <-got, 6)
	}},

	{"EveryRecordOnceInOrder", func(e *env) {
		l := e.open()
		const n = 3000
		tail := e.tail(l, eventlog.Events)
		for p := range int32(Partitions) {
			tail.Add(p, 0)
		}
		var wg sync.WaitGroup
		for p := range int32(Partitions) {
			wg.Go(func() {
				for i := range n {
					l.Append(e.ctx, eventlog.Events, record(p, fmt.Sprint(i)), func(int64, error) {})
				}
			})
		}
		var next [Partitions]int64
		for _, r := range e.poll(tail, Partitions*n) {
			require.Equal(e, next[r.Partition], r.Offset)
			require.Equal(e, fmt.Sprint(r.Offset), string(r.Value))
			next[r.Partition]++
		}
		wg.Wait()
	}},

	{"LargeRecordsDoNotStopIt", func(e *env) {
		l := e.open()
		const n = 8
		tail := e.tail(l, eventlog.Events)
		for p := range int32(2) {
			tail.Add(p, 0)
			for range n {
				l.Append(e.ctx, eventlog.Events, eventlog.Record{Partition: p, Value: make([]byte, 3<<20)}, func(int64, error) {})
			}
		}
		for _, r := range e.poll(tail, 2*n) {
			require.Len(e, r.Value, 3<<20)
		}
	}},

	{"MovedPartitionIsReadFromItsNewOffset", func(e *env) {
		l := e.open()
		e.fill(l, eventlog.Events, 0, 10)
		e.fill(l, eventlog.Events, 1, 1)
		tail := e.tail(l, eventlog.Events)
		tail.Add(0, 0)
		e.poll(tail, 10)
		tail.Add(0, 7) // back
		require.Equal(e, []int64{7, 8, 9}, offsets(e.poll(tail, 3)))
		tail.Add(0, 0)
		tail.Add(0, 5) // before anything was polled
		require.Equal(e, []int64{5, 6, 7, 8, 9}, offsets(e.poll(tail, 5)))
		tail.Add(0, 10)
		e.fill(l, eventlog.Events, 0, 1)
		require.Equal(e, []int64{10}, offsets(e.poll(tail, 1)))
	}},

	{"RemovedPartitionIsNotReturned", func(e *env) {
		l := e.open()
		tail := e.tail(l, eventlog.Events)
		tail.Add(0, 0)
		tail.Add(1, 0)
		e.fill(l, eventlog.Events, 0, 100)
		e.fill(l, eventlog.Events, 1, 1)
		seen := 0
		for seen == 0 { // so that records of 0 are underway
			records, err := tail.Poll(e.ctx)
			require.NoError(e, err)
			for _, r := range records {
				seen += int(r.Partition)
			}
		}
		tail.Remove(0)
		tail.Remove(3) // not being read
		e.fill(l, eventlog.Events, 0, 100)
		e.fill(l, eventlog.Events, 1, 10)
		for _, r := range e.poll(tail, 10) {
			require.EqualValues(e, 1, r.Partition)
		}
	}},

	{"ErrOffsetOutOfRangeAboveTheEnd", func(e *env) {
		l := e.open()
		e.fill(l, eventlog.Events, 0, 3)
		tail := e.tail(l, eventlog.Events)
		tail.Add(1, 0)
		tail.Add(0, 4)
		pe := e.pollError(tail)
		require.ErrorIs(e, pe, eventlog.ErrOffsetOutOfRange)
		require.Equal(e, eventlog.Events, pe.Topic)
		require.EqualValues(e, 0, pe.Partition)

		e.fill(l, eventlog.Events, 0, 3) // not read any more
		e.fill(l, eventlog.Events, 1, 3)
		for _, r := range e.poll(tail, 3) {
			require.EqualValues(e, 1, r.Partition)
		}
		tail.Add(0, 3)
		require.Equal(e, []int64{3, 4, 5}, offsets(e.poll(tail, 3)))
	}},

	{"ErrOffsetOutOfRangeBelowTheStart", func(e *env) {
		l := e.open()
		e.fill(l, eventlog.Actions, 0, 10)
		e.f.Truncate(e.T, eventlog.Actions, 0, 4)
		tail := e.tail(l, eventlog.Actions)
		tail.Add(0, 3)
		require.ErrorIs(e, e.pollError(tail), eventlog.ErrOffsetOutOfRange)
		tail.Add(0, 4)
		require.Equal(e, []int64{4, 5, 6, 7, 8, 9}, offsets(e.poll(tail, 6)))
		tail.Add(0, -1)
		require.ErrorIs(e, e.pollError(tail), eventlog.ErrOffsetOutOfRange)
	}},

	{"ErrOfAPartitionThatDoesNotExist", func(e *env) {
		l := e.open()
		e.fill(l, eventlog.Events, 0, 1)
		tail := e.tail(l, eventlog.Events)
		tail.Add(Partitions, 0)
		require.EqualValues(e, Partitions, e.pollError(tail).Partition)
		tail.Add(0, 0)
		e.poll(tail, 1)
	}},

	{"ErrOfAContextLosesNothing", func(e *env) {
		l := e.open()
		tail := e.tail(l, eventlog.Events)
		tail.Add(0, 0)
		ctx, cancel := context.WithCancel(e.ctx)
		ended := make(chan error, 1)
		go func() {
			_, err := tail.Poll(ctx)
			ended <- err
		}()
		cancel()
		require.ErrorIs(e, <-ended, context.Canceled)
		e.fill(l, eventlog.Events, 0, 2)
		e.poll(tail, 2)
	}},

	{"ErrClosedEndsARunningPoll", func(e *env) {
		l := e.open()
		tail := e.tail(l, eventlog.Events)
		tail.Add(0, 0)
		ended := make(chan error, 1)
		go func() {
			_, err := tail.Poll(e.ctx)
			ended <- err
		}()
		tail.Close()
		tail.Close() // once is enough, twice does no harm
		require.ErrorIs(e, <-ended, eventlog.ErrClosed)
		_, err := tail.Poll(e.ctx)
		require.ErrorIs(e, err, eventlog.ErrClosed)
	}},

	{"ErrClosedWhenTheLogIs", func(e *env) {
		l := e.open()
		tail := e.tail(l, eventlog.Events)
		tail.Add(0, 0)
		closeLog(l)
		_, err := tail.Poll(e.ctx)
		require.ErrorIs(e, err, eventlog.ErrClosed)
		_, err = l.Tail(eventlog.Events)
		require.ErrorIs(e, err, eventlog.ErrClosed)
	}},
}

var scanTests = []test{
	{"ReadsUpToTheOffset", func(e *env) {
		l := e.open()
		e.fill(l, eventlog.Events, 2, 20)
		for _, c := range []struct{ from, to int64 }{{0, 20}, {5, 6}, {0, 1}, {19, 20}, {7, 7}, {9, 3}} {
			var got []int64
			require.NoError(e, eventlog.Scan(e.ctx, l, eventlog.Events, 2, c.from, c.to, func(r *eventlog.Record) error {
				got = append(got, r.Offset)
				return nil
			}))
			var want []int64
			for o := c.from; o < c.to; o++ {
				want = append(want, o)
			}
			require.Equal(e, want, got)
		}
	}},

	{"ManyAtOnceAndOneAfterTheOther", func(e *env) {
		l := e.open()
		for p := range int32(Partitions) {
			e.fill(l, eventlog.Events, p, 50)
		}
		var wg sync.WaitGroup
		for p := range int32(Partitions) {
			wg.Go(func() {
				for range 10 {
					n := 0
					err := eventlog.Scan(e.ctx, l, eventlog.Events, p, 0, 50, func(*eventlog.Record) error { n++; return nil })
					if err != nil || n != 50 {
						e.Errorf("scanned %d records: %v", n, err)
					}
				}
			})
		}
		wg.Wait()
	}},

	{"ErrOfTheFunctionEndsIt", func(e *env) {
		l := e.open()
		e.fill(l, eventlog.Events, 0, 5)
		boom := fmt.Errorf("boom")
		require.ErrorIs(e, eventlog.Scan(e.ctx, l, eventlog.Events, 0, 0, 5, func(*eventlog.Record) error { return boom }), boom)
	}},

	{"LatestOfAKey", func(e *env) {
		l := e.open()
		at := make(map[string]int64)
		for _, key := range []string{"first", "early", "early"} { // both times; the second one counts
			r := record(0, key)
			r.Key = []byte(key)
			at[key] = e.appended(e.append(l, eventlog.Actions, r))
			e.fill(l, eventlog.Actions, 0, 100)
		}
		at["key"] = at["early"] + 100
		for key, want := range at {
			got, err := eventlog.Latest(e.ctx, l, eventlog.Actions, 0, []byte(key))
			require.NoError(e, err)
			require.NotNil(e, got, key)
			require.Equal(e, []any{want, key}, []any{got.Offset, string(got.Key)})
		}
		got, err := eventlog.Latest(e.ctx, l, eventlog.Actions, 0, []byte("of nobody"))
		require.NoError(e, err)
		require.Nil(e, got)
	}},

	{"ErrOffsetOutOfRangeBelowTheStart", func(e *env) {
		l := e.open()
		e.fill(l, eventlog.Actions, 0, 5)
		e.f.Truncate(e.T, eventlog.Actions, 0, 2)
		err := eventlog.Scan(e.ctx, l, eventlog.Actions, 0, 0, 5, func(*eventlog.Record) error { return nil })
		require.ErrorIs(e, err, eventlog.ErrOffsetOutOfRange)
	}},
}
