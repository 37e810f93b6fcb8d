package memlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/actorlog/actorlog/eventlog"
)

// group shares out the partitions among its members. For every partition,
// holder[p] is the one member that may be using it; it becomes nil when that member
// has returned from Released, has left, or was taken for dead. Only a partition
// without a holder is assigned: hence no overlap, zombies apart.
type group struct {
	members []*member // in order of joining
	target  []*member // per partition: who shall have it
	holder  []*member // per partition: who has it
	joins   int
}

// member is one membership. Guarded by the cluster's mutex.
type member struct {
	number int
	id     string
	log    *Log
	wake   chan struct{} // capacity 1

	// state of the membership as the group sees it
	dead   bool // taken for dead; not in group.members any more
	fenced bool // another member joined with the same ID
	// learns is closed when a dead member is to learn of its death.
	learns    chan struct{}
	learnOnce sync.Once
	expiry    *time.Timer // running session timeout of a crashed or disconnected member
}

func (m *member) notify() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// errFencedID ends the Join of a member whose ID was taken over.
var errFencedID = errors.New("another member joined with the same ID")

// Join implements [eventlog.Log].
func (l *Log) Join(ctx context.Context, m eventlog.Member) error {
	fail := func(err error) error { return fmt.Errorf("taking part in group %s: %w", m.Group, err) }
	l.mu.Lock()
	switch {
	case l.isClosed():
		l.mu.Unlock()
		return fail(eventlog.ErrClosed)
	case l.joining:
		l.mu.Unlock()
		return fail(errors.New("this client has joined already"))
	}
	l.joining = true
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.joining, l.member = false, nil
		l.mu.Unlock()
	}()
	for {
		again, err := l.join(ctx, m)
		if err != nil {
			return fail(err)
		}
		if !again {
			return nil
		}
	}
}

// join is one membership: again says that it was lost and is to be taken up anew.
func (l *Log) join(ctx context.Context, cb eventlog.Member) (again bool, err error) {
	if err := l.waitConnected(ctx, time.Hour); err != nil {
		switch {
		case ctx.Err() != nil:
			return false, nil //nolint:nilerr // the end of ctx is how a membership ends in peace
		case l.isClosed():
			return false, eventlog.ErrClosed
		}
		return true, nil
	}
	c := l.c
	c.mu.Lock()
	g := c.groups[cb.Group]
	if g == nil {
		g = &group{target: make([]*member, c.partitions), holder: make([]*member, c.partitions)}
		c.groups[cb.Group] = g
	}
	g.joins++
	m := &member{number: g.joins, id: cb.ID, log: l, wake: make(chan struct{}, 1), learns: make(chan struct{})}
	g.admit(m)
	c.mu.Unlock()
	l.mu.Lock()
	l.member = m
	l.mu.Unlock()

	var owned []int32 // what the member believes to own, ascending
	release := func() {
		if len(owned) > 0 && cb.Released != nil {
			cb.Released(context.WithoutCancel(ctx), slices.Clone(owned))
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if l.online() {
			g.leave(m)
		}
	}
	for {
		c.mu.Lock()
		if !m.dead && ctx.Err() == nil && !l.isClosed() && l.online() {
			var revoked, gained []int32
			for _, p := range owned {
				if g.target[p] != m {
					revoked = append(revoked, p)
				}
			}
			if len(revoked) == 0 {
				for p, who := range g.target {
					p := int32(p)
					_, has := slices.BinarySearch(owned, p)
					switch free := g.holder[p] == nil || g.holder[p] == m; {
					case who == m && !has && free:
						g.holder[p] = m
						gained = append(gained, p)
					case who != m && g.holder[p] == m:
						// Released while it was disconnected: said only now.
						g.holder[p] = nil
						g.notify()
					}
				}
			}
			c.mu.Unlock()
			if len(revoked) > 0 {
				if cb.Released != nil {
					cb.Released(context.WithoutCancel(ctx), slices.Clone(revoked))
				}
				owned = slices.DeleteFunc(owned, func(p int32) bool { return slices.Contains(revoked, p) })
				if l.hasCrashed() || !l.online() {
					continue // it died on the way: the group never heard
				}
				c.mu.Lock()
				for _, p := range revoked {
					if g.holder[p] == m {
						g.holder[p] = nil
					}
				}
				g.notify()
				c.mu.Unlock()
				continue
			}
			if len(gained) > 0 {
				owned = append(owned, gained...)
				slices.Sort(owned)
				if cb.Assigned != nil {
					cb.Assigned(ctx, slices.Clone(gained))
				}
				continue
			}
		} else {
			c.mu.Unlock()
		}

		select {
		case <-m.wake:
		case <-m.learns:
			if len(owned) > 0 && cb.Lost != nil {
				cb.Lost(slices.Clone(owned))
			}
			if m.fenced {
				return false, errFencedID
			}
			return true, nil
		case <-ctx.Done():
			release()
			return false, nil
		case <-l.closed:
			if !l.hasCrashed() {
				release()
				return false, eventlog.ErrClosed
			}
			c.mu.Lock()
			if !m.dead {
				g.expireAfter(c, m, c.session, -1)
			}
			c.mu.Unlock()
			return false, eventlog.ErrClosed
		}
	}
}

func (l *Log) online() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.isConnected()
}

func (l *Log) hasCrashed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.crashed
}

// Expire makes the group take the client's member for dead now and give its partitions
// to others, while the member goes on believing in them, and writing, for lostAfter:
// then it is told through Lost and joins again. Negative: it never learns. It reports
// whether the client was a member.
func (l *Log) Expire(lostAfter time.Duration) bool {
	l.mu.Lock()
	m := l.member
	l.mu.Unlock()
	if m == nil {
		return false
	}
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	g := l.c.groupOf(m)
	if g == nil {
		return false
	}
	g.expire(m, lostAfter)
	return true
}

func (l *Log) disconnectMember() {
	l.mu.Lock()
	m := l.member
	l.mu.Unlock()
	if m == nil {
		return
	}
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	if g := l.c.groupOf(m); g != nil && m.expiry == nil {
		g.expireAfter(l.c, m, l.c.session, -1)
	}
}

func (l *Log) connectMember() {
	l.mu.Lock()
	m := l.member
	l.mu.Unlock()
	if m == nil {
		return
	}
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	if m.expiry != nil {
		m.expiry.Stop()
		m.expiry = nil
	}
	if m.dead {
		m.learn()
	}
	m.notify()
}

// Assignment returns which client holds each partition of the group now, nil for none.
func (c *Cluster) Assignment(name string) []*Log {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]*Log, c.partitions)
	if g := c.groups[name]; g != nil {
		for p, m := range g.holder {
			if m != nil {
				out[p] = m.log
			}
		}
	}
	return out
}

// groupOf returns the group that m is a living member of.
func (c *Cluster) groupOf(m *member) *group {
	for _, g := range c.groups {
		if slices.Contains(g.members, m) {
			return g
		}
	}
	return nil
}

// The methods of group are called with the cluster's mutex held.

func (g *group) notify() {
	for _, m := range g.members {
		m.notify()
	}
}

// admit takes m in. A member of the same ID is replaced: m inherits its partitions and
// nobody else notices.
func (g *group) admit(m *member) {
	for i, old := range g.members {
		if m.id == "" || old.id != m.id {
			continue
		}
		g.members[i] = m
		for p := range g.target {
			if g.target[p] == old {
				g.target[p] = m
			}
			if g.holder[p] == old {
				g.holder[p] = m
			}
		}
		old.die()
		old.fenced = true
		old.learn()
		g.notify()
		return
	}
	g.members = append(g.members, m)
	g.balance()
}

func (g *group) leave(m *member) {
	i := slices.Index(g.members, m)
	if i < 0 {
		return
	}
	g.members = slices.Delete(g.members, i, i+1)
	m.die()
	for p := range g.holder {
		if g.holder[p] == m {
			g.holder[p] = nil
		}
	}
	g.balance()
}

func (g *group) expire(m *member, lostAfter time.Duration) {
	g.leave(m)
	switch {
	case lostAfter == 0:
		m.learn()
	case lostAfter > 0:
		time.AfterFunc(lostAfter, m.learn)
	}
}

func (g *group) expireAfter(c *Cluster, m *member, session, lostAfter time.Duration) {
	m.expiry = time.AfterFunc(session, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !m.dead && m.expiry != nil {
			g.expire(m, lostAfter)
		}
	})
}

func (m *member) die() {
	m.dead = true
	if m.expiry != nil {
		m.expiry.Stop()
		m.expiry = nil
	}
}

func (m *member) learn() { m.learnOnce.Do(func() { close(m.learns) }) }

// balance spreads the partitions evenly and moves as few as possible: first everybody
// keeps up to its share, then what is left goes to whoever has least.
func (g *group) balance() {
	defer g.notify()
	if len(g.members) == 0 {
		clear(g.target)
		return
	}
	least := len(g.target) / len(g.members)
	extra := len(g.target) % len(g.members) // so many members may have one more
	count := make(map[*member]int)
	var free []int
	for p, m := range g.target {
		switch {
		case m == nil || m.dead:
			free = append(free, p)
		case count[m] < least:
			count[m]++
		case count[m] == least && extra > 0:
			extra--
			count[m]++
		default:
			free = append(free, p)
		}
	}
	for _, p := range free {
		to := g.members[0]
		for _, m := range g.members {
			if count[m] < count[to] {
				to = m
			}
		}
		g.target[p] = to
		count[to]++
	}
}
