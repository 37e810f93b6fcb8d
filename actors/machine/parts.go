package machine

import (
	"bytes"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/actor"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// This file is what an actor has besides its state, and what outcomes do to it. Lists are replaced, never changed in place.

// maxBodies is how many bytes of queued messages a snapshot holds. Beyond it, it says where in events they stand.
const maxBodies = 1 << 20

// entryBytes is about what a record in a list takes besides its texts.
const entryBytes = 64

// connection finds a connection; -1 when there is none.
func (a *Actor) connection(id string) int {
	return slices.IndexFunc(a.Connections, func(n *actorlogv1.Connection) bool { return n.Id == id })
}

func (a *Actor) takeConnections(o *actorlogv1.Outcome) {
	if len(o.Connected) == 0 && len(o.Disconnected) == 0 {
		return
	}
	list := make([]*actorlogv1.Connection, 0, len(a.Connections)+len(o.Connected))
	list = append(list, a.Connections...)
	for _, n := range o.Connected {
		if i := slices.IndexFunc(list, func(other *actorlogv1.Connection) bool { return other.Id == n.Id }); i >= 0 {
			a.Bulk -= proto.Size(list[i])
			list[i] = n
		} else {
			list = append(list, n)
		}
		a.Bulk += proto.Size(n)
	}
	for _, gone := range o.Disconnected {
		list = slices.DeleteFunc(list, func(n *actorlogv1.Connection) bool {
			if n.Id == gone.Id {
				a.Bulk -= proto.Size(n)
				return true
			}
			return false
		})
	}
	if a.Connections = list; len(list) == 0 {
		a.Connections = nil
	}
}

// Schedule finds a schedule, nil when there is none.
func (a *Actor) Schedule(id string) *actorlogv1.Schedule {
	i, ok := a.schedule(id)
	if !ok {
		return nil
	}
	return a.Schedules[i]
}

func (a *Actor) schedule(id string) (int, bool) {
	return slices.BinarySearchFunc(a.Schedules, id, func(s *actorlogv1.Schedule, id string) int { return strings.Compare(s.Id, id) })
}

func (a *Actor) takeSchedules(o *actorlogv1.Outcome) {
	if len(o.Scheduled) == 0 && len(o.Unscheduled) == 0 {
		return
	}
	a.Schedules = slices.Clone(a.Schedules)
	for _, s := range o.Scheduled {
		a.Bulk += proto.Size(s)
		if i, ok := a.schedule(s.Id); ok {
			a.Bulk -= proto.Size(a.Schedules[i])
			a.Schedules[i] = s
		} else {
			a.Schedules = slices.Insert(a.Schedules, i, s)
		}
	}
	for _, id := range o.Unscheduled {
		if i, ok := a.schedule(id); ok {
			a.Bulk -= proto.Size(a.Schedules[i])
			a.Schedules = slices.Delete(a.Schedules, i, i+1)
		}
	}
	if len(a.Schedules) == 0 {
		a.Schedules = nil
	}
}

// enqueue takes the message of an outcome at offset into its queue.
func (a *Actor) enqueue(offset int64, o *actorlogv1.Outcome) {
	e := o.GetAction().GetEnqueue()
	m := &actorlogv1.QueuedMessage{
		Id: o.Ref, Queue: e.GetQueue(), BodyJson: e.GetBodyJson(), Offset: offset, Size: int64(len(e.GetBodyJson())), TimeUnixMs: o.TimeUnixMs,
	}
	a.Queue = append(slices.Clip(a.Queue), m)
	a.bodies += len(m.BodyJson)
	a.Bulk += entryBytes + len(m.Queue)
}

func (a *Actor) takeCompletions(o *actorlogv1.Outcome) {
	for _, done := range o.Completed {
		i := slices.IndexFunc(a.Queue, func(m *actorlogv1.QueuedMessage) bool { return m.Id == done.MessageId })
		if i < 0 {
			continue
		}
		a.bodies -= len(a.Queue[i].BodyJson)
		a.Bulk -= entryBytes + len(a.Queue[i].Queue)
		if i == 0 {
			a.Queue = a.Queue[1:]
		} else {
			a.Queue = slices.Delete(slices.Clone(a.Queue), i, i+1)
		}
	}
	if len(a.Queue) == 0 {
		a.Queue = nil
	}
}

// queueToKeep is the queue as a snapshot has it.
func (a *Actor) queueToKeep() []*actorlogv1.QueuedMessage {
	if a.bodies <= maxBodies {
		return a.Queue
	}
	kept := make([]*actorlogv1.QueuedMessage, len(a.Queue))
	for i, m := range a.Queue {
		kept[i] = &actorlogv1.QueuedMessage{Id: m.Id, Queue: m.Queue, Offset: m.Offset, Size: m.Size, TimeUnixMs: m.TimeUnixMs}
	}
	return kept
}

// completes says which of a list of completions are of messages that wait.
func (a *Actor) completes(list []*actorlogv1.Completion) []*actorlogv1.Completion {
	var found []*actorlogv1.Completion
	for _, c := range list {
		if slices.ContainsFunc(a.Queue, func(m *actorlogv1.QueuedMessage) bool { return m.Id == c.MessageId }) {
			found = append(found, c)
		}
	}
	return found
}

// settledBelow is the ref from which on actions of a shard may still ask.
func (a *Actor) settledBelow(partition int32) int64 {
	if i, ok := a.settledAt(partition); ok {
		return a.Settled[i].Ref
	}
	return 0
}

func (a *Actor) settledAt(partition int32) (int, bool) {
	return slices.BinarySearchFunc(a.Settled, partition, func(s *actorlogv1.Settled, p int32) int { return int(s.Partition) - int(p) })
}

// Promised says whether the actor has to know requests again: it gave outcomes to clients' idempotency keys, or to other actors.
func (a *Actor) Promised() bool {
	return len(a.Recent) > 0 || len(a.Asked) > 0 || len(a.Settled) > 0
}

// askedBefore finds a request of another actor.
func (a *Actor) askedBefore(o *actorlogv1.Origin) (int64, bool) {
	for _, asked := range a.Asked {
		if by := asked.Origin; by.Partition == o.Partition && by.Ref == o.Ref && by.Number == o.Number && bytes.Equal(by.Actor, o.Actor) {
			return asked.Offset, true
		}
	}
	return 0, false
}

// late says that a request comes from somebody who has asked before and is answered: the action that makes it is settled, or
// its actor has made calls in a later action, which it does only when all earlier ones are committed.
func (a *Actor) late(o *actorlogv1.Origin) bool {
	return o.Ref < a.settledBelow(o.Partition) || slices.ContainsFunc(a.Asked, func(asked *actorlogv1.Asked) bool { return earlier(o, asked.Origin) })
}

// earlier says that a call was made by an earlier action of the same actor than another one. Sends say nothing: they
// are delivered after their action.
func earlier(o, than *actorlogv1.Origin) bool {
	return o.Ref < than.Ref && o.Partition == than.Partition && !sent(o) && !sent(than) && bytes.Equal(o.Actor, than.Actor)
}

// sent says that a request was sent with an outcome, and is not a call of an action under way.
func sent(o *actorlogv1.Origin) bool { return o.Number&actor.SendNumbers != 0 }

// takeSettled takes in from where on actions of the origin's shard may still ask, and forgets those that may not.
//
//	Invariant: every remembered request has a ref of at least settledBelow its partition.
func (a *Actor) takeSettled(o *actorlogv1.Origin) {
	if o.Settled <= a.settledBelow(o.Partition) {
		return
	}
	i, ok := a.settledAt(o.Partition)
	a.Settled = slices.Clone(a.Settled)
	s := &actorlogv1.Settled{Partition: o.Partition, Ref: o.Settled}
	if ok {
		a.Settled[i] = s
	} else {
		a.Settled = slices.Insert(a.Settled, i, s)
	}
	a.forget(func(by *actorlogv1.Origin) bool { return by.Partition == o.Partition && by.Ref < o.Settled })
}

// asks remembers a request of another actor, in place of those that its earlier actions made.
func (a *Actor) asks(o *actorlogv1.Origin, offset int64) {
	a.forget(func(by *actorlogv1.Origin) bool { return earlier(by, o) })
	a.Asked = append(slices.Clip(a.Asked), &actorlogv1.Asked{
		Origin: &actorlogv1.Origin{Partition: o.Partition, Actor: o.Actor, Ref: o.Ref, Number: o.Number}, Offset: offset,
	})
	a.Bulk += entryBytes
}

func (a *Actor) forget(over func(by *actorlogv1.Origin) bool) {
	match := func(asked *actorlogv1.Asked) bool { return over(asked.Origin) }
	if slices.ContainsFunc(a.Asked, match) {
		n := len(a.Asked)
		a.Asked = slices.DeleteFunc(slices.Clone(a.Asked), match)
		a.Bulk -= entryBytes * (n - len(a.Asked))
	}
}

func stale(e *actorlogv1.Error) bool {
	return e.GetGroup() == actor.ErrStaleCall.Group && e.GetCode() == actor.ErrStaleCall.Code
}

// ApplyStep folds a step, which the [Fence] admitted and which stands at offset. It returns false, and changes nothing, when the
// step is void: it was applied before, or its action is answered.
func (a *Actor) ApplyStep(offset int64, s *actorlogv1.Step) bool {
	if offset <= a.LastOffset || a.Answered(s.Ref) || int(s.Number) != len(a.stepsOf(s.Ref)) {
		return false
	}
	a.Steps = append(slices.Clip(a.stepsOf(s.Ref)), s)
	a.LastOffset = offset
	a.Bulk += proto.Size(s)
	return true
}

// stepsOf is the recorded steps of an action.
func (a *Actor) stepsOf(ref int64) []*actorlogv1.Step {
	if len(a.Steps) > 0 && a.Steps[0].Ref == ref {
		return a.Steps
	}
	return nil
}

// StepOf is the recorded step of that number of an action, nil when there is none.
func (a *Actor) StepOf(ref int64, number uint32) *actorlogv1.Step {
	if steps := a.stepsOf(ref); int(number) < len(steps) {
		return steps[number]
	}
	return nil
}

func (a *Actor) clearSteps() {
	if len(a.Steps) > 0 && a.Steps[0].Ref <= a.LastRef {
		for _, s := range a.Steps {
			a.Bulk -= proto.Size(s)
		}
		a.Steps = nil
	}
}

// measure works out Bulk of an actor that was restored.
func (a *Actor) measure() {
	for _, m := range a.Queue {
		a.bodies += len(m.BodyJson)
	}
	a.Bulk = a.bulkOfParts() + a.bulkOfAsked()
}

func (a *Actor) bulkOfParts() int {
	n := 0
	for _, c := range a.Connections {
		n += proto.Size(c)
	}
	for _, s := range a.Schedules {
		n += proto.Size(s)
	}
	for _, m := range a.Queue {
		n += entryBytes + len(m.Queue)
	}
	for _, s := range a.Steps {
		n += proto.Size(s)
	}
	return n
}

func (a *Actor) bulkOfAsked() int { return entryBytes * len(a.Asked) }

// SnapshotBytes is about how long the snapshot of the actor is, but for the requests that it remembers.
func (a *Actor) SnapshotBytes() int { return len(a.State) + a.Bulk + min(a.bodies, maxBodies) }
