package main

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/cmd/internal/app"
	"github.com/actorlog/actorlog/eventlog/archive"
)

type archiveCmd struct {
	app.Brokers  `group:"Brokers"`
	app.Topics   `group:"Brokers"`
	Dir          string `required:"" type:"path" placeholder:"DIR" help:"Directory of the archive. It goes on where it ends."`
	SegmentBytes int64  `help:"How many bytes of records go into one file, before they are compressed." default:"268435456"`
}

// Run implements the command.
func (c *archiveCmd) Run(ctx context.Context, log *zap.Logger) error {
	if c.SegmentBytes < 1 {
		return fmt.Errorf("--segment-bytes: want a positive number")
	}
	c.Storage = app.Storage{ActionsRetention: c.ActionsRetention, EventsRetention: c.EventsRetention} // records as the brokers have them, sealed if they are
	l, err := c.OpenExisting(ctx, c.Topics, log)
	if err != nil {
		return err
	}
	defer l.Close()
	said := time.Now()
	var records, bytes, written int64
	err = archive.Copy(ctx, l, c.Dir, archive.Options{
		SegmentBytes: c.SegmentBytes,
		Progress: func(shard int32, next, end int64) {
			if time.Since(said) > 5*time.Second {
				said = time.Now()
				log.Info("archiving", zap.Int32("shard", shard), zap.Int64("offset", next), zap.Int64("end", end))
			}
		},
	}, func(did archive.Copied) {
		records, bytes, written = records+did.Records, bytes+did.Bytes, written+did.Written
		if did.Next > did.First {
			fmt.Printf("shard %d: events %d to %d are archived, %d of them new\n", did.Shard, did.First, did.Next-1, did.Records)
		}
	})
	if err != nil {
		return err
	}
	fmt.Printf("%d new events, %d bytes in %d bytes of files, in %s.\n", records, bytes, written, c.Dir)
	return nil
}
