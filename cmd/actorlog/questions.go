package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/audit"
	"github.com/actorlog/actorlog/cmd/internal/app"
	"github.com/actorlog/actorlog/schemas"
)

// inquiry is what all questions have in common.
type inquiry struct {
	onBrokers
	app.ClickHouse `group:"ClickHouse"`
	Timeout        time.Duration `help:"How long the answer may take." default:"5m"`
	Limit          int           `help:"How many there are on a page, up to 1000." default:"100"`
	Cursor         string        `help:"Where the page before ended, as it said."`
	JSON           bool          `help:"One JSON object a line; the last one may be {\"next\": cursor}." name:"json"`
}

// narrowed is questions about what happened.
type narrowed struct {
	Since     time.Time `help:"From this time on, such as 2026-01-31T12:00:00Z." format:"2006-01-02T15:04:05Z07:00"`
	Until     time.Time `help:"Before this time." format:"2006-01-02T15:04:05Z07:00"`
	Namespace string    `help:"Of actors of this namespace."`
	Action    string    `help:"This action alone."`
	Failed    bool      `help:"Only what failed."`
}

func (n narrowed) filter(kind string, key []string) audit.Filter {
	f := audit.Filter{Namespace: n.Namespace, Kind: kind, Since: n.Since, Until: n.Until, Action: n.Action, Failed: n.Failed}
	if len(key) > 0 {
		f.Key = key
		if f.Namespace == "" {
			f.Namespace = "default"
		}
	}
	return f
}

// ask has a store answer, and prints the page.
func ask[T any](ctx context.Context, a *inquiry, log *zap.Logger, header string, row func(io.Writer, *T), question func(context.Context, audit.Store) (audit.Page[T], error)) error {
	l, err := a.onBrokers.OpenExisting(ctx, a.Topics, log)
	if err != nil {
		return err
	}
	defer l.Close()
	store, done, err := a.ClickHouse.Audit(l, log)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, a.Timeout)
	defer cancel()
	page, err := question(ctx, store)
	if err != nil {
		return err
	}
	if a.JSON {
		out := json.NewEncoder(os.Stdout)
		for i := range page.Items {
			if err := out.Encode(&page.Items[i]); err != nil {
				return err
			}
		}
		if page.Next != "" {
			return out.Encode(map[string]string{"next": page.Next})
		}
		return nil
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, header)
	for i := range page.Items {
		row(w, &page.Items[i])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if page.Next != "" {
		fmt.Printf("There is more: --cursor %s\n", page.Next)
	}
	return nil
}

const entryHeader = "TIME\tPOSITION\tACTOR\tACTION\tCALLER\tTOOK\tRESULT\tCHANGES"

func entryRow(w io.Writer, e *audit.Entry) {
	caller := e.Principal
	switch {
	case e.By != nil:
		caller = e.By.Kind + " " + e.By.Key.String()
	case caller == "" && e.Connection != "":
		caller = "connection " + e.Connection
	case caller == "":
		caller = e.Gateway
	}
	result := string(e.Result)
	if e.Error != nil {
		result = e.Error.Group + "." + e.Error.Code
	}
	var changes []string
	for _, c := range e.Changes {
		changes = append(changes, string(c))
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Time.Format("2006-01-02T15:04:05.000Z"), e.Where, e.Kind+" "+e.Key.String(),
		short(strings.TrimSpace(strings.TrimSpace(e.Body+" "+e.Action)+" "+string(e.Args))), short(caller), time.Duration(e.DurationUs)*time.Microsecond, short(result), short(strings.Join(changes, " ")))
}

// short fits a cell of a table; --json has all.
func short(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "..."
	}
	return strings.NewReplacer("\n", " ", "\t", " ").Replace(s)
}

type auditChanges struct {
	inquiry
	narrowed
	Kind string   `arg:"" help:"Kind of the actor."`
	Key  []string `arg:"" help:"Its key, part by part."`
	Path string   `help:"JSON pointer into the state, such as /balance: only what changed it, what is below, or what it is in. Default: any change."`
}

// Run implements the command.
func (c *auditChanges) Run(ctx context.Context, log *zap.Logger) error {
	q := audit.Events{Filter: c.filter(c.Kind, c.Key), Limit: c.Limit, Cursor: c.Cursor}
	q.Path, q.HasPath = c.Path, true
	return ask(ctx, &c.inquiry, log, entryHeader, entryRow, func(ctx context.Context, s audit.Store) (audit.Page[audit.Entry], error) { return s.Events(ctx, q) })
}

type auditCaller struct {
	inquiry
	narrowed
	Principal  string   `help:"By this principal."`
	Connection string   `help:"Through this connection."`
	Gateway    string   `help:"Through this gateway."`
	ByKind     string   `help:"By an actor of this kind."`
	ByKey      []string `help:"Its key; repeat it for each part." sep:"none"`
	Newest     bool     `help:"The newest first."`
}

// Run implements the command.
func (c *auditCaller) Run(ctx context.Context, log *zap.Logger) error {
	q := audit.Events{Filter: c.filter("", nil), Limit: c.Limit, Cursor: c.Cursor}
	q.Principal, q.Connection, q.Gateway = c.Principal, c.Connection, c.Gateway
	if c.ByKind != "" {
		q.By = &audit.Name{Namespace: "default", Kind: c.ByKind, Key: schemas.Key(c.ByKey)}
		if c.Namespace != "" {
			q.By.Namespace = c.Namespace
		}
	}
	if q.Principal == "" && q.Connection == "" && q.Gateway == "" && q.By == nil {
		return fmt.Errorf("who? give --principal, --connection, --gateway, or --by-kind and --by-key")
	}
	if c.Newest {
		q.Order = audit.Newest
	}
	return ask(ctx, &c.inquiry, log, entryHeader, entryRow, func(ctx context.Context, s audit.Store) (audit.Page[audit.Entry], error) { return s.Events(ctx, q) })
}

type auditSlowest struct {
	inquiry
	narrowed
	Kind string `arg:"" optional:"" help:"Of actors of this kind."`
}

// Run implements the command.
func (c *auditSlowest) Run(ctx context.Context, log *zap.Logger) error {
	q := audit.Events{Filter: c.filter(c.Kind, nil), Order: audit.Slowest, Limit: c.Limit, Cursor: c.Cursor}
	return ask(ctx, &c.inquiry, log, entryHeader, entryRow, func(ctx context.Context, s audit.Store) (audit.Page[audit.Entry], error) { return s.Events(ctx, q) })
}

func tally(ctx context.Context, a *inquiry, log *zap.Logger, q audit.Tally) error {
	var names []string
	for _, d := range q.By {
		names = append(names, strings.ToUpper(string(d)))
	}
	q.Limit, q.Cursor = a.Limit, a.Cursor
	return ask(ctx, a, log, strings.Join(names, "\t")+"\tCALLS\tERRORS\tRATE\tTIME\tLONGEST", func(w io.Writer, g *audit.Group) {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\t%s\n", strings.Join(g.Of, "\t"), g.Calls, g.Errors, strconv.FormatFloat(g.Rate, 'f', 3, 64),
			time.Duration(g.TotalUs)*time.Microsecond, time.Duration(g.MaxUs)*time.Microsecond)
	}, func(ctx context.Context, s audit.Store) (audit.Page[audit.Group], error) { return s.Tally(ctx, q) })
}

type auditErrors struct {
	inquiry
	narrowed
	Kind string            `arg:"" optional:"" help:"Of actors of this kind."`
	By   []audit.Dimension `help:"What to group by: kind, body, action, version, code, principal, connection, gateway, caller, actor." default:"kind,body,action,version"`
}

// Run implements the command.
func (c *auditErrors) Run(ctx context.Context, log *zap.Logger) error {
	return tally(ctx, &c.inquiry, log, audit.Tally{Filter: c.filter(c.Kind, nil), By: c.By, Order: audit.Rate})
}

type auditTalkers struct {
	inquiry
	narrowed
	Kind string            `arg:"" optional:"" help:"To actors of this kind."`
	By   []audit.Dimension `help:"Whom to count: principal, connection, gateway, caller (an actor), or actor (that is asked)." default:"principal"`
}

// Run implements the command.
func (c *auditTalkers) Run(ctx context.Context, log *zap.Logger) error {
	return tally(ctx, &c.inquiry, log, audit.Tally{Filter: c.filter(c.Kind, nil), By: c.By})
}

type auditActors struct {
	inquiry
	Kind      string `arg:"" help:"Kind of the actors."`
	Where     string `help:"What their state is, such as: count > 10 and owner.name = \"ann\""`
	Namespace string `help:"Of this namespace."`
}

// Run implements the command.
func (c *auditActors) Run(ctx context.Context, log *zap.Logger) error {
	where, err := audit.ParsePredicate(c.Where)
	if err != nil {
		return err
	}
	q := audit.Actors{Namespace: c.Namespace, Kind: c.Kind, Where: where, Limit: c.Limit, Cursor: c.Cursor}
	return ask(ctx, &c.inquiry, log, "ID\tKEY\tCHANGED\tPOSITION\tSTATE", func(w io.Writer, a *audit.Actor) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", a.ActorID, a.Key, a.Time.Format(time.RFC3339), a.Where, short(string(a.State)))
	}, func(ctx context.Context, s audit.Store) (audit.Page[audit.Actor], error) { return s.Actors(ctx, q) })
}
