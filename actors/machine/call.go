package machine

import (
	"fmt"
	"strings"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Job is the run as a job for the rules of its kind, on the actor as it was when Step told to run it. It is all that the record says: the host
// adds what lives with an activation (Live, Wake, Vars).
func (r *Run) Job(a *Actor, env actor.Env) actor.Job {
	job := actor.Job{
		Namespace: r.Namespace, Kind: r.Kind, Key: r.Key, ID: r.ID, TimeMs: r.TimeMs, Ref: r.Ref,
		Action: r.Action, Invoke: r.Invoke, Create: r.Create, Input: r.Input,
		State: a.State, StateVersion: a.StateVersion,
		Connections: a.Connections, Schedules: a.Schedules, Queue: a.Queue,
		Env: env,
	}
	if r.Schedule != nil {
		job.Occurrence = r.Schedule.OccurrenceUnixMs
	}
	return job
}

// StepsOf is the recorded steps of the action at ref, in order.
func (a *Actor) StepsOf(ref int64) []*actorlogv1.Step { return a.stepsOf(ref) }

// Calls names the calls that one run makes: an action that is run again makes the same calls under the same names, and gets the same answers.
type Calls struct {
	run    *Run
	counts map[callKey]uint32
}

// callKey numbers calls: those of a wake apart from those of the action, which may run again without one.
type callKey struct {
	hash  schemas.Hash
	space uint32
}

// WakeNumbers is set in the numbers of calls that an actor makes while it comes into memory.
const WakeNumbers = actor.SendNumbers >> 1

// Calls of the run.
func (r *Run) Calls() Calls { return Calls{run: r} }

// Chain is the actors that wait for a call of the run, outermost first. A call to one of them is refused, with ErrCallCycle: it would wait for itself.
func (c *Calls) Chain(to schemas.Hash) ([]*actorlogv1.Actor, error) {
	r := c.run
	chain := append(append([]*actorlogv1.Actor{}, r.Action.Chain...), &actorlogv1.Actor{
		Namespace: r.Namespace, Kind: r.Kind, Key: r.Key, Generation: r.ID.Generation,
	})
	for i, link := range chain {
		if schemas.HashOf(link.Namespace, link.Kind, link.Key) == to {
			return nil, cycle(chain[i:])
		}
	}
	return chain, nil
}

// Next is the number of the next call of an actor (schemas Origin), from within the hook that runs.
func (c *Calls) Next(to schemas.Hash, hook string) uint32 {
	if c.counts == nil {
		c.counts = make(map[callKey]uint32)
	}
	key := callKey{hash: to}
	if hook == "CreateVars" || hook == "OnWake" {
		key.space = WakeNumbers
	}
	number := key.space | c.counts[key]
	c.counts[key]++
	return number
}

// cycle says who waits for whom.
func cycle(chain []*actorlogv1.Actor) error {
	var b strings.Builder
	for _, link := range chain {
		fmt.Fprintf(&b, "%s/%s -> ", link.Kind, schemas.Key(link.Key))
	}
	fmt.Fprintf(&b, "%s/%s", chain[0].Kind, schemas.Key(chain[0].Key))
	return actor.ErrCallCycle.Messagef("The call would wait for itself: %s.", b.String())
}
