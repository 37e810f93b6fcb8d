package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog/kafkalog"
	"github.com/actorlog/actorlog/examples/counter"
)

// relay is an actor that has others do the work.
var (
	relay = actor.New[actor.None]("relay")
	pass  = actor.Action[string, int64](relay, "pass")
)

func registerRelay(r *actor.Registry) {
	actor.On(r, pass, func(_ *actor.None, c *actor.Ctx, to string) (int64, error) {
		return counter.Increment.Call(c, counter.Kind.GetOrCreate(c.Client(), to), 1)
	})
}

const (
	// failoverCallers in a closed loop: enough to meet every shard, few enough to leave the processors alone.
	failoverCallers = 64
	// watched is how long calls are counted after something has happened to a worker.
	watched = 15 * time.Second
)

// failovers is the names of the results, in order.
var failovers = []string{
	"calls, steady", "calls, worker leaves", "calls, worker joins", "calls, worker killed",
	"calls between actors, steady", "calls between actors, worker leaves", "calls between actors, worker joins", "calls between actors, worker killed",
}

// failover measures what callers notice when a worker leaves, joins or is killed, and how long a shard takes to move as its actors become more.
func (b *bench) failover(ctx context.Context) error {
	if b.short {
		return nil // the least that a group needs to notice a death is longer than all the rest
	}
	for _, load := range []struct {
		name string
		call func(ctx context.Context, c *remote.Client, key string) error
	}{
		{"calls", func(ctx context.Context, c *remote.Client, key string) error {
			_, err := counter.Increment.Call(ctx, counter.Kind.GetOrCreate(c, key), 1)
			return err
		}},
		{"calls between actors", func(ctx context.Context, c *remote.Client, key string) error {
			_, err := pass.Call(ctx, relay.GetOrCreate(c, key), keys[rand.IntN(keyCount)].name)
			return err
		}},
	} {
		if !b.wants("failover/" + load.name) {
			continue
		}
		if err := b.comeAndGo(ctx, load.name, load.call); err != nil {
			return err
		}
	}
	for _, n := range []int{1000, 10_000, 200_000} {
		if !b.wants(fmt.Sprintf("take-over/%d", n)) {
			continue
		}
		for _, standby := range []bool{false, true} {
			if err := b.takeOver(ctx, n, standby); err != nil {
				return err
			}
		}
	}
	return nil
}

// sample is one call.
type sample struct{ began, took time.Duration }

// comeAndGo has two workers, lets one leave, come back and die, and looks at the calls after each.
func (b *bench) comeAndGo(ctx context.Context, name string, call func(context.Context, *remote.Client, string) error) error {
	b.report.progress("failover/%s", name)
	prefix := "failover" + strconv.Itoa(len(name))
	log, err := b.logTo(ctx, prefix)
	if err != nil {
		return err
	}
	defer log.Close()
	client, err := remote.Open(log, remote.Config{})
	if err != nil {
		return err
	}
	defer client.Close()
	workers := 0
	start := func() (*child, error) {
		workers++
		return startChild(ctx, workerConfig{Broker: b.broker.Addr(), Prefix: prefix, DataDir: fmt.Sprintf("%s/%s-%d", b.data, prefix, workers)})
	}
	stays, err := start()
	if err != nil {
		return err
	}
	defer stays.stop()
	goes, err := start()
	if err != nil {
		return err
	}
	defer func() { goes.stop() }()
	if err := createCounters(ctx, client, keyCount, func(i int) string { return keys[i].name }); err != nil {
		return err
	}

	began := time.Now()
	calling, stop := context.WithCancel(ctx)
	samples := make([][]sample, failoverCallers)
	errs := make([]error, failoverCallers)
	var callers sync.WaitGroup
	defer callers.Wait()
	defer stop()
	for i := range samples {
		callers.Go(func() {
			for calling.Err() == nil {
				at := time.Since(began)
				if err := call(ctx, client, keys[rand.IntN(keyCount)].name); err != nil {
					errs[i] = err
					return
				}
				samples[i] = append(samples[i], sample{at, time.Since(began) - at})
			}
		})
	}
	pause(ctx, watched) // for shards to be shared out
	phases := []struct {
		name string
		do   func() error
	}{
		{"steady", func() error { return nil }},
		{"worker leaves", func() error { return goes.leave() }},
		{"worker joins", func() (err error) { goes, err = start(); return err }},
		{"worker killed", func() error { return goes.cmd.Process.Kill() }},
	}
	begins := make([]time.Duration, len(phases)+1)
	for i, phase := range phases {
		begins[i] = time.Since(began)
		if err := phase.do(); err != nil {
			return fmt.Errorf("%s: %w", phase.name, err)
		}
		b.report.progress("failover/%s: %s, which took %v", name, phase.name, (time.Since(began) - begins[i]).Round(time.Millisecond))
		if !pause(ctx, begins[i]+watched-time.Since(began)) {
			return context.Cause(ctx)
		}
	}
	begins[len(phases)] = time.Since(began)
	stop()
	callers.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	all := slices.Concat(samples...)
	for i, phase := range phases {
		var taken []time.Duration
		for _, s := range all {
			if end := s.began + s.took; end >= begins[i] && (end < begins[i+1] || i == len(phases)-1) {
				taken = append(taken, s.took)
			}
		}
		if len(taken) == 0 {
			return fmt.Errorf("%s, %s: nothing was answered", name, phase.name)
		}
		r := result{Name: name + ", " + phase.name, Callers: failoverCallers, OpsPerS: round(float64(len(taken)) / (begins[i+1] - begins[i]).Seconds())}
		r.latency(taken)
		r.MaxUs = microseconds(taken[len(taken)-1])
		b.report.add(r)
	}
	return nil
}

const (
	// takeOverCheckpoints is how often checkpoints are written before a take-over, and sinceCheckpoint how many calls are made after the last of them.
	takeOverCheckpoints = 5 * time.Second
	sinceCheckpoint     = 2000
)

// takeOver kills the owner of a shard of n actors, and measures what another worker, which runs already, needs to take it over: with nothing of it in
// its local store, or as its standby.
func (b *bench) takeOver(ctx context.Context, n int, standby bool) error {
	name := "take-over, cold"
	if standby {
		name = "take-over, warm"
	}
	b.report.progress("%s, %d actors", name, n)
	cfg := workerConfig{Broker: b.broker.Addr(), Prefix: fmt.Sprintf("takeover%d%v", n, standby), Partitions: 1, CheckpointEvery: takeOverCheckpoints, Standby: standby}
	start := func(number int) (*child, error) {
		cfg.DataDir = fmt.Sprintf("%s/%s-%d", b.data, cfg.Prefix, number)
		return startChild(ctx, cfg)
	}
	log, err := kafkalog.Open(ctx, kafkalog.Config{Brokers: []string{cfg.Broker}, Prefix: cfg.Prefix, Partitions: 1})
	if err != nil {
		return err
	}
	defer log.Close()
	client, err := remote.Open(log, remote.Config{})
	if err != nil {
		return err
	}
	defer client.Close()
	first, err := start(1)
	if err != nil {
		return err
	}
	defer first.stop()
	if err := createCounters(ctx, client, n, strconv.Itoa); err != nil {
		return err
	}
	second, err := start(2)
	if err != nil {
		return err
	}
	defer second.stop()
	if _, err := second.settle(ctx, 3*takeOverCheckpoints, func(u usage) bool { return !standby || u.Followed == 1 }); err != nil {
		return err
	}
	for i := range sinceCheckpoint {
		if _, err := counter.Increment.Call(ctx, counter.Kind.Get(client, strconv.Itoa(i%n)), 1); err != nil {
			return err
		}
	}
	began := time.Now()
	first.stop()
	if _, err := counter.Increment.Call(ctx, counter.Kind.Get(client, "0"), 1); err != nil {
		return err
	}
	serving := time.Since(began)
	u, err := second.usage()
	if err != nil {
		return err
	}
	if u.Shards != 1 {
		return fmt.Errorf("%s: the second worker has opened %d shards, and not 1", name, u.Shards)
	}
	b.report.add(result{Name: name, Actors: n, ShardMs: milliseconds(u.Opening), ServingMs: milliseconds(serving)})
	return nil
}

// traceEnv makes worker processes say on stderr what happens to their shards.
const traceEnv = "ACTORLOG_BENCH_TRACE"

func traced(what string, shards []int32) {
	if os.Getenv(traceEnv) != "" {
		fmt.Fprintf(os.Stderr, "%s worker %d: %s %v\n", time.Now().Format("05.000"), os.Getpid(), what, shards)
	}
}
