package host

import (
	"container/heap"
	"context"
	"time"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// agenda is what a shard has to do for its actors, awake or asleep, without being asked: schedules to fire, connections to end when
// their gateway dies, loops to wake for messages in queues. It knows committed outcomes only. Guarded by shard.ackMu.
type agenda struct {
	due   dueHeap
	byKey map[timerKey]*timer
	// links is the actors that may have connections through a gateway.
	links map[string]map[schemas.Hash]struct{}
	// listed is the actors of which the local store's index has an entry.
	listed map[schemas.Hash]struct{}
	// sooner says that the first timer may be earlier than it was.
	sooner chan struct{}
}

type timerKey struct {
	hash schemas.Hash
	id   string
}

// timer is one schedule. Outside of the heap, index is -1: it was asked to fire, and has not yet.
type timer struct {
	key   timerKey
	life  uint32 // generation of the actor
	due   int64  // as the schedule says
	at    int64  // when to ask for it: due, or later when asking failed
	index int
}

// How long to wait before a schedule that could not fire is asked again: because of a moment's trouble, or because this worker
// does not know the kind, or cannot read the actor.
const (
	askAgain = time.Second
	askLater = time.Minute
)

func newAgenda() agenda {
	return agenda{
		byKey: make(map[timerKey]*timer), links: make(map[string]map[schemas.Hash]struct{}),
		listed: make(map[schemas.Hash]struct{}), sooner: make(chan struct{}, 1),
	}
}

// take notes what an outcome did to the agenda of its actor.
func (g *agenda) take(hash schemas.Hash, before, after *machine.Actor, o *actorlogv1.Outcome) {
	if o.Repaired != nil {
		g.drop(hash, before)
		g.add(after)
		return
	}
	if !after.Alive {
		g.drop(hash, before)
		return
	}
	for _, s := range o.Scheduled {
		g.set(hash, after.Generation, s)
	}
	for _, id := range o.Unscheduled {
		g.cancel(timerKey{hash, id})
	}
	if f := o.GetAction().GetFire(); f != nil {
		// Fired, the schedule has moved on. Refused, it is asked again.
		if t := g.byKey[timerKey{hash, f.ScheduleId}]; t != nil && t.due == f.DueUnixMs && t.index < 0 {
			if o.RefusedSince != nil {
				g.again(t, askAgain)
			} else {
				g.again(t, askLater)
			}
		}
	}
	for _, n := range o.Connected {
		g.link(n.Gateway, hash)
	}
	if len(after.Connections) == 0 {
		for _, n := range o.Disconnected {
			g.unlink(n.Gateway, hash)
		}
	}
}

// add takes in an actor as recovery found it.
func (g *agenda) add(a *machine.Actor) {
	for _, s := range a.Schedules {
		g.set(a.Hash, a.Generation, s)
	}
	for _, n := range a.Connections {
		g.link(n.Gateway, a.Hash)
	}
}

// drop forgets an actor.
func (g *agenda) drop(hash schemas.Hash, a *machine.Actor) {
	for _, s := range a.Schedules {
		g.cancel(timerKey{hash, s.Id})
	}
	for _, n := range a.Connections {
		g.unlink(n.Gateway, hash)
	}
}

func (g *agenda) link(gateway string, hash schemas.Hash) {
	if g.links[gateway] == nil {
		g.links[gateway] = make(map[schemas.Hash]struct{})
	}
	g.links[gateway][hash] = struct{}{}
}

func (g *agenda) unlink(gateway string, hash schemas.Hash) {
	if delete(g.links[gateway], hash); len(g.links[gateway]) == 0 {
		delete(g.links, gateway)
	}
}

func (g *agenda) set(hash schemas.Hash, life uint32, s *actorlogv1.Schedule) {
	key := timerKey{hash, s.Id}
	g.cancel(key)
	t := &timer{key: key, life: life, due: s.DueUnixMs, at: s.DueUnixMs}
	g.byKey[key] = t
	g.push(t)
}

func (g *agenda) push(t *timer) {
	heap.Push(&g.due, t)
	if t.index == 0 {
		select {
		case g.sooner <- struct{}{}:
		default:
		}
	}
}

func (g *agenda) again(t *timer, after time.Duration) {
	t.at = time.Now().Add(after).UnixMilli()
	g.push(t)
}

func (g *agenda) cancel(key timerKey) {
	if t := g.byKey[key]; t != nil {
		if t.index >= 0 {
			heap.Remove(&g.due, t.index)
		}
		delete(g.byKey, key)
	}
}

// pop takes the timers out of the heap that are due, at most n, and says when the next one is.
func (g *agenda) pop(now time.Time, n int) (due []*timer, next time.Duration) {
	ms := now.UnixMilli()
	for len(g.due) > 0 && len(due) < n && g.due[0].at <= ms {
		due = append(due, heap.Pop(&g.due).(*timer))
	}
	if len(g.due) == 0 {
		return due, time.Hour
	}
	return due, time.UnixMilli(g.due[0].at).Sub(now)
}

// dueHeap implements heap.Interface.
type dueHeap []*timer

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *dueHeap) Push(t any) {
	t.(*timer).index = len(*h)
	*h = append(*h, t.(*timer))
}

func (h *dueHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}

// maxFirings is how many schedules are asked to fire in one go.
const maxFirings = 1000

// keepTime asks schedules to fire when they are due, until ctx ends: it appends their actions. An actor that has moved on meanwhile
// does nothing about it.
func (s *shard) keepTime(ctx context.Context) {
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.agenda.sooner:
		case <-alarm.C:
		}
		s.ackMu.Lock()
		due, next := s.agenda.pop(time.Now(), maxFirings)
		s.ackMu.Unlock()
		for _, t := range due {
			s.fire(t)
		}
		alarm.Reset(max(next, 0))
	}
}

func (s *shard) fire(t *timer) {
	err := s.w.sender.Deliver(t.key.hash, &actorlogv1.Action{
		Actor: &actorlogv1.Actor{Generation: t.life}, RequestId: s.w.requestID(),
		Body: &actorlogv1.Action_Fire{Fire: &actorlogv1.Fire{ScheduleId: t.key.id, DueUnixMs: t.due}},
	}, func(_ int64, err error) {
		if err != nil {
			s.unasked(t)
		}
	})
	if err != nil {
		s.unasked(t)
	}
}

// unasked puts a timer back that could not be asked to fire.
func (s *shard) unasked(t *timer) {
	s.ackMu.Lock()
	defer s.ackMu.Unlock()
	if s.agenda.byKey[t.key] == t && t.index < 0 {
		s.agenda.again(t, askAgain)
	}
}
