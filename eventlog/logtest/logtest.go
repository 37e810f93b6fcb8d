// Package logtest is the suite that every [eventlog.Log] passes: each sentence of the
// port's comments that a caller relies on, as a test.
//
// It owns nothing that outlives a test, and it refuses to test what only one adapter
// has: faults are memlog's business, brokers are kafkalog's.
package logtest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/eventlog"
)

// Partitions is how many partitions the topics of a Factory must have.
const Partitions = 4

// Factory gives access to one fresh set of empty topics.
type Factory struct {
	// Open opens one more client of the topics; the factory closes it when the test
	// ends. The result has a method Close.
	Open func(t *testing.T) eventlog.Log
	// TooLarge is a size of a value that the log refuses.
	TooLarge int
	// Truncate deletes the records below an offset, as retention does.
	Truncate func(t *testing.T, topic eventlog.Topic, partition int32, below int64)
	// Crash cuts the client off from the brokers for good, as the death of its process
	// would.
	Crash func(l eventlog.Log)
	// SessionTimeout is how long a crashed member keeps its partitions.
	SessionTimeout time.Duration
}

// Exercise runs the suite; fresh is called once per test.
func Exercise(t *testing.T, fresh func(t *testing.T) Factory) {
	t.Helper()
	exercise(t, fresh, func(string) bool { return true })
}

// ExerciseJoin runs the part of the suite that is about Join, for a log with several ways to do it.
func ExerciseJoin(t *testing.T, fresh func(t *testing.T) Factory) {
	t.Helper()
	exercise(t, fresh, func(group string) bool { return group == "Join" })
}

func exercise(t *testing.T, fresh func(t *testing.T) Factory, wanted func(group string) bool) {
	t.Helper()
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"Append", appendTests},
		{"Bounds", boundsTests},
		{"Tail", tailTests},
		{"Scan", scanTests},
		{"Snapshots", snapshotTests},
		{"Join", joinTests},
		{"Identity", identityTests},
	} {
		if !wanted(group.name) {
			continue
		}
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) {
					t.Parallel()
					ctx, cancel := context.WithTimeout(context.Background(), patience)
					t.Cleanup(cancel)
					test.run(&env{T: t, ctx: ctx, f: fresh(t)})
				})
			}
		})
	}
}

// patience is how long anything may take before it counts as never happening.
const patience = time.Minute

type test struct {
	name string
	run  func(e *env)
}

// env is what a test works with.
type env struct {
	*testing.T
	ctx context.Context
	f   Factory
}

func (e *env) open() eventlog.Log { return e.f.Open(e.T) }

func closeLog(l eventlog.Log) { l.(interface{ Close() }).Close() }

// outcome is what done was called with.
type outcome struct {
	offset int64
	err    error
}

// append appends and returns where the outcome will be. A second call of done panics.
func (e *env) append(l eventlog.Log, topic eventlog.Topic, r eventlog.Record) <-chan outcome {
	ch := make(chan outcome, 1)
	var once sync.Once
	l.Append(e.ctx, topic, r, func(offset int64, err error) {
		called := false
		once.Do(func() { called = true })
		if !called {
			panic("done was called twice")
		}
		ch <- outcome{offset, err}
	})
	return ch
}

// appended waits for the outcome, which must be good.
func (e *env) appended(ch <-chan outcome) int64 {
	e.Helper()
	o := e.outcome(ch)
	require.NoError(e, o.err)
	return o.offset
}

func (e *env) outcome(ch <-chan outcome) outcome {
	e.Helper()
	select {
	case o := <-ch:
		return o
	case <-e.ctx.Done():
		require.FailNow(e, "done was not called")
		return outcome{}
	}
}

// fill appends n records whose values are their numbers, and waits for them.
func (e *env) fill(l eventlog.Log, topic eventlog.Topic, partition int32, n int) {
	e.Helper()
	var pending []<-chan outcome
	for i := range n {
		pending = append(pending, e.append(l, topic, record(partition, fmt.Sprint(i))))
	}
	for _, ch := range pending {
		e.appended(ch)
	}
}

func record(partition int32, value string) eventlog.Record {
	return eventlog.Record{Partition: partition, Key: []byte("key"), Value: []byte(value)}
}

func (e *env) tail(l eventlog.Log, topic eventlog.Topic) eventlog.Tail {
	e.Helper()
	tail, err := l.Tail(topic)
	require.NoError(e, err)
	e.Cleanup(tail.Close)
	return tail
}

// poll returns the next n records.
func (e *env) poll(tail eventlog.Tail, n int) []eventlog.Record {
	e.Helper()
	var out []eventlog.Record
	for len(out) < n {
		records, err := tail.Poll(e.ctx)
		require.NoError(e, err)
		require.NotEmpty(e, records, "a Poll without records and without an error")
		out = append(out, records...)
	}
	require.Len(e, out, n, "more records than there should be")
	return out
}

// pollError polls until there is an error, which must be of a partition.
func (e *env) pollError(tail eventlog.Tail) *eventlog.PartitionError {
	e.Helper()
	for {
		_, err := tail.Poll(e.ctx)
		if err == nil {
			continue
		}
		var pe *eventlog.PartitionError
		require.ErrorAs(e, err, &pe)
		return pe
	}
}

func values(records []eventlog.Record) []string {
	out := make([]string, 0, len(records))
	for _, r := range records {
		out = append(out, string(r.Value))
	}
	return out
}

func offsets(records []eventlog.Record) []int64 {
	out := make([]int64, 0, len(records))
	for _, r := range records {
		out = append(out, r.Offset)
	}
	return out
}
