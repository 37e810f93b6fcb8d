package sim

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

var (
	seeds = flag.Int("seeds", 100, "how many seeds to run, besides those of the graveyard")
	first = flag.Uint64("seed", 0, "run this seed alone")
	start = flag.Uint64("start", 1, "the first of the seeds")
)

// TestSeeds runs the seeds of the graveyard, which have failed once, and then as many others as -seeds says.
func TestSeeds(t *testing.T) {
	t.Parallel()
	var list []uint64
	if *first != 0 {
		list = []uint64{*first}
	} else {
		list = graveyard(t)
		for i := range *seeds {
			list = append(list, *start+uint64(i))
		}
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	var mu sync.Mutex
	ran, faults := 0, make(Tally)
	for range 4 {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(list) || t.Failed() {
					return
				}
				t.Run(fmt.Sprint(list[i]), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						problems, hits := Run(list[i])
						mu.Lock()
						defer mu.Unlock()
						ran++
						for fault, n := range hits {
							faults[fault] += n
						}
						if len(problems) > 0 {
							t.Errorf("to run it again: go test ./internal/sim -run TestSeeds -args -seed=%d\n%s", list[i], strings.Join(problems, "\n"))
						}
					})
				})
			}
		})
	}
	wg.Wait()
	t.Logf("%d seeds; faults: %v", ran, faults)
}

// graveyard is the seeds that have failed once.
func graveyard(t *testing.T) []uint64 {
	t.Helper()
	text, err := os.ReadFile("testdata/graveyard")
	if err != nil {
		t.Fatal(err)
	}
	var list []uint64
	for line := range strings.Lines(string(text)) {
		var seed uint64
		line, _, _ = strings.Cut(line, "#")
		if _, err := fmt.Sscan(line, &seed); err == nil {
			list = append(list, seed)
		}
	}
	return list
}
