package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/actorlog/actorlog/eventlog/kafkalog"
)

// settings of a run, from the flags.
type settings struct {
	short    bool
	run      *regexp.Regexp
	duration time.Duration // of each cell of the calls, all its rounds together
	warmUp   time.Duration // of each round
	rounds   int
	callers  []int
	data     string // directory for the broker's and the worker's files
	// histories are the numbers of events of the fold and the recoveries, the last one the largest.
	histories []int
	// populations are the numbers of hibernated actors.
	populations []int
	wakes       int
	sockets     int
	overloadFor time.Duration // each load
	fanoutFor   time.Duration // each number of broadcasts at once, all rounds together
	// stormSockets come back at once, after stormCalm with nothing but calls.
	stormSockets int
	stormCalm    time.Duration
	// costActions, costActors, costSockets are how many the costs are measured of.
	costActions, costActors, costSockets int
	// clickhouse is the address of one; projected is how many records are carried into it.
	clickhouse string
	projected  int
}

func (s *settings) wants(name string) bool { return s.run.MatchString(name) }

// bench is one run.
type bench struct {
	settings
	report *report
	broker *kafkalog.Embedded
}

func main() {
	if os.Getenv(workerEnv) != "" {
		if err := workerProcess(os.Getenv(workerEnv)); err != nil {
			fmt.Fprintln(os.Stderr, "bench worker:", err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv(subscribersEnv) != "" {
		if err := subscribersProcess(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "bench subscribers:", err)
			os.Exit(1)
		}
		return
	}
	if config := os.Getenv(idleEnv); config != "" {
		if err := idleProcess(config, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "bench sockets:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := command(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	var (
		s          settings
		asJSON     = flags.Bool("json", false, "print one JSON object a line instead of tables")
		pattern    = flags.String("run", "", "measure only what this regular expression matches: two-hop/1, in-process/16, http/256, websocket/2048, fold, recovery, past, memory/100000, fanout, overload, neighbours, storm, log-bytes, awake-memory, socket-memory, failover/calls, take-over/1000, projection, ...")
		callers    = flags.String("callers", "1,16,256,2048", "numbers of callers, separated by commas")
		cpuProfile = flags.String("cpuprofile", "", "write a CPU profile of the run to this file")
		memProfile = flags.String("memprofile", "", "write a profile of all allocations of the run to this file")
	)
	flags.BoolVar(&s.short, "short", false, "smaller sizes and shorter cells: ends within 40 seconds")
	flags.DurationVar(&s.duration, "duration", 0, "how long each number of callers calls each way, in five rounds (default 5s; with -short 600ms, in one)")
	flags.StringVar(&s.clickhouse, "clickhouse", os.Getenv("ACTORLOG_TEST_CLICKHOUSE"), "host:port of the native protocol of a ClickHouse, for projection; it is given a database that is dropped at the end")
	flags.StringVar(&s.data, "data", "", "directory to keep the broker's files in, as DIR/files, until the end (default: a temporary one)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("there are no arguments but flags; got %q", flags.Args())
	}
	if s.run, err = regexp.Compile(*pattern); err != nil {
		return fmt.Errorf("reading -run: %w", err)
	}
	for text := range strings.SplitSeq(*callers, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxCallers {
			return fmt.Errorf("reading -callers: %q is not a number from 1 to %d", text, maxCallers)
		}
		s.callers = append(s.callers, n)
	}
	s.size()

	if s.data == "" {
		dir, err := os.MkdirTemp("", "actorlog-bench-")
		if err != nil {
			return fmt.Errorf("making a directory for the broker: %w", err)
		}
		defer func() { _ = os.RemoveAll(dir) }() // what is left over is in a temporary directory
		s.data = dir
	}
	s.data = filepath.Join(s.data, "files")
	if err := os.RemoveAll(s.data); err != nil {
		return fmt.Errorf("emptying the broker's directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.data)) }()

	if *cpuProfile != "" {
		f, err := os.Create(*cpuProfile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	if *memProfile != "" {
		defer func() { err = errors.Join(err, writeAllocations(*memProfile)) }()
	}

	b := &bench{settings: s, report: newReport(os.Stdout, *asJSON)}
	return b.all(ctx)
}

// size sets how much is measured.
func (s *settings) size() {
	s.rounds, s.warmUp = 5, 300*time.Millisecond
	s.histories, s.populations = []int{10_000, 100_000, 1_000_000}, []int{100_000, 1_000_000}
	s.wakes, s.sockets, s.fanoutFor = 2000, 1000, 5*time.Second
	s.overloadFor = 8 * time.Second
	s.stormSockets, s.stormCalm = 10_000, 5*time.Second
	s.costActions, s.costActors, s.costSockets = 200_000, 100_000, 5000
	s.projected = 300_000
	duration := 5 * time.Second
	if s.short {
		s.costActions, s.costActors, s.costSockets = 10_000, 10_000, 500
		s.projected = 30_000
		s.overloadFor = 600 * time.Millisecond
		duration = 600 * time.Millisecond
		s.rounds, s.warmUp = 1, 150*time.Millisecond
		s.histories, s.populations = []int{2_000, 40_000}, []int{20_000}
		s.wakes, s.fanoutFor = 300, 600*time.Millisecond
		s.stormSockets, s.stormCalm = 1000, time.Second
	}
	if s.duration == 0 {
		s.duration = duration
	}
}

// all runs the sections that are wanted, one after the other.
func (b *bench) all(ctx context.Context) error {
	var err error
	b.broker, err = kafkalog.StartEmbedded(kafkalog.EmbeddedConfig{DataDir: filepath.Join(b.data, "broker"), Listen: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	defer b.broker.Close()
	b.report.machine()
	for _, section := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"the calls", b.calls},
		{"broadcasts", b.fanout},
		{"a reconnect storm", b.storm},
		{"fold and recovery", b.replay},
		{"looking at the past", b.past},
		{"hibernated actors", b.memory},
		{"what a plan needs to know", b.costs},
		{"the projection", b.projection},
		{"overload", b.overload},
		{"failover", b.failover},
	} {
		if err := section.run(ctx); err != nil {
			if ctx.Err() != nil {
				return errors.New("interrupted")
			}
			return fmt.Errorf("measuring %s: %w", section.name, err)
		}
	}
	b.report.finish()
	return nil
}

// logTo opens a client of the broker under a prefix of topics, with the defaults of every program.
func (b *bench) logTo(ctx context.Context, prefix string) (*kafkalog.Log, error) {
	return kafkalog.Open(ctx, kafkalog.Config{Brokers: []string{b.broker.Addr()}, Prefix: prefix, Partitions: partitions})
}

func writeAllocations(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	runtime.GC()
	return errors.Join(pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
}
