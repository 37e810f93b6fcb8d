// Command bomb is a worker for tests, with actors that no example is: actions that it does not survive, and dice.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/eventlog/kafkalog"
)

type bomb struct {
	Notes int `json:"notes"`
}

var (
	kind = actor.New[bomb]("bomb")
	note = actor.Action[actor.None, int](kind, "note")
	blow = actor.Action[string, int](kind, "blow")
)

// limit lets the process have half a GiB more than it has now.
func limit() error {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	var pages uint64
	if _, err := fmt.Sscan(string(text), &pages); err != nil {
		return err
	}
	most := pages*uint64(os.Getpagesize()) + 512<<20
	return syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: most, Max: most})
}

func register(r *actor.Registry) {
	actor.On(r, note, func(s *bomb, _ *actor.Ctx, _ actor.None) (int, error) {
		s.Notes++
		return s.Notes, nil
	})
	actor.On(r, blow, func(_ *bomb, c *actor.Ctx, how string) (int, error) {
		switch how {
		case "panic":
			go func() { panic("in a goroutine of its own") }()
		case "exit":
			os.Exit(7)
		case "exhaust":
			// What is asked for counts, touched or not: a machine that is busy must not need more time for it than an action has.
			for hoard := [][]byte{}; ; {
				hoard = append(hoard, make([]byte, 64<<20))
			}
		case "spin":
			for i := 0; ; i++ { // and does not heed its context
				if i < 0 {
					return i, nil
				}
			}
		}
		<-c.Done()
		return 0, c.Err()
	})
}

func run() error {
	brokers := flag.String("brokers", "", "addresses")
	prefix := flag.String("prefix", "", "of the topics")
	proxy := flag.String("broker-proxy", "", "through which the brokers are reached")
	id := flag.String("id", "", "of the worker")
	data := flag.String("data", "", "directory of the local store")
	parkAfter := flag.Int("park-after", 0, "how many deaths set an action aside; 0 is the default of workers")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log, err := kafkalog.Open(ctx, kafkalog.Config{Brokers: strings.Split(*brokers, ","), Prefix: *prefix, Proxy: *proxy, Partitions: 8, SessionTimeout: 2 * time.Second})
	if err != nil {
		return err
	}
	defer log.Close()
	registry := actor.NewRegistry()
	register(registry)
	registerDice(registry)
	worker, err := host.Open(log, registry, host.Config{ID: *id, DataDir: *data, ActionTimeout: 5 * time.Second, DrainTimeout: time.Second, ParkAfter: *parkAfter})
	if err != nil {
		return err
	}
	defer worker.Close()
	if err := limit(); err != nil {
		return err
	}
	return worker.Run(ctx)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
