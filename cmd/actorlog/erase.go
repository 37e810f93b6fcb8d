package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/cmd/internal/app"
	"github.com/actorlog/actorlog/replay/erase"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// keyed is how commands reach a log whose records are sealed.
type keyed struct {
	app.Brokers `group:"Brokers"`
	app.Topics  `group:"Brokers"`
}

func (k keyed) open(ctx context.Context, log *zap.Logger) (app.Sealed, error) {
	l, err := k.OpenExisting(ctx, k.Topics, log)
	if err != nil {
		return app.Sealed{}, err
	}
	s, ok := l.(app.Sealed)
	if !ok {
		l.Close()
		return s, erase.ErrUnsealed
	}
	return s, nil
}

type eraseCmd struct {
	keyed
	app.ClickHouse `group:"ClickHouse"`
	whom
	Yes    bool          `help:"Erase it. Without this, only what there is of the actor is told."`
	Canary string        `help:"Text to look for in what is kept of the actor, byte by byte, for proof." placeholder:"TEXT"`
	Store  []string      `help:"Directory of a worker's local store (its --data) on this machine, to look into as well. The worker may run." type:"existingdir" placeholder:"DIR"`
	Wait   time.Duration `help:"How long projectors have to come past the erasure, if --clickhouse is given." default:"1m"`
	By     string        `help:"Who does it, for the history. Default: the user of this machine." placeholder:"NAME"`
	JSON   bool          `help:"Print the report as JSON, as POST /admin/erase answers it." name:"json"`
}

// Run implements the command.
func (c *eraseCmd) Run(ctx context.Context, log *zap.Logger) error {
	hash, err := c.hash()
	if err != nil {
		return err
	}
	who := erase.Whom{Hash: hash}
	if _, err := schemas.ParseActorID(c.Kind); err != nil || len(c.Key) > 0 {
		who.Actor = &actorlogv1.Actor{Namespace: c.Namespace, Kind: c.Kind, Key: c.Key}
	}
	l, err := c.keyed.open(ctx, log)
	if err != nil {
		return err
	}
	defer l.Close()
	o := erase.Options{Canary: c.Canary, Wait: c.Wait, By: operator(c.By), Progress: func(text string) { fmt.Fprintln(os.Stderr, text) }}
	for _, dir := range c.Store {
		o.Stores = append(o.Stores, host.StoreDir(dir))
	}
	if c.Given() {
		db, err := c.ClickHouse.Open(nil, log)
		if err != nil {
			return err
		}
		defer db.Close()
		o.Projection = db
	}
	r, err := c.do(ctx, l, who, o, log)
	switch {
	case errors.Is(err, erase.ErrUnknown):
		return c.unknown()
	case err != nil:
		return err
	case c.JSON:
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		err = out.Encode(r)
	default:
		err = c.tell(r)
	}
	if err == nil && c.Yes && len(r.Left) > 0 {
		err = fmt.Errorf("something of it is left: %s", strings.Join(r.Left, "; "))
	}
	return err
}

func (c *eraseCmd) do(ctx context.Context, l app.Sealed, who erase.Whom, o erase.Options, log *zap.Logger) (*erase.Report, error) {
	if !c.Yes {
		return erase.Look(ctx, l, who, o)
	}
	client, err := remote.Open(l, remote.Config{Logger: log})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return erase.Erase(ctx, client, who, o)
}

// tell prints a report for people.
func (c *eraseCmd) tell(r *erase.Report) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	canary := func(n int64) {
		if c.Canary != "" {
			fmt.Fprintf(w, "\t%d", n)
		}
		fmt.Fprintln(w)
	}
	title := func(columns string) {
		if fmt.Fprint(w, columns); c.Canary != "" {
			fmt.Fprint(w, "\tWITH THE CANARY")
		}
		fmt.Fprintln(w)
	}
	title("PLACE\tRECORDS\tNOTHING OF USERS\tERASED\tSEALED, KEY LIVES\tREADABLE BY ANYBODY\tAWAIT COMPACTION")
	for _, k := range r.Kept {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d", k.Place, k.Records, k.Empty, k.Erased, k.Sealed, k.Plain, k.Awaiting)
		canary(int64(k.Canary))
	}
	fmt.Fprintf(w, "keys\t%d\t\t\t%d\t\t%d\n", r.Keys.Records, r.Keys.Living, r.Keys.Awaiting)
	if len(r.Tables) > 0 {
		fmt.Fprintln(w)
		title("TABLE\tROWS\tWITH CONTENTS\tMUTATIONS\tREPLACED PARTS\tDETACHED PARTS")
		for _, t := range r.Tables {
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d", t.Table, t.Rows, t.Open, t.Mutations, t.Replaced, t.Detached)
			canary(t.Canary)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, text := range r.Awaits {
		fmt.Println(text)
	}
	switch {
	case !c.Yes:
		for _, text := range r.Left {
			fmt.Println("It would leave something: " + text)
		}
		fmt.Println("Nothing was erased: --yes does it, for ever.")
	case len(r.Left) == 0:
		fmt.Println("Nothing of the actor's contents can be read any more in any of these places. Who it was, what was asked of it and when stays readable.")
	}
	if !c.Given() {
		fmt.Println("ClickHouse was not looked into: --clickhouse.")
	}
	if len(c.Store) == 0 {
		fmt.Println("Local stores of workers were not looked into: --store, on their machines. They keep records as the topics do: what is erased there is erased in them.")
	}
	fmt.Println("Exported files, copies of the actor and what it has sent elsewhere hold what was readable then: delete them.")
	return nil
}

type rekeyCmd struct{ keyed }

// Run implements the command.
func (c *rekeyCmd) Run(ctx context.Context, log *zap.Logger) error {
	l, err := c.keyed.open(ctx, log)
	if err != nil {
		return err
	}
	defer l.Close()
	n, err := l.Rewrap(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%d keys were wrapped anew by the first master key. When all programs have it, and this says 0, the others may be removed.\n", n)
	return nil
}
