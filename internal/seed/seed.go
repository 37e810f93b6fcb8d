// Package seed gives random tests their seeds, and prints how to run a failed one again. A test binary
// that uses it has the flag -seed.
package seed

import (
	"flag"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"testing"
)

var given = flag.Uint64("seed", 0, "seed of the random tests; 0 takes a new one")

// New returns the seed of one random test: the flag's, or a new one. If the test fails, it says how
// to use it again.
func New(t testing.TB) uint64 {
	t.Helper()
	seed := *given
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to run it again: go test ./%s -run '^%s$' -args -seed=%d", under(), t.Name(), seed)
		}
	})
	return seed
}

// under is the package under test, within the module.
func under() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "..."
	}
	path := strings.TrimSuffix(strings.TrimSuffix(info.Path, ".test"), "_test")
	return strings.TrimPrefix(strings.TrimPrefix(path, info.Main.Path), "/")
}
