package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
)

type historyCmd struct {
	ofActor
	Since  pointText `help:"First event: a position (3:5310), the number of an event (7, or -1 for the last), a time (2026-11-23T06:31:04Z), or how long ago (15m)." placeholder:"POINT"`
	Grep   string    `help:"Only events whose JSON, as --json prints it, matches this regular expression." placeholder:"REGEXP"`
	Limit  *int      `help:"How many of the newest events; 0 is all. Default: 50, and all with --since." placeholder:"N"`
	Follow bool      `short:"f" help:"Go on with what happens from now on."`
	JSON   bool      `name:"json" help:"JSON lines."`
}

// flushAt is how many bytes of a history are printed at once.
const flushAt = 32 << 10

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
	if c.Since != "" && q.Since.IsNow() { // nothing of the past
		q.Since = replay.Point{Time: time.Now()}
	}
	if c.Grep != "" {
		if q.Grep, err = regexp.Compile(c.Grep); err != nil {
			return fmt.Errorf("--grep: %w", err)
		}
	}
	return c.on(ctx, log, func(out io.Writer, r *replay.Reader, hash schemas.Hash) error {
		var printed bytes.Buffer // whole events, so that a bar is never in the middle of one
		flush := func() error {
			_, err := printed.WriteTo(out)
			return err
		}
		if c.Follow {
			if err := c.waits(ctx, r, hash); err != nil {
				return err
			}
		}
		n := 0
		for v, err := range r.Entries(ctx, hash, q) {
			if err != nil {
				if c.Follow && ctx.Err() != nil {
					return nil // there is no other end
				}
				if failed := flush(); failed != nil {
					return failed
				}
				return cutOff(err)
			}
			n++
			if c.JSON {
				err = jsonLine(&printed, v)
			} else {
				printEntry(&printed, v)
			}
			if err == nil && (c.Follow || printed.Len() >= flushAt) {
				err = flush()
			}
			if err != nil {
				return err
			}
		}
		if n > 0 {
			return flush()
		}
		return c.known(ctx, r, hash)
	})
}

// waits says on stderr that what is followed has no history yet: perhaps its key is another.
func (c *historyCmd) waits(ctx context.Context, r *replay.Reader, hash schemas.Hash) error {
	if c.File != "" {
		return errors.New("--follow: nothing is added to a file")
	}
	if err := c.known(ctx, r, hash); errors.As(err, new(unknownError)) {
		fmt.Fprintf(os.Stderr, "Waiting, for %v.\n", err)
		return nil
	} else if err != nil && !errors.Is(err, replay.ErrGone) {
		return err
	}
	return nil
}
