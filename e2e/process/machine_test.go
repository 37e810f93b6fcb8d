package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A program that writes what its clock says, and how long its disk takes.
const witness = `package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	for {
		began := time.Now()
		if err := os.Stdin.Sync(); err != nil {
			panic(err)
		}
		fmt.Println(time.Now().Unix(), time.Since(began).Milliseconds())
		time.Sleep(10 * time.Millisecond)
	}
}
`

func TestMachine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	require.NoError(t, err)
	overlay, err := hurtableLibrary(filepath.Join(strings.TrimSpace(string(root)), "src"), dir)
	require.NoError(t, err)
	source, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "main")
	require.NoError(t, os.WriteFile(source, []byte(witness), 0o600))
	out, err := exec.Command("go", "build", "-o", program, "-overlay", overlay, source).CombinedOutput()
	require.NoError(t, err, "%s", out)

	m := NewMachine(t)
	cmd := m.on(exec.Command(program))
	cmd.Stdin, err = os.Open(source) // a file to wait for
	require.NoError(t, err)
	p := start(t, cmd)
	says := func(wrong time.Duration, slow bool) func() bool {
		return func() bool {
			var clock, took int64
			lines := strings.Split(strings.TrimSpace(p.out.String()), "\n")
			if n, _ := fmt.Sscan(lines[len(lines)-1], &clock, &took); n != 2 {
				return false
			}
			off := time.Until(time.Unix(clock, 0)) - wrong
			return off.Abs() < 20*time.Second && (took >= 300) == slow
		}
	}
	require.Eventually(t, says(0, false), 30*time.Second, 5*time.Millisecond)
	m.Clock(-time.Hour)
	require.Eventually(t, says(-time.Hour, false), 30*time.Second, 5*time.Millisecond, "%s", p.out)
	m.Clock(time.Minute)
	m.Disk(300 * time.Millisecond)
	require.Eventually(t, says(time.Minute, true), 30*time.Second, 5*time.Millisecond, "%s", p.out)
}
