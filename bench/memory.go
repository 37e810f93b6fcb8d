package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog/kafkalog"
	"github.com/actorlog/actorlog/examples/counter"
)

// workerEnv holds, for a process that is to be a worker, its workerConfig.
const workerEnv = "ACTORLOG_BENCH_WORKER"

type workerConfig struct {
	Broker, Prefix, DataDir     string
	SleepAfter, CheckpointEvery time.Duration
	// Partitions of the topics; 0: as many as everywhere.
	Partitions int32
	Standby    bool
}

// usage is what a worker process answers to every line that it is sent.
type usage struct {
	// RSS, PeakRSS of the process, after a garbage collection that gave back all it could.
	RSS, PeakRSS int64
	// Heap in use.
	Heap int64
	// Shards that were opened, and what opening the last one took.
	Shards  int64
	Opening time.Duration
	// Followed is how many shards of others the worker follows, near their end.
	Followed int
}

// workerProcess is a worker alone in its process, until its input ends.
func workerProcess(config string) error {
	var cfg workerConfig
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		return err
	}
	log, err := kafkalog.Open(context.Background(), kafkalog.Config{
		Brokers: []string{cfg.Broker}, Prefix: cfg.Prefix, Partitions: cmp.Or(cfg.Partitions, partitions), Listener: kafkalog.EventListener{Rebalanced: traced},
	})
	if err != nil {
		return err
	}
	defer log.Close()
	var shards, opening atomic.Int64
	worker, err := startWorker(log, host.Config{
		DataDir: cfg.DataDir, SleepAfter: cfg.SleepAfter, CheckpointEvery: cfg.CheckpointEvery, Standby: cfg.Standby,
		Events: host.EventListener{
			ShardOpened: func(o host.ShardOpened) {
				shards.Add(1)
				opening.Store(int64(o.Duration))
				traced(fmt.Sprintf("opened in %v", o.Duration), []int32{o.Partition})
			},
			ShardClosed: func(p int32, err error) { traced(fmt.Sprint("closed: ", err), []int32{p}) },
			Checkpoint: func(c host.Checkpoint) {
				traced(fmt.Sprintf("checkpoint in %v: %v", c.Duration, c.Err), []int32{c.Partition})
			},
		},
	})
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		debug.FreeOSMemory()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		followed := 0
		for _, s := range worker.worker.Standbys() {
			if s.Fed {
				followed++
			}
		}
		err := out.Encode(usage{
			RSS: procValue("/proc/self/status", "VmRSS:"), PeakRSS: procValue("/proc/self/status", "VmHWM:"),
			Heap: int64(m.HeapInuse), Shards: shards.Load(), Opening: time.Duration(opening.Load()), Followed: followed,
		})
		if err != nil {
			return err
		}
	}
	return worker.stop()
}

// child is a worker process.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

func startChild(ctx context.Context, cfg workerConfig) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	config, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.CommandContext(ctx, self)}
	c.cmd.Env = append(os.Environ(), workerEnv+"="+string(config))
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = json.NewDecoder(out)
	return c, c.cmd.Start()
}

func (c *child) usage() (u usage, err error) {
	if _, err = c.in.Write([]byte("usage\n")); err == nil {
		err = c.out.Decode(&u)
	}
	if err != nil {
		err = fmt.Errorf("asking the worker process: %w", err)
	}
	return u, err
}

// stop kills the process: what it would do in peace is not measured, and its files are deleted.
func (c *child) stop() {
	_ = c.cmd.Process.Kill() // it may have ended by itself
	_ = c.cmd.Wait()         // killed
}

// leave stops the worker in peace and waits until it is gone.
func (c *child) leave() error {
	if err := c.in.Close(); err != nil {
		return err
	}
	return c.cmd.Wait()
}

// memory measures what actors that sleep cost a worker, and what waking one costs.
func (b *bench) memory(ctx context.Context) error {
	for _, n := range b.populations {
		if !b.wants(fmt.Sprintf("memory/%d", n)) {
			continue
		}
		if err := b.hibernate(ctx, n); err != nil {
			return err
		}
		if b.short {
			b.report.note("with -short only %d actors sleep, not 100,000 and 1,000,000: most of that memory is the worker's own", n)
		}
	}
	return nil
}

func (b *bench) hibernate(ctx context.Context, n int) error {
	b.report.progress("memory/%d: creating the actors", n)
	cfg := workerConfig{
		Broker: b.broker.Addr(), Prefix: fmt.Sprintf("memory%d", n), DataDir: fmt.Sprintf("%s/memory%d", b.data, n),
		SleepAfter: time.Second, CheckpointEvery: 10 * time.Second,
	}
	if b.short {
		cfg.SleepAfter, cfg.CheckpointEvery = 500*time.Millisecond, time.Second
	}
	log, err := b.logTo(ctx, cfg.Prefix)
	if err != nil {
		return err
	}
	defer log.Close()
	worker, err := startChild(ctx, cfg)
	if err != nil {
		return err
	}
	defer worker.stop()
	client, err := remote.Open(log, remote.Config{})
	if err != nil {
		return err
	}
	defer client.Close()
	base, err := worker.settle(ctx, time.Second, func(u usage) bool { return u.Shards == partitions })
	if err != nil {
		return err
	}

	name := func(i int) string { return "a" + strconv.Itoa(i) }
	began := time.Now()
	if err := createCounters(ctx, client, n, name); err != nil {
		return err
	}
	took := time.Since(began)
	b.report.progress("memory/%d: letting them sleep", n)
	// Asleep, and none of them left in what the next checkpoint has to do.
	quiet := 2*cfg.SleepAfter + cfg.CheckpointEvery + time.Second/2
	asleep := time.Now().Add(quiet)
	u, err := worker.settle(ctx, quiet, func(usage) bool { return time.Now().After(asleep) })
	if err != nil {
		return err
	}
	b.report.add(result{
		Name: "hibernated", Actors: n, RSSBytes: u.RSS, BaseRSSBytes: base.RSS, PeakRSSBytes: u.PeakRSS, HeapBytes: u.Heap,
		BytesPerActor: round(float64(max(0, u.RSS-base.RSS)) / float64(n)), CreatedPerS: round(float64(n) / took.Seconds()),
	})

	b.report.progress("memory/%d: waking %d of them", n, b.wakes)
	return b.wake(ctx, client, n, name)
}

// settle waits until ready says so and the heap has stopped to shrink.
func (c *child) settle(ctx context.Context, atLeast time.Duration, ready func(usage) bool) (usage, error) {
	const step, patience = 500 * time.Millisecond, time.Minute
	last, err := c.usage()
	if err != nil {
		return last, err
	}
	for deadline := time.Now().Add(atLeast + patience); time.Now().Before(deadline); {
		if !pause(ctx, step) {
			return last, context.Cause(ctx)
		}
		u, err := c.usage()
		if err != nil {
			return u, err
		}
		if ready(u) && u.Heap > last.Heap*98/100 {
			return u, nil
		}
		last = u
	}
	return last, errors.New("the worker process does not come to rest")
}

// wake calls actors that sleep, each twice: the second call finds it awake.
func (b *bench) wake(ctx context.Context, client *remote.Client, n int, name func(int) string) error {
	asleep, awake := make([]time.Duration, 0, b.wakes), make([]time.Duration, 0, b.wakes)
	timed := func(h actor.Handle[counter.Counter]) (time.Duration, error) {
		began := time.Now()
		_, err := counter.Increment.Call(ctx, h, 1)
		return time.Since(began), err
	}
	for _, i := range rand.Perm(n)[:b.wakes] {
		h := counter.Kind.Get(client, name(i))
		first, err := timed(h)
		if err != nil {
			return err
		}
		second, err := timed(h)
		if err != nil {
			return err
		}
		asleep, awake = append(asleep, first), append(awake, second)
	}
	for _, r := range []struct {
		name    string
		samples []time.Duration
	}{{"wake", asleep}, {"awake", awake}} {
		line := result{Name: r.name, Actors: n}
		line.latency(r.samples)
		b.report.add(line)
	}
	return nil
}
