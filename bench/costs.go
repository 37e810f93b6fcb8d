package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/errgroup"

	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/examples/counter"
)

// costs measures what a plan for many machines needs to know besides the other figures; docs/capacity.md.
func (b *bench) costs(ctx context.Context) error {
	for _, c := range []struct {
		name string
		run  func(context.Context) error
	}{{"log-bytes", b.logBytes}, {"awake-memory", b.awakeMemory}, {"socket-memory", b.socketMemory}} {
		if !b.wants(c.name) {
			continue
		}
		b.report.progress("%s", c.name)
		if err := c.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// logBytes measures by how much the files of one replica grow for an action.
func (b *bench) logBytes(ctx context.Context) error {
	w, err := b.startWorld(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err := w.close(); err != nil {
			b.report.note("closing the world of log-bytes: %v", err)
		}
	}()
	before, err := diskUse(b.data + "/broker")
	if err != nil {
		return err
	}
	var n atomic.Int64
	group, groupCtx := errgroup.WithContext(ctx)
	const callers = 256
	for c := range callers {
		group.Go(func() error {
			for i := c; i < b.costActions; i += callers {
				if _, err := counter.Increment.Call(groupCtx, counter.Kind.Get(w.client, keys[i%keyCount].name), 1); err != nil {
					return err
				}
				n.Add(1)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	after, err := diskUse(b.data + "/broker")
	if err != nil {
		return err
	}
	b.report.add(result{Name: "log-bytes", Callers: callers, BytesPerAction: round(float64(after-before) / float64(n.Load()))})
	return nil
}

// diskUse is the size of all files below a directory.
func diskUse(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, err
}

// awakeMemory measures what actors that are awake cost a worker.
func (b *bench) awakeMemory(ctx context.Context) error {
	cfg := workerConfig{
		Broker: b.broker.Addr(), Prefix: "awake", DataDir: b.data + "/awake", SleepAfter: time.Hour, CheckpointEvery: 2 * time.Second,
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
	if err := createCounters(ctx, client, b.costActors, func(i int) string { return "a" + strconv.Itoa(i) }); err != nil {
		return err
	}
	quiet := time.Now().Add(2*cfg.CheckpointEvery + time.Second)
	u, err := worker.settle(ctx, time.Until(quiet), func(usage) bool { return time.Now().After(quiet) })
	if err != nil {
		return err
	}
	b.report.add(result{
		Name: "awake-memory", Actors: b.costActors, RSSBytes: u.RSS, BaseRSSBytes: base.RSS, HeapBytes: u.Heap,
		BytesPerActor: round(float64(max(0, u.RSS-base.RSS)) / float64(b.costActors)),
	})
	return nil
}

// idleEnv holds, for a process that is to be sockets which wait for events, an idleConfig.
const idleEnv = "ACTORLOG_BENCH_IDLE"

type idleConfig struct {
	Addr    string
	Sockets int
}

// socketMemory measures heap and stacks of a gateway for sockets that are subscribed and wait. The other ends are a process of their own.
func (b *bench) socketMemory(ctx context.Context) error {
	w, err := b.startWorld(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err := w.close(); err != nil {
			b.report.note("closing the world of socket-memory: %v", err)
		}
	}()
	config, err := json.Marshal(idleConfig{Addr: w.addr, Sockets: b.costSockets})
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), idleEnv+"="+string(config))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	// The difference of two measurements, for the first sockets come with what is not theirs.
	answers := bufio.NewReader(out)
	var used [2]int64
	for i := range used {
		if _, err := fmt.Fprintln(in, "more"); err != nil {
			return err
		}
		if _, err := answers.ReadString('\n'); err != nil {
			return fmt.Errorf("waiting until all sockets are subscribed: %w", err)
		}
		used[i] = inUse()
	}
	_ = in.Close() // it ends
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("the sockets: %w", err)
	}
	b.report.add(result{
		Name: "socket-memory", Sockets: 2 * b.costSockets, HeapBytes: used[1],
		BytesPerSocket: round(float64(max(0, used[1]-used[0])) / float64(b.costSockets)),
	})
	return nil
}

// inUse is heap and stacks of this process after a garbage collection.
func inUse() int64 {
	runtime.GC()
	runtime.GC() // what the first one freed of pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// idleProcess subscribes so many sockets for each line of its input, says so, and keeps them until its input ends.
func idleProcess(config string, in io.Reader, out io.Writer) error {
	var cfg idleConfig
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		return err
	}
	var open []*websocket.Conn // or they would be closed when nothing refers to them
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		more := make([]*websocket.Conn, cfg.Sockets)
		if err := cfg.subscribe(more); err != nil {
			return err
		}
		open = append(open, more...)
		if _, err := fmt.Fprintln(out, "subscribed"); err != nil {
			return err
		}
	}
	for _, conn := range open {
		_ = conn.Close()
	}
	return lines.Err()
}

func (cfg idleConfig) subscribe(conns []*websocket.Conn) error {
	var all errgroup.Group
	all.SetLimit(256)
	for i := range conns {
		all.Go(func() error {
			d := websocket.Dialer{ReadBufferSize: 512, WriteBufferSize: 512, HandshakeTimeout: time.Minute}
			conn, resp, err := d.Dial(fmt.Sprintf("ws://%s/actors/%s/%s/events?event=%s",
				cfg.Addr, counter.Kind.Name(), keys[i%keyCount].name, counter.Changed.Name()), nil)
			if err != nil {
				return err
			}
			_ = resp.Body.Close()
			conns[i] = conn
			_, _, err = conn.ReadMessage() // it is subscribed
			return err
		})
	}
	return all.Wait()
}
