// Package evidence compares a log with the heads of its hash chains: in its claims and checkpoints, and in files that were kept elsewhere.
//
// The rules are those of machine.Chain and machine.Auditor; this package reads. It changes nothing, and asks no worker.
package evidence

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Heads is what a file of heads holds: how far the chains of a log had come when it was verified. Kept where those who can write the log cannot,
// it shows later that nothing of what was there then has changed.
type Heads struct {
	// Log is the identity of the log.
	Log string `json:"log"`
	// Time at which they were taken.
	Time time.Time `json:"time"`
	// Shards in order. A shard without a chain is left out.
	Shards []ShardHead `json:"shards"`
}

// ShardHead is the head of one shard.
type ShardHead struct {
	Shard int32 `json:"shard"`
	// Since is the first offset of events that the chain takes in, Next the one after the last.
	Since int64 `json:"since"`
	Next  int64 `json:"next"`
	// Head is the hash, 64 hexadecimal digits.
	Head string `json:"head"`
}

func (h ShardHead) record() *actorlogv1.Head {
	hash, _ := hex.DecodeString(h.Head) // ReadHeads has checked it
	return &actorlogv1.Head{Since: h.Since, Hash: hash}
}

// ReadHeads reads a file of heads.
func ReadHeads(r io.Reader) (Heads, error) {
	var h Heads
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(&h); err != nil {
		return Heads{}, fmt.Errorf("reading the heads: %w", err)
	}
	for _, s := range h.Shards {
		if b, err := hex.DecodeString(s.Head); err != nil || len(b) != 32 {
			return Heads{}, fmt.Errorf("reading the heads: that of shard %d is no SHA-256 in 64 hexadecimal digits", s.Shard)
		}
	}
	return h, nil
}

// Write writes the heads as a file.
func (h Heads) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(h); err != nil {
		return fmt.Errorf("writing the heads: %w", err)
	}
	return nil
}

// Report is what the comparison of one shard came to.
type Report struct {
	Shard int32
	// Start and End of events that were read.
	Start, End int64
	// Since and Through: the records from Since on and below Through are what they were when they were written, as far as the chain tells.
	// Both are 0 when there is no head.
	Since, Through int64
	// Heads that agreed, of claims, checkpoints and files.
	Heads int
	// Counted is the number of records that count, and Void of those that do not.
	Counted, Void int64
	// Anew is where versions that kept no chain were followed by one that does: what such a version wrote is not in the chain.
	Anew []int64
	// Gone says that the given head of this shard is over records that are no longer kept: it was compared with nothing.
	Gone bool
	// Finding is the first place that differs, nil if none does.
	Finding *machine.Finding
	// Head over all that was read; nil if it is not known, and where nothing was.
	Head *ShardHead
}

// Verify reads the events of one shard from the first to the last that is kept, and compares them with the heads in its claims and checkpoints,
// and with the one of the shard in anchors, which may be nil. progress, if not nil, is told now and then which offset was read. An error says that the log
// could not be read; that it is not what it was is a Finding.
func Verify(ctx context.Context, l eventlog.Source, shard int32, anchors *Heads, progress func(offset, end int64)) (Report, error) {
	fail := func(err error) (Report, error) {
		return Report{}, fmt.Errorf("verifying shard %d: %w", shard, err)
	}
	if shard < 0 || shard >= l.Partitions() {
		return fail(fmt.Errorf("there are %d shards, from 0 on", l.Partitions()))
	}
	// The checkpoints first: what they are over has been written by then.
	known, err := checkpoints(ctx, l, shard)
	if err != nil {
		return fail(err)
	}
	start, end, err := l.Bounds(ctx, eventlog.Events, shard)
	if err != nil {
		return fail(err)
	}
	report := Report{Shard: shard, Start: start, End: end}
	for _, h := range anchors.of(shard) {
		if h.Next < start {
			report.Gone = true
			continue
		}
		known = append(known, noted{next: h.Next, compare: func(a *machine.Auditor) { a.Compare(h.Next, h.record(), "the file") }, by: "the head in the file"})
	}
	slices.SortStableFunc(known, func(a, b noted) int { return cmp.Compare(a.next, b.next) })

	a := machine.NewAuditor(start)
	upTo := func(offset int64) {
		for len(known) > 0 && known[0].next <= offset {
			if known[0].next >= start {
				known[0].compare(a)
			}
			known = known[1:]
		}
	}
	err = eventlog.Scan(ctx, l, eventlog.Events, shard, start, end, func(r *eventlog.Record) error {
		upTo(r.Offset)
		a.Take(r)
		if progress != nil && r.Offset%4096 == 0 {
			progress(r.Offset, end)
		}
		if a.Finding != nil {
			return errFound
		}
		return nil
	})
	if err != nil && !errors.Is(err, errFound) {
		return fail(err)
	}
	upTo(end)
	for _, n := range known {
		a.Ends(n.next, n.by)
	}
	report.Since, report.Through, report.Heads, report.Anew, report.Finding = a.Since, a.Through, a.Heads, a.Anew, a.Finding
	report.Counted, report.Void = a.Counted, a.Void
	if h := a.Head(); h != nil && a.Finding == nil && a.Counted > 0 {
		report.Head = &ShardHead{Shard: shard, Since: h.Since, Next: end, Head: hex.EncodeToString(h.Hash)}
	}
	return report, nil
}

// errFound ends a scan early.
var errFound = errors.New("found")

// noted is a head that was noted outside of events.
type noted struct {
	next    int64
	compare func(*machine.Auditor)
	by      string
}

func (h *Heads) of(shard int32) (of []ShardHead) {
	if h == nil {
		return nil
	}
	for _, s := range h.Shards {
		if s.Shard == shard {
			of = append(of, s)
		}
	}
	return of
}

// checkpoints returns the heads of all checkpoints of the shard that are still there.
func checkpoints(ctx context.Context, l eventlog.Source, shard int32) (known []noted, err error) {
	start, end, err := l.Bounds(ctx, eventlog.Snapshots, shard)
	if err != nil {
		return nil, err
	}
	err = eventlog.Scan(ctx, l, eventlog.Snapshots, shard, start, end, func(r *eventlog.Record) error {
		if string(r.Key) != schemas.CheckpointKey {
			return nil
		}
		mark, err := schemas.DecodeAs[*actorlogv1.Checkpoint](schemas.Type(r.Header(schemas.HeaderType)), r.Value)
		if err != nil {
			return fmt.Errorf("the checkpoint at %d of snapshots: %w", r.Offset, err)
		}
		known = append(known, noted{
			next: mark.EventsOffset, compare: func(a *machine.Auditor) { a.Checkpoint(mark) },
			by: fmt.Sprintf("the checkpoint at %d of snapshots", r.Offset),
		})
		return nil
	})
	return known, err
}
