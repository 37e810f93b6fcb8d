package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"regexp"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
)

type historyCmd struct {
	ofActor
	Since  string `help:"First event: a position (3:5310), the number of an event (7), a time (2026-11-23T06:31:04Z), or how long ago (15m)." placeholder:"POINT"`
	Grep   string `help:"Only events whose JSON, as --json prints it, matches this regular expression." placeholder:"REGEXP"`
	Limit  *int   `help:"How many of the newest events; 0 is all. Default: 50, and all with --since." placeholder:"N"`
	Follow bool   `short:"f" help:"Go on with what happens from now on."`
	JSON   bool   `name:"json" help:"JSON lines."`
}

// Run implements the command.
func (c *historyCmd) Run(ctx context.Context, log *zap.Logger) error {
	q := replay.Query{Follow: c.Follow}
	switch {
	case c.Limit == nil && c.Since == "":
		q.Limit = 50
	case c.Limit != nil && *c.Limit < 0:
		return fmt.Errorf("--limit: want how many events, or 0 for all, not %d", *c.Limit)
	case c.Limit != nil:
		q.Limit = *c.Limit
	}
	var err error
	if q.Since, err = point("--since", c.Since); err != nil {
		return err
	}
	if c.Grep != "" {
		if q.Grep, err = regexp.Compile(c.Grep); err != nil {
			return fmt.Errorf("--grep: %w", err)
		}
	}
	return c.on(ctx, log, func(r *replay.Reader, hash schemas.Hash) error {
		out := bufio.NewWriter(os.Stdout)
		defer out.Flush()
		n := 0
		for v, err := range r.Entries(ctx, hash, q) {
			if err != nil {
				out.Flush()
				return cutOff(err)
			}
			n++
			if c.JSON {
				err = jsonLine(out, v)
			} else {
				printEntry(out, v)
			}
			if err == nil && c.Follow {
				err = out.Flush()
			}
			if err != nil {
				return err
			}
		}
		if n == 0 && c.Grep == "" && c.Since == "" {
			return c.unknown()
		}
		return nil
	})
}
