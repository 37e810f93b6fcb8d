package move

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// shard is a shard of the new log, of which this is the owner: it asks and answers. Nobody else may write to it; if somebody does, its records
// are not where they should be.
type shard struct {
	log       eventlog.Log
	partition int32
	epoch     int64
	asked     int64 // where the next action will stand
	next      int64 // where the next record of events will
	claimed   int64 // where the last claim stands
	chain     machine.Chain
}

// worker is the name in claims.
const worker = "move"

var errNotAlone = errors.New("somebody else writes to the topics to move to: no worker and no gateway may run on them")

func claim(ctx context.Context, to eventlog.Log, p int32) (*shard, error) {
	s := &shard{log: to, partition: p}
	record, err := s.claim(new(actorlogv1.Claim))
	if err != nil {
		return nil, err
	}
	if err := s.append(ctx, eventlog.Events, []eventlog.Record{record}, &s.next); err != nil {
		return nil, err
	}
	s.chain = machine.NewChain(s.epoch)
	s.chain.Add(&record)
	return s, s.renew(ctx, new(actorlogv1.Claim))
}

func (s *shard) claim(c *actorlogv1.Claim) (eventlog.Record, error) {
	c.Worker, c.TimeUnixMs = worker, time.Now().UnixMilli()
	value, err := schemas.Encode(c)
	return s.record([]byte(schemas.ClaimKey), schemas.TypeClaim, value), err
}

func (s *shard) record(key []byte, t schemas.Type, value []byte) eventlog.Record {
	return eventlog.Record{
		Partition: s.partition, Key: key, Value: value, Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(t)}},
	}
}

// renew repeats the claim. All that was written before is acknowledged.
func (s *shard) renew(ctx context.Context, c *actorlogv1.Claim) error {
	c.RenewsEpoch, c.Place, c.Confirmed, c.Head = proto.Int64(s.epoch), proto.Int64(s.next), proto.Int64(s.next-1), s.chain.Head()
	record, err := s.claim(c)
	if err != nil {
		return err
	}
	s.chain.Add(&record)
	s.claimed = s.next
	return s.append(ctx, eventlog.Events, []eventlog.Record{record}, &s.next)
}

func (s *shard) release(ctx context.Context) error {
	return s.renew(ctx, &actorlogv1.Claim{Released: true})
}

// append writes records and waits until they stand where they should, from *next on.
func (s *shard) append(ctx context.Context, t eventlog.Topic, records []eventlog.Record, next *int64) error {
	var wg sync.WaitGroup
	errs := make([]error, len(records))
	for i := range records {
		want := *next + int64(i)
		wg.Add(1)
		s.log.Append(ctx, t, records[i], func(offset int64, err error) {
			defer wg.Done()
			if err == nil && offset != want {
				err = fmt.Errorf("%w: a record stands at %d and not at %d", errNotAlone, offset, want)
			}
			errs[i] = err
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("appending to %s[%d], record %d of %d: %w", t, s.partition, i+1, len(records), err)
		}
	}
	*next += int64(len(records))
	return nil
}

// carryOut asks actors, each at most once, and answers. actors is those of this shard that were asked before, and is added to.
func (s *shard) carryOut(ctx context.Context, list []asked, actors map[schemas.Hash]*machine.Actor) error {
	const part = machine.RenewEvery / 2
	for len(list) > part {
		if err := s.carryOut(ctx, list[:part], actors); err != nil {
			return err
		}
		list = list[part:]
	}
	if len(list) == 0 {
		return nil
	}
	records := make([]eventlog.Record, len(list))
	for i := range list {
		value, err := schemas.Encode(list[i].action)
		if err != nil {
			return err
		}
		records[i] = s.record(list[i].hash[:], schemas.TypeAction, value)
	}
	ref := s.asked
	if err := s.append(ctx, eventlog.Actions, records, &s.asked); err != nil {
		return err
	}
	if s.next-s.claimed+int64(len(list)) >= machine.RenewEvery {
		if err := s.renew(ctx, new(actorlogv1.Claim)); err != nil {
			return err
		}
	}
	for i := range list {
		a := actors[list[i].hash]
		if a == nil {
			fresh := machine.NewActor(list[i].hash)
			a, actors[list[i].hash] = &fresh, &fresh
		}
		o := a.Step(machine.Ask{Ref: ref + int64(i), Action: list[i].action, Rules: anything{}}).Outcome
		if o.GetError() != nil {
			return fmt.Errorf("actor %s: %s", name(a), o.Error.Message)
		}
		o.Epoch = s.epoch
		value, err := schemas.Encode(o)
		if err != nil {
			return err
		}
		place := s.next + int64(i)
		records[i] = s.record(list[i].hash[:], schemas.TypeOutcome, schemas.AppendPlace(value, place))
		s.chain.Add(&records[i])
		a.Appended(place, o)
	}
	return s.append(ctx, eventlog.Events, records, &s.next)
}

// anything is rules for which all is well: what comes from the log has been.
type anything struct{}

func (anything) Known(string) bool                    { return true }
func (anything) Runs(string, *actorlogv1.Action) bool { return false }
func (anything) Queue(string, string) bool            { return true }
func (anything) Loads(string, []byte, uint32) error   { return nil }
