package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/replay/move"
)

// moveCmd takes all actors to other topics; docs/moving.md.
type moveCmd struct {
	onBrokers
	ToPrefix            string   `help:"Prefix of the new topics. They are created, and must be empty." required:""`
	ToPartitions        int32    `help:"Number of shards of the new topics; 0 is 32, or what is there." default:"0"`
	ToBrokers           []string `help:"Brokers of the new topics, if they are others: host:port, comma-separated. They are reached like the old ones." placeholder:"HOST:PORT"`
	ToReplicationFactor int16    `help:"Replication factor of the new topics; 0 is the brokers' default."`
	LeaveBroken         bool     `help:"Leave behind actors that cannot be read, instead of moving nothing."`
	Check               bool     `help:"Move nothing: say whether the old topics are at rest." xor:"only"`
	Compare             bool     `help:"Move nothing: compare the old topics with the new ones." xor:"only"`
}

// Run implements the command.
func (c *moveCmd) Run(ctx context.Context, log *zap.Logger) error {
	to, there := c.Brokers, c.Topics
	there.Prefix, there.Partitions, to.ReplicationFactor = c.ToPrefix, c.ToPartitions, c.ToReplicationFactor
	there.Archive = "" // it is of the old ones
	if len(c.ToBrokers) > 0 {
		to.Brokers = c.ToBrokers
	} else if c.ToPrefix == c.Prefix {
		return fmt.Errorf("--to-prefix %s: the new topics must be others than the old ones", c.ToPrefix)
	}
	from, err := c.OpenExisting(ctx, c.Topics, log)
	if err != nil {
		return fmt.Errorf("opening the old topics: %w", err)
	}
	defer from.Close()
	if c.Check {
		if err := move.Quiet(ctx, from); err != nil {
			return err
		}
		fmt.Println("The topics are at rest.")
		return nil
	}
	target, err := to.Open(ctx, there, "cli", log)
	if err != nil {
		return fmt.Errorf("opening the new topics: %w", err)
	}
	defer target.Close()
	if !c.Compare {
		if err := c.move(ctx, from, target); err != nil {
			return err
		}
	}
	return compare(ctx, from, target)
}

func (c *moveCmd) move(ctx context.Context, from, to eventlog.Log) error {
	moved, err := move.Run(ctx, move.Config{
		From: from, To: to, LeaveBroken: c.LeaveBroken,
		Progress: func(shard int32, so move.Moved) {
			fmt.Fprintf(os.Stderr, "shard %d of %d: %d actors\n", shard+1, from.Partitions(), so.Actors)
		},
	})
	if err != nil {
		return err
	}
	fmt.Printf("Moved %d actors, %d that live no more, and %d messages from %d shards to %d.\n",
		moved.Actors, moved.Ended, moved.Messages, from.Partitions(), to.Partitions())
	if len(moved.Left) > 0 {
		fmt.Printf("Left behind, for they cannot be read: %s\n", strings.Join(moved.Left, ", "))
	}
	return nil
}

func compare(ctx context.Context, from, to eventlog.Log) error {
	same, err := move.Compare(ctx, from, to)
	if err != nil {
		return err
	}
	fmt.Printf("The same in both: %d actors.\n", same.Same)
	for _, d := range []struct {
		what string
		who  []string
	}{{"Different", same.Differ}, {"Only in the old topics", same.OnlyOld}, {"Only in the new topics", same.OnlyNew}} {
		if len(d.who) > 0 {
			fmt.Printf("%s: %s\n", d.what, strings.Join(d.who[:min(len(d.who), 20)], ", "))
		}
	}
	if !same.OK() {
		return errors.New("the topics are not the same")
	}
	return nil
}
