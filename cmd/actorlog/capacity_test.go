package main

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

var rewrite = flag.Bool("rewrite", false, "write what commands print into docs/capacity.md")

// What the page says that commands print is what they print.
func TestCapacity_Page(t *testing.T) {
	t.Parallel()
	const path, begin = "../../docs/capacity.md", "```sh capacity\nactorlog capacity"
	page, err := os.ReadFile(path)
	require.NoError(t, err)
	parts := strings.Split(string(page), begin)
	require.Greater(t, len(parts), 3)
	for i, part := range parts[1:] {
		args, rest, ok := strings.Cut(part, "\n```\n\n```\n")
		require.True(t, ok, part)
		printed, after, ok := strings.Cut(rest, "```\n")
		require.True(t, ok, rest)

		var c capacityCmd
		parser, err := kong.New(&c)
		require.NoError(t, err)
		_, err = parser.Parse(strings.Fields(args))
		require.NoError(t, err)
		plan, err := c.predict()
		require.NoError(t, err)
		var out bytes.Buffer
		require.NoError(t, printPlan(&out, &plan))
		if *rewrite {
			parts[i+1] = args + "\n```\n\n```\n" + out.String() + "```\n" + after
			continue
		}
		require.Equal(t, out.String(), printed, "actorlog capacity%s: go test ./cmd/actorlog -args -rewrite", args)
	}
	if *rewrite {
		require.NoError(t, os.WriteFile(path, []byte(strings.Join(parts, begin)), 0o644))
	}
}

// The output of bench is what --bench reads; without the calls there is nothing to predict from.
func TestCapacity_Bench(t *testing.T) {
	t.Parallel()
	file := t.TempDir() + "/bench.json"
	lines := `{"name":"machine","cores":4}
{"name":"two-hop","callers":256,"cpu_us":10}
{"name":"in-process","callers":256,"cpu_us":30}
{"name":"http","callers":256,"cpu_us":70}
{"name":"fanout","at_once":16,"frames_per_s":400000}
{"name":"socket-memory","bytes_per_socket":1000}
`
	require.NoError(t, os.WriteFile(file, []byte(lines), 0o600))
	f, err := readFigures(file)
	require.NoError(t, err)
	require.Equal(t, []float64{10, 20, 40, 10, 1000}, []float64{f.BrokerUs, f.WorkerUs, f.GatewayUs, f.FrameUs, f.SocketBytes})

	require.NoError(t, os.WriteFile(file, []byte(`{"name":"machine","cores":4}`), 0o600))
	_, err = readFigures(file)
	require.ErrorContains(t, err, "no two-hop")
	require.NoError(t, os.WriteFile(file, []byte("Machine: 2 cores"), 0o600))
	_, err = readFigures(file)
	require.ErrorContains(t, err, "go run ./bench -json")
}
