package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/e2e/process"
)

// script is a file of node:test tests.
type script struct {
	dir, file string
	env       []string
	timeout   time.Duration
	// carryOut does what the script asks for: POST /what to $ACTORLOG_CONTROL is answered when it is
	// done. It runs in the test's own goroutine. Nil means that the script cannot ask.
	carryOut func(t *testing.T, what string)
}

// order is a request of the script.
type order struct {
	what string
	done chan<- struct{}
}

// run runs the script to its end; a test of it that fails is a failure of t.
func (s script) run(t *testing.T, node string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), s.timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "--test", "--test-reporter=spec", s.file)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), s.env...)
	var orders chan order
	if s.carryOut != nil {
		orders = make(chan order)
		control := httptest.NewServer(takeOrders(orders))
		defer control.Close()
		cmd.Env = append(cmd.Env, "ACTORLOG_CONTROL="+control.URL)
	}
	var out process.Output
	cmd.Stdout, cmd.Stderr = &out, &out
	// Not SIGKILL: the runner ends the process of the script, and that its browser.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case o := <-orders:
			func() {
				defer close(o.done)
				s.carryOut(t, o.what)
			}()
		case err := <-ended:
			if ctx.Err() != nil {
				err = fmt.Errorf("no end after %v: %w", s.timeout, err)
			}
			t.Logf("%s --test %s says:\n%s", node, s.file, out.Tail(20_000))
			require.NoError(t, err)
			return
		}
	}
}

func takeOrders(orders chan<- order) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		done := make(chan struct{})
		select {
		case orders <- order{strings.TrimPrefix(r.URL.Path, "/"), done}:
		case <-r.Context().Done():
			return
		}
		select {
		case <-done:
		case <-r.Context().Done():
		}
	}
}
