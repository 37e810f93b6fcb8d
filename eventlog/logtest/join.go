package logtest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/eventlog"
)

// watcher sees all members of a group and fails the test when a partition is assigned
// while another member has not released it.
type watcher struct {
	e *env

	mu      sync.Mutex
	owner   map[int32]*member
	changed chan struct{} // closed and replaced with every change
}

type member struct {
	w    *watcher
	name string
	log  eventlog.Log
	stop context.CancelFunc
	done chan error

	// Guarded by the watcher's mutex.
	owns    map[int32]bool
	lost    int
	changes int
	serving bool
	crashed bool
}

func (e *env) watch() *watcher {
	return &watcher{e: e, owner: make(map[int32]*member), changed: make(chan struct{})}
}

func (w *watcher) join(l eventlog.Log, name, id string) *member {
	ctx, stop := context.WithCancel(w.e.ctx)
	m := &member{w: w, name: name, log: l, stop: stop, done: make(chan error, 1), owns: make(map[int32]bool)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.done <- l.Join(ctx, eventlog.Member{
			Group: "workers",
			ID:    id,
			Assigned: func(_ context.Context, ps []int32) {
				m.serve(func() {
					for _, p := range ps {
						if o := w.owner[p]; o != nil && !o.crashed {
							w.e.Errorf("partition %d was assigned to %s while %s had it", p, name, o.name)
						}
						w.owner[p] = m
						m.owns[p] = true
					}
				})
			},
			Released: func(ctx context.Context, ps []int32) {
				if ctx.Err() != nil {
					w.e.Errorf("Released was called with a context that has ended")
				}
				m.serve(func() { m.drop(ps) })
			},
			Lost: func(ps []int32) {
				m.serve(func() {
					m.drop(ps)
					m.lost += len(ps)
				})
			},
		})
	}()
	w.e.Cleanup(func() {
		stop()
		<-ended
	})
	return m
}

// serve checks that the member's functions are called one at a time.
func (m *member) serve(change func()) {
	w := m.w
	w.mu.Lock()
	if m.serving {
		w.e.Errorf("functions of %s were called at the same time", m.name)
	}
	m.serving = true
	w.mu.Unlock()

	w.mu.Lock()
	defer w.mu.Unlock()
	m.serving = false
	m.changes++
	change()
	close(w.changed)
	w.changed = make(chan struct{})
}

func (m *member) drop(ps []int32) {
	for _, p := range ps {
		if !m.owns[p] {
			m.w.e.Errorf("partition %d was taken from %s, which did not have it", p, m.name)
		}
		delete(m.owns, p)
		if m.w.owner[p] == m {
			delete(m.w.owner, p)
		}
	}
}

// until waits for the condition, which is called with the watcher's mutex held.
func (w *watcher) until(what string, holds func() bool) {
	w.e.Helper()
	for {
		w.mu.Lock()
		if holds() {
			w.mu.Unlock()
			return
		}
		changed := w.changed
		w.mu.Unlock()
		select {
		case <-changed:
		case <-w.e.ctx.Done():
			w.mu.Lock()
			state := fmt.Sprint(w.owner)
			w.mu.Unlock()
			require.FailNow(w.e, "never came true: "+what, state)
		}
	}
}

// untilOwn waits until the members own so many partitions each.
func (w *watcher) untilOwn(counts map[*member]int) {
	w.e.Helper()
	what := ""
	for m, n := range counts {
		what += fmt.Sprintf("%s has %d ", m.name, n)
	}
	w.until(what, func() bool {
		for m, n := range counts {
			if len(m.owns) != n {
				return false
			}
		}
		return true
	})
}

func (m *member) owned() []int32 {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	var ps []int32
	for p := range int32(Partitions) {
		if m.owns[p] {
			ps = append(ps, p)
		}
	}
	return ps
}

func (m *member) changesSoFar() int {
	m.w.mu.Lock()
	defer m.w.mu.Unlock()
	return m.changes
}

// leave stops the member and returns what Join returned.
func (m *member) leave() error {
	m.stop()
	return m.ended()
}

func (m *member) ended() error {
	m.w.e.Helper()
	select {
	case err := <-m.done:
		return err
	case <-m.w.e.ctx.Done():
		require.FailNow(m.w.e, "Join did not return")
		return nil
	}
}

// crash cuts the member off: what it has may be given to others without its release.
func (m *member) crash() {
	m.w.mu.Lock()
	m.crashed = true
	m.w.mu.Unlock()
	m.w.e.f.Crash(m.log)
}

var joinTests = []test{
	{"SoleMemberGetsAllAndReleasesAllWhenItLeaves", func(e *env) {
		w := e.watch()
		a := w.join(e.open(), "a", "")
		w.untilOwn(map[*member]int{a: Partitions})
		require.NoError(e, a.leave())
		require.Empty(e, a.owned())
		require.Zero(e, a.lost)
	}},

	{"MembersShareWithoutOverlap", func(e *env) {
		w := e.watch()
		a := w.join(e.open(), "a", "")
		w.untilOwn(map[*member]int{a: 4})
		b := w.join(e.open(), "b", "")
		w.untilOwn(map[*member]int{a: 2, b: 2})
		kept := a.owned()
		c := w.join(e.open(), "c", "")
		w.until("a, b and c share 4", func() bool {
			return len(a.owns)+len(b.owns)+len(c.owns) == 4 && len(a.owns) > 0 && len(b.owns) > 0 && len(c.owns) > 0
		})
		for _, p := range a.owned() {
			require.Contains(e, kept, p, "a partition moved without need")
		}

		// Who leaves hands over at once, not after the session timeout.
		require.NoError(e, b.leave())
		w.untilOwn(map[*member]int{a: 2, c: 2})
		require.NoError(e, c.leave())
		w.untilOwn(map[*member]int{a: 4})
		require.Zero(e, a.lost+b.lost+c.lost)
	}},

	{"MembersThatJoinTogetherShareAll", func(e *env) {
		w := e.watch()
		a, b := w.join(e.open(), "a", "one"), w.join(e.open(), "b", "two")
		w.untilOwn(map[*member]int{a: 2, b: 2})
	}},

	{"CrashedMembersPartitionsMoveAfterTheSessionTimeout", func(e *env) {
		w := e.watch()
		a, b := w.join(e.open(), "a", ""), w.join(e.open(), "b", "")
		w.untilOwn(map[*member]int{a: 2, b: 2})
		began := time.Now()
		a.crash()
		w.until("b has all", func() bool { return len(b.owns) == 4 })
		require.Greater(e, time.Since(began), e.f.SessionTimeout/4)
	}},

	{"MemberWithAnIDTakesItsPartitionsBackUnnoticed", func(e *env) {
		w := e.watch()
		a, b := w.join(e.open(), "a", "stable-a"), w.join(e.open(), "b", "stable-b")
		w.untilOwn(map[*member]int{a: 2, b: 2})
		had, before := a.owned(), b.changesSoFar()
		a.crash()
		again := w.join(e.open(), "a again", "stable-a")
		w.until("a is back", func() bool { return len(again.owns) == 2 })
		require.Equal(e, had, again.owned())
		require.Equal(e, before, b.changesSoFar(), "b noticed")
	}},

	{"MemberWithAnIDHandsOverAtOnceWhenItLeaves", func(e *env) {
		w := e.watch()
		a, b := w.join(e.open(), "a", "stable-a"), w.join(e.open(), "b", "stable-b")
		w.untilOwn(map[*member]int{a: 2, b: 2})
		require.NoError(e, a.leave())
		require.Empty(e, a.owned())
		w.untilOwn(map[*member]int{b: 4})
		again := w.join(e.open(), "a again", "stable-a")
		w.untilOwn(map[*member]int{again: 2, b: 2})
	}},

	{"ErrForTheFormerOfTwoWithOneID", func(e *env) {
		w := e.watch()
		a := w.join(e.open(), "a", "same")
		w.untilOwn(map[*member]int{a: 4})
		w.mu.Lock()
		a.crashed = true // its partitions are given away without its release
		w.mu.Unlock()
		b := w.join(e.open(), "b", "same")
		w.until("b has all", func() bool { return len(b.owns) == 4 })
		require.Error(e, a.ended())
		w.until("a has none", func() bool { return len(a.owns) == 0 && a.lost == 4 })
		require.Len(e, b.owned(), 4)
	}},

	{"ErrForASecondJoinOfOneLog", func(e *env) {
		w := e.watch()
		l := e.open()
		a := w.join(l, "a", "")
		w.untilOwn(map[*member]int{a: 4})
		require.Error(e, l.Join(e.ctx, eventlog.Member{Group: "other"}))
		require.NoError(e, a.leave())
		b := w.join(l, "b", "") // one after the other is fine
		w.untilOwn(map[*member]int{b: 4})
	}},

	{"LeavesAtOnceWhenNeverAssigned", func(e *env) {
		l := e.open()
		ctx, cancel := context.WithCancel(e.ctx)
		cancel()
		require.NoError(e, l.Join(ctx, eventlog.Member{Group: "workers"}))
	}},
}
