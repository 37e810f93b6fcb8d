package file

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protodelim"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// magic is the first line of the unpacked file.
const magic = "actorlog history\n"

// version of the format.
const version = 1

// Options of an export. The zero value is right.
type Options struct {
	// To leaves out what came after a point. Default: nothing.
	To replay.Point
	// WithoutAnswers leaves out what other actors answered to calls of this one, which a search of the whole log finds. Then actions that
	// call others cannot be verified from the file.
	WithoutAnswers bool
	// Log is the identity of the log that is read, so that a copy can say where it is from; CodeVersion that of the program that writes. Default: none.
	Log, CodeVersion string
	// Now is the time that the file bears. Default: that of the clock.
	Now time.Time
}

// Exported is what an export wrote.
type Exported struct {
	// Events of the actor, and Answers to its calls.
	Events, Answers int
	// Whole: from the beginning.
	Whole bool
}

// ErrUnknown says that there is no history: the actor was never asked anything, or it is not kept any more.
var ErrUnknown = errors.New("nothing is known of the actor")

// Export writes the history of an actor. What it has written when it fails is no file that Open accepts.
func Export(ctx context.Context, w io.Writer, r *replay.Reader, h schemas.Hash, o Options) (done Exported, err error) {
	in := replay.Range{}
	if !o.To.IsNow() {
		last, err := r.Find(ctx, h, o.To)
		if err != nil {
			return done, err
		}
		if last == nil {
			return done, fmt.Errorf("%w at %s: its history begins later", ErrUnknown, o.To)
		}
		in.To = last.Position.Offset + 1
	}
	var last, first *replay.Event
	for e, err := range r.Back(ctx, h, in.To) {
		if err != nil {
			return done, err
		}
		last = e
		break
	}
	for e, err := range r.History(ctx, h, in) {
		if err != nil {
			return done, err
		}
		first = e
		break
	}
	if first == nil || last == nil {
		return done, ErrUnknown
	}
	done.Whole = !first.HasPrevious()
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	out, err := newWriter(w)
	if err != nil {
		return done, err
	}
	out.write(&actorlogv1.HistoryPart{Part: &actorlogv1.HistoryPart_Header{Header: &actorlogv1.HistoryHeader{
		Version: version, Log: o.Log, Partitions: r.Source().Partitions(), Key: h[:], Actor: last.Actor(), Whole: done.Whole, TimeUnixMs: o.Now.UnixMilli(),
		Answers: !o.WithoutAnswers, CodeVersion: o.CodeVersion,
	}}})
	for e, err := range r.History(ctx, h, in) {
		if err != nil {
			return done, err
		}
		out.record(e)
		done.Events++
	}
	if !o.WithoutAnswers {
		for e, err := range r.Shards(ctx) {
			if err != nil {
				return done, err
			}
			if answers(e, h) {
				out.record(e)
				done.Answers++
			}
		}
	}
	return done, out.close()
}

// answers says whether an event answers a call of an actor.
func answers(e *replay.Event, by schemas.Hash) bool {
	origin := e.Outcome.GetAction().GetOrigin()
	return origin != nil && e.Hash != by && string(origin.Actor) == string(by[:]) && origin.Number&actor.SendNumbers == 0
}

// writer writes parts, and remembers the first error.
type writer struct {
	packed  *zstd.Encoder
	sum     hash.Hash
	out     io.Writer // both
	records int64
	err     error
}

func newWriter(w io.Writer) (*writer, error) {
	packed, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("opening the file: %w", err)
	}
	out := &writer{packed: packed, sum: sha256.New()}
	out.out = io.MultiWriter(packed, out.sum)
	_, out.err = io.WriteString(out.out, magic)
	return out, nil
}

func (w *writer) write(p *actorlogv1.HistoryPart) {
	if w.err == nil {
		_, w.err = protodelim.MarshalTo(w.out, p)
	}
}

func (w *writer) record(e *replay.Event) {
	record := &actorlogv1.ArchivedRecord{Offset: e.Record.Offset, Key: e.Record.Key, Value: e.Record.Value}
	for _, h := range e.Record.Headers {
		if h.Key != schemas.HeaderTraceparent {
			record.Headers = append(record.Headers, &actorlogv1.Header{Name: h.Key, Value: h.Value})
		}
	}
	w.records++
	w.write(&actorlogv1.HistoryPart{Part: &actorlogv1.HistoryPart_Record{Record: &actorlogv1.HistoryRecord{
		Partition: e.Position.Partition, Record: record,
	}}})
}

func (w *writer) close() error {
	w.write(&actorlogv1.HistoryPart{Part: &actorlogv1.HistoryPart_End{End: &actorlogv1.HistoryEnd{Records: w.records, Sha256: w.sum.Sum(nil)}}})
	if err := errors.Join(w.err, w.packed.Close()); err != nil {
		return fmt.Errorf("writing the history: %w", err)
	}
	return nil
}
