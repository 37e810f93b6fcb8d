package remote

import (
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/internal/tracecontext"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Sender appends actions and waits for no outcome. It numbers them, so that an owner can tell a copy that the transport made. It is safe for
// concurrent use and needs no closing.
type Sender struct {
	log     eventlog.Log
	id      string
	numbers []numbering
}

// numbering is the last sequence number given out for one partition.
type numbering struct {
	mu   sync.Mutex
	last uint64
}

// NewSender makes a sender. Its id must be unique among all that run; "" is a random one. One that was used before must not meet its
// past: its old numbers are in the log. Microseconds of the clock are ahead of them.
func NewSender(log eventlog.Log, id string) *Sender {
	var first uint64
	if id == "" {
		id = strings.ToLower(rand.Text()[:10])
	} else {
		first = uint64(time.Now().UnixMicro())
	}
	s := &Sender{log: log, id: id, numbers: make([]numbering, log.Partitions())}
	for i := range s.numbers {
		s.numbers[i].last = first
	}
	return s
}

// Deliver numbers the action and appends it; done is called as by eventlog.Log.Append. The sender sets the caller's gateway and, if there is
// none, the time.
func (s *Sender) Deliver(hash schemas.Hash, a *actorlogv1.Action, done func(offset int64, err error)) error {
	return s.DeliverIn(trace.SpanContext{}, hash, a, done)
}

// DeliverIn is Deliver as part of a span, which the record names if it is valid.
func (s *Sender) DeliverIn(span trace.SpanContext, hash schemas.Hash, a *actorlogv1.Action, done func(offset int64, err error)) error {
	if a.Caller == nil {
		a.Caller = new(actorlogv1.Caller)
	}
	a.Caller.Gateway = s.id
	if a.TimeUnixMs == 0 {
		a.TimeUnixMs = time.Now().UnixMilli()
	}
	p := hash.Shard(s.log.Partitions())
	n := &s.numbers[p]
	n.mu.Lock()
	defer n.mu.Unlock()
	a.Sequence = n.last + 1
	value, err := schemas.Encode(a)
	if err != nil {
		return err
	}
	n.last++
	// Not a context of the caller's, which all appends would have to watch.
	s.log.Append(tracecontext.Only(span), eventlog.Actions, eventlog.Record{
		Partition: p, Key: hash[:], Value: value,
		Headers: tracecontext.Append([]eventlog.Header{{Key: schemas.HeaderType, Value: typeAction}}, span),
	}, done)
	return nil
}

var typeAction = []byte(schemas.TypeAction)
