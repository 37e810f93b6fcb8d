package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/cmd/internal/app"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/backup"
)

type backupCmd struct {
	app.Brokers `group:"Brokers"`
	app.Topics  `group:"Brokers"`
	Dir         string `required:"" type:"path" placeholder:"DIR" help:"Directory of the backup. It must not have one."`
}

// Run implements the command.
func (c *backupCmd) Run(ctx context.Context, log *zap.Logger) error {
	l, err := c.OpenExisting(ctx, c.Topics, log)
	if err != nil {
		return err
	}
	defer l.Close()
	from, keys := below(l)
	m, err := backup.Write(ctx, from, c.Dir, backup.Options{Progress: copied, Keys: keys})
	if err != nil {
		return err
	}
	fmt.Printf("Copied %d records of %d shards into %s.\n", records(m), m.Partitions, c.Dir)
	return nil
}

// below is the log as it is kept, and whether there may be keys in it.
func below(l eventlog.Log) (eventlog.Log, bool) {
	if s, ok := l.(app.Sealed); ok {
		return s.Plain, true
	}
	return l, false
}

type restoreCmd struct {
	app.Brokers `group:"Brokers"`
	app.Topics  `group:"Brokers"`
	Dir         string   `required:"" type:"existingdir" placeholder:"DIR" help:"Directory of the backup."`
	Without     []string `help:"For a drill: restore nothing of these topics, as if they were lost. actions: what was asked and not answered is gone. snapshots: workers fold all events." enum:"actions,snapshots" placeholder:"TOPIC,..."`
}

// Run implements the command.
func (c *restoreCmd) Run(ctx context.Context, log *zap.Logger) error {
	m, err := backup.Open(c.Dir)
	if err != nil {
		return err
	}
	if c.Partitions == 0 {
		c.Partitions = m.Partitions
	}
	l, err := c.Open(ctx, c.Topics, "cli", log)
	if err != nil {
		return err
	}
	defer l.Close()
	to, keys := below(l)
	if m.Keyed() && !keys {
		return errors.New("the backup has keys of sealed records: give the master key, so that the topics have a place for them (--seal-key-file, or ACTORLOG_SEAL_KEY)")
	}
	opt := backup.Options{Progress: copied}
	for _, name := range c.Without {
		opt.Without = append(opt.Without, map[string]eventlog.Topic{"actions": eventlog.Actions, "snapshots": eventlog.Snapshots}[name])
	}
	if m, err = backup.Restore(ctx, c.Dir, to, opt); err != nil {
		return err
	}
	fmt.Printf("Restored %d records of %d shards, as they were at %s.\n", records(m), m.Partitions, m.Time.Format("2006-01-02 15:04:05 MST"))
	if m.Keyed() {
		fmt.Println("Who was erased after that lives again: erase them again, before gateways and workers serve clients.")
	}
	return nil
}

func copied(f backup.File) {
	fmt.Fprintf(os.Stderr, "%s: %d records, offsets %d to %d\n", f.Name, f.Records, f.Start, f.End)
}

func records(m backup.Manifest) (n int64) {
	for i := range m.Files {
		n += m.Files[i].Records
	}
	return n
}
