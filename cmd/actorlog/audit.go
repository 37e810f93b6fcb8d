package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/replay/evidence"
)

type auditCmd struct {
	Changes auditChanges `cmd:"" help:"Who changed an actor, or a part of its state."`
	Caller  auditCaller  `cmd:"" help:"Everything that somebody did."`
	Slowest auditSlowest `cmd:"" help:"What took longest."`
	Errors  auditErrors  `cmd:"" help:"What fails how often, by kind, action and version."`
	Talkers auditTalkers `cmd:"" help:"Who asks most."`
	Actors  auditActors  `cmd:"" help:"Which living actors of a kind are in a state."`
	Verify  auditVerify  `cmd:"" help:"Compare the log with its hash chains: tells whether any record of events was changed, dropped, added or moved since it was written, and where. Ends with status 1 if one was."`
}

type auditVerify struct {
	onBrokers
	Shard *int32 `help:"Verify this shard alone." placeholder:"N"`
	From  string `help:"File of heads that was written before, and kept where nobody who can write the log can change it: with it, a log that was written anew, or whose end was cut off, is found as well." type:"existingfile" placeholder:"FILE"`
	Write string `help:"Write the heads of all shards to this file, if nothing is found." type:"path" placeholder:"FILE"`
}

// Run implements the command.
func (c *auditVerify) Run(ctx context.Context, log *zap.Logger) error {
	if c.Write != "" && c.Shard != nil {
		return errors.New("--write is for the heads of all shards: leave --shard out")
	}
	l, err := c.OpenExisting(ctx, c.Topics, log)
	if err != nil {
		return err
	}
	defer l.Close()
	anchors, err := readHeads(c.From, l)
	if err != nil {
		return err
	}
	first, last := int32(0), l.Partitions()-1
	if c.Shard != nil {
		first, last = *c.Shard, *c.Shard
	}
	heads := evidence.Heads{Log: l.Identity(), Time: time.Now().UTC()}
	found := 0
	for shard := first; shard <= last; shard++ {
		said := time.Now()
		r, err := evidence.Verify(ctx, l, shard, anchors, func(offset, end int64) {
			if time.Since(said) > 5*time.Second {
				said = time.Now()
				log.Info("verifying", zap.Int32("shard", shard), zap.Int64("offset", offset), zap.Int64("end", end))
			}
		})
		if err != nil {
			return err
		}
		tell(&r)
		if r.Finding != nil {
			found++
		}
		if r.Head != nil {
			heads.Shards = append(heads.Shards, *r.Head)
		}
	}
	if found > 0 {
		return fmt.Errorf("the log is not what it was: %d of %d shards differ from what was noted of them", found, last-first+1)
	}
	if c.Write == "" {
		return nil
	}
	return writeHeads(c.Write, heads)
}

// tell prints what is known of one shard, in one line and one for each thing that is to be known besides.
func tell(r *evidence.Report) {
	switch {
	case r.Finding != nil:
		fmt.Printf("shard %d: CHANGED %s\n", r.Shard, r.Finding)
	case r.Start == r.End:
		fmt.Printf("shard %d: empty\n", r.Shard)
	case r.Heads == 0:
		fmt.Printf("shard %d: events %d to %d, and no head over them: nothing can be said of them yet\n", r.Shard, r.Start, r.End-1)
	default:
		fmt.Printf("shard %d: as written, %d records from %d on; %d heads agree, the last one over all below %d of %d\n", r.Shard, r.Counted, r.Since, r.Heads, r.Through, r.End)
	}
	if r.Start > 0 {
		fmt.Printf("shard %d: events before %d are no longer kept; what is before %d cannot be verified\n", r.Shard, r.Start, r.Since)
	} else if r.Since > 0 {
		fmt.Printf("shard %d: events before %d were written by a version that kept no chain\n", r.Shard, r.Since)
	}
	for _, offset := range r.Anew {
		fmt.Printf("shard %d: the chain was begun anew at %d, after a version that kept none: what that one wrote is not in it\n", r.Shard, offset)
	}
	if r.Gone {
		fmt.Printf("shard %d: the head in the file is over events that are no longer kept\n", r.Shard)
	}
}

// readHeads reads the file, if there is one.
func readHeads(name string, l eventlog.Log) (*evidence.Heads, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	heads, err := evidence.ReadHeads(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if heads.Log != l.Identity() {
		return nil, fmt.Errorf("%s is of the log %s, and this one is %s: it is another cluster, another prefix, or its topics were deleted and made anew", name, heads.Log, l.Identity())
	}
	return &heads, nil
}

// writeHeads replaces the file in one step, so that a half one is never taken for it.
func writeHeads(name string, heads evidence.Heads) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := errors.Join(heads.Write(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	fmt.Printf("The heads of %d shards are in %s: keep it where nobody who can write the log can change it.\n", len(heads.Shards), name)
	return nil
}
