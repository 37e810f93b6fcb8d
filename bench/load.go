package main

import (
	"cmp"
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"
)

// call is what one caller does again and again: it returns when the answer is there. It is used by
// one goroutine at a time.
type call func(ctx context.Context) error

// closedLoop lets every caller call, and call again as soon as it is answered, and measures what
// is answered after the warm-up.
func closedLoop(ctx context.Context, callers []call, warmUp, d time.Duration) (result, error) {
	runtime.GC() // what others left behind is not these callers' to collect
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	began := time.Now()
	from, to := warmUp, warmUp+d
	latencies := make([][]time.Duration, len(callers))
	var wg sync.WaitGroup
	var used time.Duration
	wg.Go(func() {
		if !pause(ctx, from) {
			return
		}
		before := processorTime()
		pause(ctx, to-time.Since(began))
		used = processorTime() - before
	})
	for i, call := range callers {
		wg.Go(func() {
			// A context of its own, as a caller has it: one for all would be fought over.
			ctx, done := context.WithCancel(ctx)
			defer done()
			taken := make([]time.Duration, 0, 1024)
			for asked := time.Since(began); asked < to; {
				if err := call(ctx); err != nil {
					cancel(err)
					break
				}
				answered := time.Since(began)
				if answered >= from && answered < to {
					taken = append(taken, answered-asked)
				}
				asked = answered
			}
			latencies[i] = taken
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return result{}, context.Cause(ctx)
	}
	all := slices.Concat(latencies...)
	if len(all) == 0 {
		return result{}, errors.New("nothing was answered in the time of the measurement; take a longer -duration")
	}
	r := result{
		Callers: len(callers), OpsPerS: round(float64(len(all)) / d.Seconds()),
		CPUus: round(used.Seconds() * 1e6 / float64(len(all))),
	}
	r.latency(all)
	return r, nil
}

// pause waits, or returns false when ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// latency fills in the percentiles; it sorts the samples.
func (r *result) latency(samples []time.Duration) {
	slices.Sort(samples)
	r.P50us, r.P99us = microseconds(quantile(samples, 0.50)), microseconds(quantile(samples, 0.99))
}

// median is the round in the middle.
func median(rounds []result, by func(*result) float64) result {
	slices.SortFunc(rounds, func(a, b result) int { return cmp.Compare(by(&a), by(&b)) })
	return rounds[len(rounds)/2]
}

// quantile of sorted samples: the smallest one that is not exceeded by a share q of all.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

func microseconds(d time.Duration) float64 { return round(float64(d) / float64(time.Microsecond)) }

func milliseconds(d time.Duration) float64 { return round(float64(d) / float64(time.Millisecond)) }

// round keeps four digits: more would pretend to a precision that is not there.
func round(x float64) float64 {
	x, err := strconv.ParseFloat(strconv.FormatFloat(x, 'e', 3, 64), 64)
	if err != nil {
		panic(err) // it was just formatted
	}
	return x
}
