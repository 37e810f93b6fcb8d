package faults

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/e2e/process"
)

// --- disks that are full ----------------------------------------------------------

// tinyDisk mounts so many MiB of memory as a directory.
func tinyDisk(t *testing.T, dir, mib string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount a disk that can be filled")
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+mib+"m"); err != nil {
		t.Skipf("mounting a disk that can be filled: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
}

// ballast leaves no room on a disk.
type ballast struct {
	t *testing.T
	f *os.File
}

func newBallast(t *testing.T, dir string) *ballast {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "ballast"))
	require.NoError(t, err)
	return &ballast{t, f}
}

// fill takes all that is there, also what others have given back since.
func (b *ballast) fill() (full bool) {
	var err error
	for block := make([]byte, 4<<10); err == nil; {
		_, err = b.f.Write(block)
	}
	return errors.Is(err, syscall.ENOSPC)
}

func (b *ballast) remove() {
	b.t.Helper()
	require.NoError(b.t, b.f.Close())
	require.NoError(b.t, os.Remove(b.f.Name()))
}

// fillDisk leaves no room on the disk of worker 0's local store until the worker ends of it, as it does at its next write. It is started again when
// there is room: the others have its shards meanwhile.
func (w *world) fillDisk() {
	w.t.Helper()
	w.injected["disk full"]++
	b := newBallast(w.t, w.data[0])
	require.Eventually(w.t, func() bool { return b.fill() && w.workers[0].Ended() },
		patience, 10*time.Millisecond, "the worker goes on without its local store")
	w.pause(time.Second)
	b.remove()
	w.startWorker(0)
}

// fillBroker leaves no room on the disk of the embedded broker for a while. It goes on, and refuses what it cannot write.
func (w *world) fillBroker(d time.Duration) {
	w.t.Helper()
	w.injected["disk of the broker full"]++
	b := newBallast(w.t, w.brokers.(*embedded).data)
	for until := time.Now().Add(d); time.Now().Before(until); w.pause(10 * time.Millisecond) {
		require.True(w.t, b.fill())
	}
	b.remove()
}

// fillNode lets no file of a node of Apache Kafka grow any more, which ends the node, and starts it again where they may. Nothing is mounted under a node that runs: it
// hears "file too large" instead of "no space left".
func (w *world) fillNode(node int) {
	w.t.Helper()
	w.injected["disk of a broker full"]++
	c := w.brokers.(*cluster)
	limit := syscall.Rlimit{Cur: 0, Max: math.MaxUint64}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(c.pid(w.t, node)), syscall.RLIMIT_FSIZE, uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
	require.Zero(w.t, errno, "%v", errno)
	c.end(w.t, node)
	w.pause(500 * time.Millisecond)
	c.revive(w.t)
}

// --- clocks and slow disks ---------------------------------------------------------

// machines of the whole world: the broker's, if it is ours, the gateways', the workers'.
func (w *world) machines() (broker, gateways, workers []*process.Machine) {
	if e, ok := w.brokers.(*embedded); ok {
		broker = []*process.Machine{e.machine}
	}
	return broker, w.gatewayMachines[:], w.workerMachines[:]
}

// jumpClocks sets the clocks of all machines wrong, one after the other, each by something else, and then right again.
func (w *world) jumpClocks() {
	broker, gateways, workers := w.machines()
	all := slices.Concat(broker, workers, gateways)
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, m := range all {
		// Schedules go by the clocks of workers: those that are ahead have the metronomes stand still for as long, when all is well again.
		most := 8 * time.Second
		if slices.Contains(gateways, m) {
			most = time.Hour
		}
		w.injected["clock jump"]++
		m.Clock(rand.N(2*most) - most)
		w.pause(rand.N(500 * time.Millisecond))
	}
	w.pause(time.Second)
	for _, m := range all {
		w.injected["clock jump"]++
		m.Clock(0)
		w.pause(rand.N(200 * time.Millisecond))
	}
}

// slowDisks has every fsync take so long: the embedded broker's, before it acknowledges, and those of local stores.
func (w *world) slowDisks(broker, local, d time.Duration) {
	w.injected["slow disks"]++
	ours, _, workers := w.machines()
	for _, m := range ours {
		m.Disk(broker)
	}
	for _, m := range workers {
		m.Disk(local)
	}
	w.pause(d)
	for _, m := range slices.Concat(ours, workers) {
		m.Disk(0)
	}
}
