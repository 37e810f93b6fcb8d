package machine_test

import (
	"flag"
	"math/rand/v2"
	"testing"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests; 0 takes a new one")

// newSeed returns the seed of one random test, and says how to use it again if the test fails.
func newSeed(t *testing.T) uint64 {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to run it again: go test ./actors/machine -run '^%s$' -args -seed=%d", t.Name(), seed)
		}
	})
	return seed
}
