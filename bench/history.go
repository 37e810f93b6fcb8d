package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// history is a log of increments as a worker would have left it had it died before its first
// checkpoint. It is written through the rules of package machine, without a worker, because
// a million calls would take longer.
type history struct {
	log    eventlog.Log
	events int
	// ends are the ends of the partitions of events.
	ends [partitions]int64
	// actors as they are then, by the index of their key.
	actors *[keyCount]machine.Actor
}

// historyWriter is the worker and the gateway that never were.
type historyWriter struct {
	log    eventlog.Log
	shards [partitions]struct{ actions, events int64 }
	actors [keyCount]machine.Actor
	counts [keyCount]int64
	rules  *actor.Registry

	pending sync.WaitGroup
	mu      sync.Mutex
	err     error
}

// writeHistory writes n increments of the counters of all keys in turn.
func writeHistory(ctx context.Context, log eventlog.Log, n int) (*history, error) {
	w := &historyWriter{log: log, rules: actor.NewRegistry()}
	counter.Register(w.rules)
	for p := range int32(partitions) {
		w.claim(ctx, p, nil)
	}
	for i := range keys {
		w.actors[i] = machine.NewActor(keys[i].hash)
	}
	for i := range n {
		if err := w.increment(ctx, i%keyCount); err != nil {
			return nil, err
		}
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	w.pending.Wait()
	h := &history{log: log, events: n, actors: &w.actors}
	for p := range w.shards {
		h.ends[p] = w.shards[p].events
	}
	return h, w.err
}

func (w *historyWriter) increment(ctx context.Context, i int) error {
	k, a := &keys[i], &w.actors[i]
	s := &w.shards[k.shard]
	action := &actorlogv1.Action{
		Actor:     &actorlogv1.Actor{Namespace: actor.DefaultNamespace, Kind: counter.Kind.Name(), Key: []string{k.name}},
		RequestId: "history-" + strconv.FormatInt(s.actions, 36), Caller: &actorlogv1.Caller{Gateway: "history"},
		TimeUnixMs: time.Now().UnixMilli(), Sequence: uint64(s.actions) + 1,
		Body: &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: counter.Increment.Name(), ArgsJson: []byte("[1]")}},
	}
	if !a.Alive {
		action.Creation = &actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_IF_ABSENT}
	}
	ref := s.actions
	s.actions++
	if err := w.append(ctx, eventlog.Actions, k, ref, action); err != nil {
		return err
	}

	eff := a.Step(machine.Ask{Ref: ref, Action: action, Rules: w.rules})
	if eff.Run == nil {
		return fmt.Errorf("an increment that does not run: %v", eff.Outcome)
	}
	w.counts[i]++
	count := strconv.AppendInt(nil, w.counts[i], 10)
	done := actor.Done{State: fmt.Appendf(nil, `{"count":%s}`, count), Result: count}
	if eff.Run.Create {
		done.Created, done.Base = true, []byte(`{"count":0}`)
	}
	done.Effects.Broadcasts = []*actorlogv1.Broadcast{{Name: counter.Changed.Name(), ArgsJson: fmt.Appendf(nil, "[%s]", count)}}
	o := a.Step(machine.Returned{Run: eff.Run, Done: done, DurationUs: 2}).Outcome
	o.Epoch, o.CodeVersion = 0, "bench" // the claim is the first record of the partition
	if s.events%(machine.RenewEvery/2) == 0 {
		w.claim(ctx, k.shard, proto.Int64(0))
	}
	offset := s.events
	s.events++
	a.Appended(offset, o)
	return w.append(ctx, eventlog.Events, k, offset, o)
}

func (w *historyWriter) claim(ctx context.Context, p int32, renews *int64) {
	value, err := schemas.Encode(&actorlogv1.Claim{Worker: "history", RenewsEpoch: renews})
	if err != nil {
		w.fail(err)
		return
	}
	offset := w.shards[p].events
	w.shards[p].events++
	w.write(ctx, eventlog.Events, offset, eventlog.Record{
		Partition: p, Key: []byte(schemas.ClaimKey), Value: value,
		Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(schemas.TypeClaim)}},
	})
}

func (w *historyWriter) append(ctx context.Context, t eventlog.Topic, k *key, offset int64, m proto.Message) error {
	value, err := schemas.Encode(m)
	if err != nil {
		return err
	}
	headers := []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(schemas.TypeOf(m))}}
	if t == eventlog.Events {
		headers = append(headers, eventlog.Header{Key: schemas.HeaderTo, Value: []byte("history")})
	}
	w.write(ctx, t, offset, eventlog.Record{Partition: k.shard, Key: k.hash[:], Value: value, Headers: headers})
	return nil
}

// write appends a record that must come to stand at an offset.
func (w *historyWriter) write(ctx context.Context, t eventlog.Topic, offset int64, r eventlog.Record) {
	w.pending.Add(1)
	w.log.Append(ctx, t, r, func(got int64, err error) {
		defer w.pending.Done()
		if err == nil && got != offset {
			err = fmt.Errorf("writing history: a record came to stand at %d of %s[%d] instead of %d", got, t, r.Partition, offset)
		}
		w.fail(err)
	})
}

func (w *historyWriter) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
}
