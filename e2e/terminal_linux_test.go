package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/actorlog/actorlog/e2e/process"
)

// terminal runs a program on a pseudo-terminal of its own, which is narrow, and collects what it shows.
func terminal(t *testing.T, cmd *exec.Cmd) (keys *os.File, screen *process.Output) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	fd := int(master.Fd())
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 5, Col: 20}))
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, cmd.Start())
	require.NoError(t, slave.Close())
	screen = new(process.Output)
	read := make(chan struct{})
	go func() {
		defer close(read)
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			_, _ = screen.Write(b[:n])
			if err != nil { // the other end is closed
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-read
		require.NoError(t, master.Close())
		if t.Failed() {
			t.Logf("the terminal shows:\n%s", screen)
		}
	})
	return master, screen
}

// Somebody walks through a history with single keys, and finds the terminal as it was when the walk is over.
func TestStep_Terminal(t *testing.T) {
	t.Parallel()
	kafka := process.Address(t)
	process.Start(t, "actorlog", "dev", "--seed", "refunds", "--data", t.TempDir(), "--kafka-listen", kafka, "--listen", "127.0.0.1:0")
	require.Eventually(t, func() bool {
		out, _ := exec.CommandContext(t.Context(), process.Path(t, "actorlog"), "history", "purchase", "lamp", "--brokers", kafka).Output()
		return strings.Contains(string(out), "#3")
	}, time.Minute, 200*time.Millisecond)

	for _, end := range []string{"q", "\x03", "\x04", "g then \x03"} {
		cmd := exec.CommandContext(t.Context(), process.Path(t, "actorlog"), "step", "purchase", "lamp", "--brokers", kafka)
		keys, screen := terminal(t, cmd)
		seen := 0
		shows := func(text string) {
			t.Helper()
			require.Eventually(t, func() bool {
				s := screen.String()
				i := strings.Index(s[seen:], text)
				if i >= 0 {
					seen += i + len(text)
				}
				return i >= 0
			}, time.Minute, 10*time.Millisecond, "%q", text)
		}
		press := func(key string) {
			_, err := keys.WriteString(key)
			require.NoError(t, err)
		}
		shows("#1")
		shows("q: quit")
		press("n")
		shows("#2")
		press("\x1b[C") // right
		shows("#3")
		shows("fire checkLate()")
		press(" ")
		shows("That was the last event.")
		press("\x1b[D") // left
		shows("#2")
		shows(`~ /status: "paid" -> "cancelled"`)
		press("p")
		shows("#1")
		press("p")
		shows("That was the first event.")
		press("g")
		shows("go to: ")
		press("-1\r")
		shows("#3")
		press("g")
		shows("go to: ")
		press("99\r")
		shows("the actor has 3")
		press("x")
		shows("n: next event")
		prompt, key, asked := strings.Cut(end, " then ")
		if press(prompt); asked {
			shows("go to: ")
			press(key)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended:
			if asked {
				require.ErrorContains(t, err, "interrupt", "it did not wait for the rest of the line")
			} else {
				require.NoError(t, err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("the walk did not end")
		}
		settings, err := unix.IoctlGetTermios(int(keys.Fd()), unix.TCGETS)
		require.NoError(t, err)
		require.NotZero(t, settings.Lflag&unix.ECHO, "the terminal echoes again")
	}
}
