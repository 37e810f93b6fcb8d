package evidence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/actorlog/actorlog/eventlog"
)

// Log is what All reads: an [eventlog.Log] is one.
type Log interface {
	eventlog.Source
	// Identity is the same as long as the log's topics are.
	Identity() string
}

// Options of All. The zero value verifies all shards, against the log alone.
type Options struct {
	// Shard is the only one to verify. Default: all.
	Shard *int32
	// Anchors are heads that were kept elsewhere. Default: none.
	Anchors *Heads
	// Progress, if not nil, is told now and then which offset of a shard was read.
	Progress func(shard int32, offset, end int64)
}

// Summary is what the comparison of a log came to.
type Summary struct {
	// Shards that were verified, and Changed: those that are not what they were.
	Shards, Changed int
	// Heads of all shards; nil if one has changed, or if one alone was verified.
	Heads *Heads
}

// Errors of All that are the caller's.
var (
	// ErrOtherLog: the heads are of another log.
	ErrOtherLog = errors.New("the heads are of another log: another cluster, another prefix, or its topics were deleted and made anew")
	// ErrNoShard: there is no such shard.
	ErrNoShard = errors.New("there is no such shard")
)

// All verifies one shard after the other, each as [Verify] does, and tells each of them, unless it is nil. An error of each ends it. That the log is not what it was is no error.
func All(ctx context.Context, l Log, o Options, each func(*Report) error) (Summary, error) {
	if o.Anchors != nil && o.Anchors.Log != l.Identity() {
		return Summary{}, fmt.Errorf("%w: they are of %s, and this one is %s", ErrOtherLog, o.Anchors.Log, l.Identity())
	}
	first, last := int32(0), l.Partitions()-1
	if o.Shard != nil {
		if *o.Shard < 0 || *o.Shard > last {
			return Summary{}, fmt.Errorf("%w as %d: there are %d, from 0 on", ErrNoShard, *o.Shard, l.Partitions())
		}
		first, last = *o.Shard, *o.Shard
	}
	s := Summary{Heads: &Heads{Log: l.Identity(), Time: time.Now().UTC(), Shards: []ShardHead{}}}
	for shard := first; shard <= last; shard++ {
		r, err := Verify(ctx, l, shard, o.Anchors, func(offset, end int64) {
			if o.Progress != nil {
				o.Progress(shard, offset, end)
			}
		})
		if err != nil {
			return s, err
		}
		s.Shards++
		if r.Finding != nil {
			s.Changed++
		}
		if r.Head != nil {
			s.Heads.Shards = append(s.Heads.Shards, *r.Head)
		}
		if each != nil {
			if err := each(&r); err != nil {
				return s, err
			}
		}
	}
	if s.Changed > 0 || o.Shard != nil {
		s.Heads = nil
	}
	return s, nil
}

// Clean says that nothing was found.
func (s *Summary) Clean() bool { return s.Changed == 0 }

// MarshalJSON makes the line with which the command line and gateways end a list of reports.
func (s Summary) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Type    string `json:"type"`
		Clean   bool   `json:"clean"`
		Shards  int    `json:"shards"`
		Changed int    `json:"changed"`
	}{"summary", s.Clean(), s.Shards, s.Changed})
}

// MarshalJSON makes the line that the command line and gateways give.
func (r Report) MarshalJSON() ([]byte, error) {
	type finding struct {
		After  int64  `json:"after"`
		Before int64  `json:"before"`
		What   string `json:"what"`
	}
	line := struct {
		Type    string     `json:"type"`
		Shard   int32      `json:"shard"`
		Clean   bool       `json:"clean"`
		Start   int64      `json:"start"`
		End     int64      `json:"end"`
		Since   int64      `json:"since"`
		Through int64      `json:"through"`
		Heads   int        `json:"heads"`
		Counted int64      `json:"counted"`
		Void    int64      `json:"void"`
		Anew    []int64    `json:"anew,omitempty"`
		Gone    bool       `json:"gone,omitempty"`
		Finding *finding   `json:"finding,omitempty"`
		Head    *ShardHead `json:"head,omitempty"`
		Text    string     `json:"text"`
	}{
		"shard", r.Shard, r.Finding == nil, r.Start, r.End, r.Since, r.Through, r.Heads, r.Counted, r.Void, r.Anew, r.Gone, nil, r.Head, r.String(),
	}
	if r.Finding != nil {
		line.Finding = &finding{r.Finding.After, r.Finding.Before, r.Finding.What}
	}
	return json.Marshal(line)
}

// String is what is known of the shard, for people: one line, and one for each thing that is to be known besides.
func (r Report) String() string {
	var b strings.Builder
	say := func(format string, args ...any) {
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "shard %d: ", r.Shard)
		fmt.Fprintf(&b, format, args...)
	}
	switch {
	case r.Finding != nil:
		say("CHANGED %s", r.Finding)
	case r.Start == r.End:
		say("empty")
	case r.Heads == 0:
		say("events %d to %d, and no head over them: nothing can be said of them yet", r.Start, r.End-1)
	default:
		say("as written, %d records from %d on; %d heads agree, the last one over all below %d of %d", r.Counted, r.Since, r.Heads, r.Through, r.End)
	}
	if r.Start > 0 {
		say("events before %d are no longer kept; what is before %d cannot be verified", r.Start, r.Since)
	} else if r.Since > 0 {
		say("events before %d were written by a version that kept no chain", r.Since)
	}
	for _, offset := range r.Anew {
		say("the chain was begun anew at %d, after a version that kept none: what that one wrote is not in it", offset)
	}
	if r.Gone {
		say("the head in the file is over events that are no longer kept")
	}
	return b.String()
}
