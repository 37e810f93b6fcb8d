package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/e2e/process"
)

// The pages that actorlog dev serves, and the client that they use, in Chromium. What is expected
// stands in browser/pages.test.mjs and browser/presence.test.mjs.
func TestPages(t *testing.T) {
	t.Parallel()
	node := browser(t)
	listen, kafka, data := process.Address(t), process.Address(t), t.TempDir()
	dev := func() *process.Process {
		p := process.Start(t, "actorlog", "dev", "--data", data, "--listen", listen, "--kafka-listen", kafka, "--partitions", "8")
		process.Ready(t, listen, p)
		return p
	}
	p := dev()
	for _, name := range []string{"pages", "presence"} {
		// Not in parallel: both kill the program.
		t.Run(name, func(t *testing.T) {
			script{
				dir: "browser", file: name + ".test.mjs", timeout: browserTimeout, env: []string{"ACTORLOG_ENDPOINT=http://" + listen},
				carryOut: func(t *testing.T, what string) {
					require.Equal(t, "kill", what)
					p.Kill()
					p = dev()
				},
			}.run(t, node)
		})
	}
}
