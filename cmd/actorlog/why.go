package main

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
)

type whyCmd struct {
	reading
	Event string `arg:"" help:"Position of the event, such as 3:5310; or the id of a request, or its idempotency key, for which all shards are searched."`
	JSON  bool   `name:"json" help:"Print it as one JSON object."`
}

// Run implements the command.
func (c *whyCmd) Run(ctx context.Context, log *zap.Logger) error {
	return c.with(ctx, log, func(out io.Writer, r *replay.Reader) error {
		e, err := r.Lookup(ctx, c.Event)
		if err != nil {
			return err
		}
		x, err := r.Why(ctx, e.Position)
		if err != nil {
			return err
		}
		if c.JSON {
			return indented(out, x)
		}
		var text bytes.Buffer
		explain(&text, x)
		_, err = text.WriteTo(out)
		return err
	})
}

func explain(w io.Writer, x *replay.Explanation) {
	fmt.Fprintf(w, "%s  %s\n", whose(x.Entry), title(x.Entry))
	last := x.Entry
	for _, l := range x.Causes {
		printLink(w, "<-", l)
		if l.Entry != nil {
			last = l.Entry
		}
	}
	if n := len(x.Causes); n == 0 || x.Causes[n-1].Entry != nil {
		fmt.Fprintf(w, "<- asked by %s\n", printable(caller(last)))
	}
	for _, l := range x.Effects {
		printLink(w, "->", l)
	}
}

func printLink(w io.Writer, arrow string, l replay.Link) {
	if l.Entry != nil {
		fmt.Fprintf(w, "%s %s  %s  %s\n", arrow, l.How, whose(l.Entry), title(l.Entry))
		return
	}
	who := ""
	if l.Actor != nil {
		who = "  " + printable(l.Actor.Kind+" "+schemas.Key(l.Actor.Key).String())
	}
	fmt.Fprintf(w, "%s %s%s  (%s)\n", arrow, l.How, who, l.Missing)
}
