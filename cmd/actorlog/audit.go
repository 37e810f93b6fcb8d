package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

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
	JSON  bool   `name:"json" help:"JSON lines, the last of which is the summary."`
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
	anchors, err := readHeads(c.From)
	if err != nil {
		return err
	}
	said := time.Now()
	sum, err := evidence.All(ctx, l, evidence.Options{Shard: c.Shard, Anchors: anchors, Progress: func(shard int32, offset, end int64) {
		if time.Since(said) > 5*time.Second {
			said = time.Now()
			log.Info("verifying", zap.Int32("shard", shard), zap.Int64("offset", offset), zap.Int64("end", end))
		}
	}}, func(r *evidence.Report) error {
		if c.JSON {
			return jsonLine(os.Stdout, r)
		}
		_, err := fmt.Println(r)
		return err
	})
	switch {
	case errors.Is(err, evidence.ErrOtherLog):
		return fmt.Errorf("%s: %w", c.From, err)
	case err != nil:
		return err
	case c.JSON:
		if err := jsonLine(os.Stdout, sum); err != nil {
			return err
		}
	}
	if !sum.Clean() {
		return fmt.Errorf("the log is not what it was: %d of %d shards differ from what was noted of them", sum.Changed, sum.Shards)
	}
	if c.Write == "" {
		return nil
	}
	if err := writeHeads(c.Write, *sum.Heads); err != nil {
		return err
	}
	if !c.JSON {
		fmt.Printf("The heads of %d shards are in %s: keep it where nobody who can write the log can change it.\n", len(sum.Heads.Shards), c.Write)
	}
	return nil
}

// readHeads reads the file, if there is one.
func readHeads(name string) (*evidence.Heads, error) {
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
	return os.Rename(f.Name(), name)
}
