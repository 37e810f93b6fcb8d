package snippets_test

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/kafkalog"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/replay/gate"
)

// RegisterShop stands for the reader's kinds.
func RegisterShop(r *actor.Registry) { counter.Register(r) }

// snippet: verify-main
func main() {
	registry := actor.NewRegistry()
	RegisterShop(registry) // as in your worker
	os.Exit(gate.Main(registry, os.Args[1:], func(ctx context.Context) (eventlog.Source, error) {
		return kafkalog.Open(ctx, kafkalog.Config{Brokers: []string{"localhost:9092"}})
	}))
}

// end snippet

// TestVerifyMain runs the program of the page, as this test's binary: told nothing, it does not know what to verify.
func TestVerifyMain(t *testing.T) {
	t.Parallel()
	if os.Getenv("VERIFY_MAIN") != "" {
		os.Args = os.Args[:1]
		main()
	}
	self, err := os.Executable()
	require.NoError(t, err)
	program := exec.CommandContext(t.Context(), self, "-test.run=^TestVerifyMain$")
	program.Env = append(os.Environ(), "VERIFY_MAIN=1")
	out, err := program.CombinedOutput()
	require.Contains(t, string(out), "say what to verify")
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, gate.Failed, exit.ExitCode())
}
