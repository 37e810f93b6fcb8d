package host

import (
	"bytes"
	"context"
	"maps"
	"slices"

	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// An action that its worker does not survive is found out by the claims of the owners who came after each other. The first and the second who
// meet it run it as any other, for workers die of other things too. The third one tries the actions that were there when the second one began
// alone, one at a time, and says in the log which one it tries, before. If it does not survive either, the fourth sets that action aside, with an outcome
// that says so, and goes on with the next.
//
// A term that ended well, with a claim that says released, or in a process that still lives, is none of them. Neither is one that
// has answered all that it found when it began, for it has survived it.
const tryAlone = 2 // crashes, from which on suspects run alone; after Config.ParkAfter, the one that was tried is set aside

// suspect draws the conclusions from the claim before this term.
func (s *shard) suspect(before *actorlogv1.Claim) {
	switch {
	case before == nil || before.Released:
	case before.Worker == s.w.cfg.ID && s.w.claimed[s.partition].Load(): // it lives
		s.crashes = before.Crashes
	default:
		s.crashes = before.Crashes + 1
	}
	s.deaths = s.crashes
	if s.crashes >= tryAlone {
		s.suspects = before.ActionsEnd
	}
	if s.crashes >= uint32(s.w.cfg.ParkAfter) && before.Trying != nil {
		s.condemned = *before.Trying
	}
}

// survived ends all suspicion when everything is answered that was there when the term began.
func (s *shard) survived() {
	s.ackMu.Lock()
	over := s.window.Low() >= s.found && s.trying < 0
	s.ackMu.Unlock()
	s.appendMu.Lock()
	defer s.appendMu.Unlock()
	if over && s.crashes > 0 && !s.dead.Load() {
		s.crashes = 0
		s.renew(new(actorlogv1.Claim))
	}
}

// alone is the weight of an action that runs while none other of those that were found does, in any shard of the worker.
const alone = 1 << 20

// weight says how an action may run: alone, or beside others of weight 1, or, with 0, whenever its turn comes.
func (s *shard) weight(ref int64) int64 {
	switch {
	case ref == s.condemned:
		return 0
	case ref < s.suspects:
		return alone
	case ref < s.found: // a suspect of the owners to come, if this one does not survive it
		return 1
	}
	return 0
}

// admitted says whether an action may run now, and takes what room it needs if that costs no wait.
func (s *shard) admitted(ref int64) bool {
	weight := s.weight(ref)
	if weight == 0 {
		return true
	}
	s.ackMu.Lock()
	defer s.ackMu.Unlock()
	if _, ok := s.held[ref]; ok {
		return true
	}
	if weight == alone || !s.w.trial.TryAcquire(weight) {
		return false
	}
	s.held[ref] = weight
	return true
}

// try waits until an action may run, and, if it is to run alone, for the record that says so. It returns early when the
// shard is given away, or ctx ends.
func (s *shard) try(ctx context.Context, ref int64) {
	weight := s.weight(ref)
	if weight == 0 {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.over, cancel)()
	if s.w.trial.Acquire(ctx, weight) != nil {
		return
	}
	s.ackMu.Lock()
	if s.held[ref] = weight; weight == alone {
		s.trying = ref
	}
	if s.over.Err() != nil { // and perhaps stopped: nobody else would let go
		s.letGo(ref)
	}
	s.ackMu.Unlock()
	if weight == alone {
		s.mark()
	}
}

// mark records what is tried now, and waits until it is written.
func (s *shard) mark() {
	s.appendMu.Lock()
	offset := s.next
	ok := !s.dead.Load() && s.renew(new(actorlogv1.Claim))
	s.appendMu.Unlock()
	if ok {
		s.settle(offset)
	}
}

// letGo gives an action's room back. s.ackMu is held.
func (s *shard) letGo(ref int64) {
	weight, ok := s.held[ref]
	if !ok {
		return
	}
	delete(s.held, ref)
	if s.trying == ref {
		s.trying = -1
	}
	s.w.trial.Release(weight)
}

// interrupt lets others run while an action waits for another actor: it does nothing then that its worker may not survive, and what it waits for
// may have to be tried. It returns false if the action had no room.
func (s *shard) interrupt(ref int64) bool {
	s.ackMu.Lock()
	weight, ok := s.held[ref]
	delete(s.held, ref)
	tried := s.trying == ref
	if tried {
		s.trying = -1
	}
	s.ackMu.Unlock()
	if !ok {
		return false
	}
	if tried {
		s.mark() // or it would be blamed for what the others do
	}
	s.w.trial.Release(weight)
	return true
}

// parking is what is set aside in a shard: actions, by ref, and actors that are out of service. Guarded by shard.ackMu.
type parking struct {
	actions map[int64]*actorlogv1.Parked
	actors  map[schemas.Hash]*actorlogv1.Parked
}

func newParking(items []*actorlogv1.Parked) parking {
	p := parking{actions: make(map[int64]*actorlogv1.Parked), actors: make(map[schemas.Hash]*actorlogv1.Parked)}
	for _, item := range items {
		if hash, ok := schemas.ParseHash(item.Actor); ok && item.Broken != "" {
			p.actors[hash] = item
		} else {
			p.actions[item.Ref] = item
		}
	}
	return p
}

// take notes what an outcome at an offset of events set aside, or took up again.
func (p *parking) take(offset int64, hash schemas.Hash, o *actorlogv1.Outcome) {
	if o.RefusedSince != nil {
		return
	}
	if a := o.GetAction(); a != nil && a.Unparks != nil {
		delete(p.actions, *a.Unparks)
	}
	if o.Repaired != nil {
		delete(p.actors, hash)
	}
	if o.Parked > 0 {
		p.actions[o.Ref] = &actorlogv1.Parked{Actor: hash[:], Ref: o.Ref, Offset: offset}
	}
}

// out notes that an actor is out of service, from a record on.
func (p *parking) out(hash schemas.Hash, offset int64, why string) {
	if p.actors[hash] == nil {
		p.actors[hash] = &actorlogv1.Parked{Actor: hash[:], Offset: offset, Broken: why}
	}
}

func (p *parking) len() int { return len(p.actions) + len(p.actors) }

// items is what a checkpoint says of it: a list that does not depend on the order of maps.
func (p *parking) items() []*actorlogv1.Parked {
	items := make([]*actorlogv1.Parked, 0, len(p.actions)+len(p.actors))
	for _, ref := range slices.Sorted(maps.Keys(p.actions)) {
		items = append(items, p.actions[ref])
	}
	for _, hash := range slices.SortedFunc(maps.Keys(p.actors), func(a, b schemas.Hash) int { return bytes.Compare(a[:], b[:]) }) {
		items = append(items, p.actors[hash])
	}
	return items
}
