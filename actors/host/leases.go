package host

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// unknownLease is how long a gateway of which no lease is known is given to write one.
const unknownLease = 10 * time.Second

// leases is what a worker knows of the gateways that live. Time is the worker's own: a lease holds from when it is read.
type leases struct {
	mu sync.Mutex
	// until is when a gateway is dead, if nothing is heard of it before.
	until map[string]time.Time
	// ready: all leases that were there at the start were read.
	ready bool
}

// dead says whether a gateway's lease has run out.
func (l *leases) dead(gateway string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ready {
		return false
	}
	until, known := l.until[gateway]
	if !known {
		l.until[gateway] = now.Add(unknownLease)
		return false
	}
	return now.After(until)
}

func (l *leases) take(r *eventlog.Record, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(r.Value) == 0 {
		l.until[string(r.Key)] = now // ended in peace
		return
	}
	lease, err := schemas.DecodeAs[*actorlogv1.Lease](schemas.Type(r.Header(schemas.HeaderType)), r.Value)
	if err == nil {
		l.until[lease.Gateway] = now.Add(time.Duration(lease.TtlMs) * time.Millisecond)
	}
}

// forget drops gateways that have been dead for long.
func (l *leases) forget(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for gateway, until := range l.until {
		if now.Sub(until) > time.Hour {
			delete(l.until, gateway)
		}
	}
}

// followLeases reads the leases of gateways until ctx ends.
func (w *Worker) followLeases(ctx context.Context) {
	for ctx.Err() == nil {
		if err := w.readLeases(ctx); err != nil && ctx.Err() == nil {
			w.cfg.Events.ShardRetry(-1, err)
			pause(ctx, time.Second)
		}
	}
}

func (w *Worker) readLeases(ctx context.Context) error {
	start, end, err := w.log.Bounds(ctx, eventlog.Gateways, 0)
	if err != nil {
		return err
	}
	tail, err := w.log.Tail(eventlog.Gateways)
	if err != nil {
		return err
	}
	defer tail.Close()
	tail.Add(0, start)
	for next := start; ; {
		if next >= end {
			w.leases.mu.Lock()
			w.leases.ready = true
			w.leases.mu.Unlock()
		}
		// A compacted topic may end in a gap: then nothing comes up to end.
		pollCtx, cancel := context.WithTimeout(ctx, time.Second)
		records, err := tail.Poll(pollCtx)
		idle := pollCtx.Err() != nil
		cancel()
		for i := range records {
			w.leases.take(&records[i], time.Now())
			next = records[i].Offset + 1
		}
		var broken *eventlog.PartitionError
		switch {
		case ctx.Err() != nil || errors.Is(err, eventlog.ErrClosed):
			return nil
		case errors.As(err, &broken):
			return err
		case idle:
			end = next
			w.leases.forget(time.Now())
		case err != nil:
			return err
		}
	}
}

// endLinks ends the connections of gateways that are dead: it appends their ends as the gateway would have.
func (s *shard) endLinks(now time.Time) error {
	s.ackMu.Lock()
	var gateways []string
	for gateway := range s.agenda.links {
		gateways = append(gateways, gateway)
	}
	s.ackMu.Unlock()
	for _, gateway := range gateways {
		if !s.w.leases.dead(gateway, now) || now.Sub(s.asked[gateway]) < unknownLease {
			continue
		}
		s.asked[gateway] = now
		if err := s.endLinksOf(gateway); err != nil {
			return err
		}
	}
	return nil
}

func (s *shard) endLinksOf(gateway string) error {
	s.ackMu.Lock()
	var actors []schemas.Hash
	for hash := range s.agenda.links[gateway] {
		actors = append(actors, hash)
	}
	s.ackMu.Unlock()
	for _, hash := range actors {
		a, err := s.peek(hash)
		if err != nil {
			return err
		}
		found := false
		for _, n := range a.Connections {
			if n.Gateway != gateway {
				continue
			}
			found = true
			err := s.w.sender.Deliver(hash, &actorlogv1.Action{
				Actor: &actorlogv1.Actor{Generation: a.Generation}, RequestId: s.w.requestID(),
				Body: &actorlogv1.Action_Disconnect{Disconnect: &actorlogv1.Disconnect{ConnectionId: n.Id, Code: 1006, Reason: reasonGatewayLost}},
			}, func(int64, error) {})
			if err != nil {
				return err
			}
		}
		if !found {
			s.ackMu.Lock()
			s.agenda.unlink(gateway, hash)
			s.ackMu.Unlock()
		}
	}
	return nil
}

// reasonGatewayLost is why a connection ended whose gateway died.
const reasonGatewayLost = "gateway lost"

// peek is an actor as far as it is committed, without waking it.
func (s *shard) peek(hash schemas.Hash) (machine.Actor, error) {
	s.cellsMu.Lock()
	c := s.cells[hash]
	s.cellsMu.Unlock()
	if c != nil {
		s.ackMu.Lock()
		a := c.durable
		s.ackMu.Unlock()
		if a.Hash == hash {
			return a, nil
		}
	}
	return s.w.store.load(s.partition, hash)
}
