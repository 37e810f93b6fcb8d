package e2e

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/e2e/process"
)

var rewrite = flag.Bool("rewrite", false, "fill in what the commands of docs/debugging.md print")

// A block of a page that shows a command and what it prints.
var console = regexp.MustCompile("(?s)```console\n\\$ actorlog ([^\n]*)\n(.*?)```")

// What differs from run to run.
var varying = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`), "TIME"},
	{regexp.MustCompile(`took( +)[0-9.]+(ns|µs|ms|s)`), "took ${1}DURATION"},
	{regexp.MustCompile(`gateway [a-z0-9]+`), "gateway ID"},
	{regexp.MustCompile(`request( +)[a-z0-9]+-[0-9.]+`), "request ${1}ID"},
	{regexp.MustCompile(`code \S+`), "code VERSION"},
}

func settled(text string) string {
	for _, v := range varying {
		text = v.pattern.ReplaceAllString(text, v.name)
	}
	return text
}

// TestDebugging does what docs/debugging.md says, as somebody who reads it for the first time would, and sees what the page shows.
func TestDebugging(t *testing.T) {
	t.Parallel()
	kafka := process.Address(t)
	dev := process.Start(t, "actorlog", "dev", "--seed", "refunds", "--data", t.TempDir(), "--kafka-listen", kafka, "--listen", "127.0.0.1:0")
	run := func(args string) string {
		cmd := exec.CommandContext(t.Context(), process.Path(t, "actorlog"), strings.Fields(args)...)
		cmd.Env = append(os.Environ(), "ACTORLOG_BROKERS="+kafka)
		var out, failed bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &failed
		if err := cmd.Run(); err != nil {
			return failed.String()
		}
		require.Empty(t, failed.String())
		return out.String()
	}
	require.Eventually(t, func() bool {
		require.False(t, dev.Ended())
		return strings.Contains(run("state wallet ann"), "11300")
	}, time.Minute, 200*time.Millisecond, "the bug shows")

	path := filepath.Join("..", "docs", "debugging.md")
	page, err := os.ReadFile(path)
	require.NoError(t, err)
	n := 0
	filled := console.ReplaceAllStringFunc(string(page), func(block string) string {
		n++
		parts := console.FindStringSubmatch(block)
		got := run(parts[1])
		if !*rewrite {
			require.Equal(t, settled(parts[2]), settled(got), "$ actorlog %s", parts[1])
		}
		return "```console\n$ actorlog " + parts[1] + "\n" + got + "```"
	})
	require.Equal(t, 5, n, "five commands find the bug")

	// And the command that is not on the way to that bug: step takes lines from a pipe.
	step := exec.CommandContext(t.Context(), process.Path(t, "actorlog"), "step", "purchase", "lamp", "--at=-1")
	step.Env = append(os.Environ(), "ACTORLOG_BROKERS="+kafka)
	step.Stdin = strings.NewReader("n\np\ng 1\np\nx\ng 99\nn\nq\nn\n")
	out, err := step.CombinedOutput()
	require.NoError(t, err, "%s", out)
	var lines []string
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, " ") || strings.Contains(line, "~ /status") {
			lines = append(lines, strings.Join(strings.Fields(settled(line))[:2], " "))
		}
	}
	require.Equal(t, []string{
		"13:3 #3", "~ /status:", "That was", "13:2 #2", "~ /status:", "13:1 #1", "That was", "n: next", "no such", "13:2 #2", "~ /status:",
	}, lines)
	require.Contains(t, string(out), `~ /status: "cancelled" -> "late"`)
	if *rewrite {
		require.NoError(t, os.WriteFile(path, []byte(filled), 0o644))
	}
}
