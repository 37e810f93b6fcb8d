package e2e

import (
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/e2e/process"
)

// TestMove takes the actors of eight shards to sixteen, with the programs that operators have: everything is stopped, moved, and started on the new
// topics. Every actor is what it was.
func TestMove(t *testing.T) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		b, _ := process.EmbeddedBroker(t)
		moveAll(t, b)
	})
	t.Run("kafka", func(t *testing.T) {
		t.Parallel()
		moveAll(t, process.ApacheKafka(t, "classic"))
	})
}

func moveAll(t *testing.T, b process.Brokers) {
	t.Helper()
	const counters = 50
	increment := func(gateway string, i, by int) string {
		t.Helper()
		status, body, err := process.Request(t.Context(), http.MethodPost, fmt.Sprintf("http://%s/actors/counter/c/%d/actions/increment", gateway, i), fmt.Sprint(by), "")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status, body)
		return body
	}
	cli := func(args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), process.Path(t, "actorlog"), slices.Concat(args, b[:4])...).CombinedOutput()
		return string(out), err
	}
	address := process.Address(t)
	worker, gateway := b.Worker(t), b.Gateway(t, address)
	for i := range counters {
		increment(address, i, i+1)
	}
	to := b[3] + "-new"
	out, err := cli("move", "--to-prefix", to, "--to-partitions", "16")
	require.Error(t, err)
	require.Contains(t, out, "not given away in peace")
	require.Equal(t, 0, gateway.Stop(t))
	require.Equal(t, 0, worker.Stop(t))

	out, err = cli("move", "--check")
	require.Error(t, err, "%s", out) // --to-prefix is required
	out, err = cli("move", "--to-prefix", to, "--check")
	require.NoError(t, err, "%s", out)
	out, err = cli("move", "--to-prefix", to, "--to-partitions", "16")
	require.NoError(t, err, "%s", out)
	require.Contains(t, out, fmt.Sprintf("The same in both: %d actors.", counters))

	moved := slices.Clone(b)
	moved[3], moved[5] = to, "16"
	worker, gateway = moved.Worker(t), moved.Gateway(t, address)
	for i := range counters {
		require.Equal(t, fmt.Sprint(i+2), increment(address, i, 1))
	}
	require.Equal(t, 0, gateway.Stop(t))
	require.Equal(t, 0, worker.Stop(t))
	out, err = cli("move", "--to-prefix", to, "--compare")
	require.Error(t, err)
	require.Contains(t, out, "Different: counter")
}

// TestBackup copies a log while its programs run, and makes it again under another prefix: whole, and as if all but events were lost.
func TestBackup(t *testing.T) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		b, _ := process.EmbeddedBroker(t)
		backUp(t, b)
	})
	t.Run("kafka", func(t *testing.T) {
		t.Parallel()
		backUp(t, process.ApacheKafka(t, "classic"))
	})
}

func backUp(t *testing.T, b process.Brokers) {
	t.Helper()
	const counters = 20
	address := process.Address(t)
	worker, gateway := b.Worker(t), b.Gateway(t, address)
	increment := func(i int) string {
		t.Helper()
		status, body, err := process.Request(t.Context(), http.MethodPost, fmt.Sprintf("http://%s/actors/counter/b/%d/actions/increment", address, i), "1", "")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status, body)
		return body
	}
	for i := range counters {
		for range i + 1 {
			increment(i)
		}
	}
	cli := func(prefix string, args ...string) {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), process.Path(t, "actorlog"), slices.Concat(args, b[:2], []string{"--prefix", prefix})...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	dir := t.TempDir()
	cli(b[3], "backup", "--dir", dir)
	require.Equal(t, 0, gateway.Stop(t))
	require.Equal(t, 0, worker.Stop(t))
	for i, without := range [][]string{nil, {"--without", "actions,snapshots"}} {
		restored := slices.Clone(b)
		restored[3] = fmt.Sprintf("%s-restored%d", b[3], i)
		cli(restored[3], slices.Concat([]string{"restore", "--dir", dir}, without)...)
		cli(restored[3], "audit", "verify")
		worker, gateway = restored.Worker(t), restored.Gateway(t, address)
		for i := range counters {
			require.Equal(t, fmt.Sprint(i+2), increment(i))
		}
		require.Equal(t, 0, gateway.Stop(t))
		require.Equal(t, 0, worker.Stop(t))
	}
}
