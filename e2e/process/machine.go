package process

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// Machine is what a program runs on, as far as it can be hurt: its wall clock jumps, its disk is slow. Nil is a machine that is well.
//
// Programs that run on one are built with a standard library to which a few lines are added (go build -overlay); their own
// sources are the same. Machines cost a build of everything, a minute or two, once.
type Machine struct {
	path  string
	state *state
}

// state is memory that a machine shares with its program.
type state struct {
	// clock is by how much time.Now is wrong, and disk how long fsync and fdatasync wait before they begin, nanoseconds.
	clock, disk atomic.Int64
}

// NewMachine returns one that is well. It lasts as long as the test.
func NewMachine(t *testing.T) *Machine {
	t.Helper()
	m := &Machine{path: filepath.Join(t.TempDir(), "machine")}
	require.NoError(t, os.WriteFile(m.path, make([]byte, os.Getpagesize()), 0o600))
	f, err := os.OpenFile(m.path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	page, err := syscall.Mmap(int(f.Fd()), 0, os.Getpagesize(), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, syscall.Munmap(page)) })
	m.state = (*state)(unsafe.Pointer(&page[0]))
	return m
}

// Clock has the wall clock jump to where it is wrong by so much. The monotonic clock, and with it timers that run, stays as it is,
// as when somebody sets the time of a machine.
func (m *Machine) Clock(wrong time.Duration) { m.state.clock.Store(int64(wrong)) }

// Disk has every fsync wait for so long.
func (m *Machine) Disk(wait time.Duration) { m.state.disk.Store(int64(wait)) }

// Start is [Start] on this machine.
func (m *Machine) Start(t *testing.T, program string, args ...string) *Process {
	t.Helper()
	if m == nil {
		return Start(t, program, args...)
	}
	dir, err := hurtablePrograms()
	require.NoError(t, err)
	return start(t, m.on(exec.Command(filepath.Join(dir, program), args...)))
}

func (m *Machine) on(cmd *exec.Cmd) *exec.Cmd {
	cmd.Env = append(os.Environ(), machineVariable+"="+m.path)
	return cmd
}

// machineVariable tells a program where its machine is.
const machineVariable = "ACTORLOG_TEST_MACHINE"

var hurtablePrograms = sync.OnceValues(func() (string, error) {
	dir, err := buildDir()
	if err != nil {
		return "", err
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("asking where Go's sources are: %w", err)
	}
	overlay, err := hurtableLibrary(filepath.Join(strings.TrimSpace(string(root)), "src"), dir)
	if err != nil {
		return "", err
	}
	return dir, build(dir, "-overlay", overlay)
})

// insertions into Go's standard library, each after a text that stands in its file exactly once.
var insertions = []struct{ file, after, text string }{
	{"time/time.go", "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n", `
	if m := syscall.Machine; m != nil {
		wrong := int64(nsec) + m.Clock.Load()
		sec, nsec = sec+wrong/1e9, int32(wrong%1e9)
		if nsec < 0 {
			sec, nsec = sec-1, nsec+1e9
		}
	}
`},
	{"time/time.go", "import (\n", "\t\"syscall\"\n"},
	{"syscall/syscall_linux.go", "func Syscall(trap, a1, a2, a3 uintptr) (r1, r2 uintptr, err Errno) {\n", `
	if trap == SYS_FSYNC || trap == SYS_FDATASYNC {
		awaitDisk()
	}
`},
}

// machineSource is the program's side of a [Machine].
const machineSource = `package syscall

import (
	"sync/atomic"
	"unsafe"
)

type machine struct{ Clock, disk atomic.Int64 }

var Machine *machine

func init() {
	path, ok := Getenv("` + machineVariable + `")
	if !ok {
		return
	}
	fd, err := Open(path, O_RDWR|O_CLOEXEC, 0)
	if err != nil {
		panic(err)
	}
	page, err := Mmap(fd, 0, Getpagesize(), PROT_READ|PROT_WRITE, MAP_SHARED)
	if err != nil {
		panic(err)
	}
	_ = Close(fd)
	Machine = (*machine)(unsafe.Pointer(&page[0]))
}

func awaitDisk() {
	if Machine == nil {
		return
	}
	left := NsecToTimespec(Machine.disk.Load())
	for Nanosleep(&left, &left) == EINTR {
	}
}
`

// hurtableLibrary writes the sources of a standard library that can be hurt into dir, and returns the file that tells the go command about them.
func hurtableLibrary(src, dir string) (string, error) {
	texts := map[string]string{"syscall/machine_linux.go": machineSource}
	for _, i := range insertions {
		text, ok := texts[i.file]
		if !ok {
			b, err := os.ReadFile(filepath.Join(src, i.file))
			if err != nil {
				return "", err
			}
			text = string(b)
		}
		if strings.Count(text, i.after) != 1 {
			return "", fmt.Errorf("%s of this version of Go does not have %q once: say anew where its library can be hurt", i.file, i.after)
		}
		texts[i.file] = strings.Replace(text, i.after, i.after+i.text, 1)
	}
	replace := make(map[string]string)
	for file, text := range texts {
		path := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(src, file)] = path
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, list, 0o600)
}

// build builds the programs into dir.
func build(dir string, flags ...string) error {
	args := slices.Concat([]string{"build", "-o", dir}, flags)
	if race {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "github.com/actorlog/actorlog/cmd/...", "github.com/actorlog/actorlog/e2e/bomb")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("building the programs: %w\n%s", err, out)
	}
	return nil
}
