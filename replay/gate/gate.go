// Package gate is verification (package replay/verify) as a command and over HTTP: for a pipeline that must not let code out that would have done something else,
// and for people. It needs the code, so it is linked into a program with the kinds:
//
//	func main() {
//		registry := actor.NewRegistry()
//		mykind.Register(registry)
//		os.Exit(gate.Main(registry, os.Args[1:], func(ctx context.Context) (eventlog.Source, error) {
//			return kafkalog.Open(ctx, kafkalog.Config{Brokers: []string{"localhost:9092"}})
//		}))
//	}
//
// The exit status is 0 when nothing differs, 1 when something does, 2 when it could not be found out. [Handler] is the same for a worker that serves its operators.
package gate

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/replay/file"
	"github.com/actorlog/actorlog/replay/verify"
	"github.com/actorlog/actorlog/schemas"
)

// The exit statuses.
const (
	Clean   = 0
	Differs = 1
	Failed  = 2
)

// Command is what is to be verified, and how it is told.
type Command struct {
	// Kind and Key of one actor, or Kind alone if it is an actor's id. Namespace defaults to actor.DefaultNamespace. With All or Sample, a Kind without a Key is the only
	// kind whose actors are meant, in all namespaces.
	Namespace, Kind string
	Key             []string
	// All actors, or a Sample of so many, which Seed varies.
	All    bool
	Sample int
	Seed   uint64
	// File is read in place of a log: a history that was exported (package replay/file). History is such a file that was read already.
	File    string
	History *file.History
	// Since leaves out what happened before.
	Since time.Time
	// Vars has CreateVars run: see verify.Config.
	Vars bool
	// Every difference is told, and every outcome that was not checked; by default the first difference of each actor.
	Every bool
	// JSON lines, in place of text.
	JSON bool
	// Progress of the reading; nil: nobody is told.
	Progress func(replay.Progress)
}

// failure is an error, and how it is told over HTTP.
type failure struct {
	error
	status int
	code   string
}

func (f failure) Unwrap() error { return f.error }

func failed(status int, code, format string, args ...any) error {
	return failure{fmt.Errorf(format, args...), status, code}
}

// Run verifies, and writes what it finds. open is called unless there is a File or a History. clean says that nothing differs; an error, that it could not be found out.
func (c *Command) Run(ctx context.Context, registry *actor.Registry, open func(context.Context) (eventlog.Source, error), w io.Writer) (clean bool, err error) {
	many := c.All || c.Sample != 0
	one := !many && (c.Kind != "" || c.File != "" || c.History != nil)
	switch {
	case c.All && c.Sample != 0, many && len(c.Key) > 0:
		return false, failed(http.StatusBadRequest, "invalid_request", "want one actor, --all or --sample, not two of them")
	case c.Sample < 0, !one && !many:
		return false, failed(http.StatusBadRequest, "invalid_request", "say what to verify: the kind and key of an actor, --all, or --sample with a number of actors")
	}
	source, hash, err := c.source(ctx, open)
	if err != nil {
		return false, err
	}
	out := &report{c: c, w: w, told: make(map[string]int)}
	cfg := verify.Config{Registry: registry, Since: c.Since, Vars: c.Vars, Differs: out.differs, NotChecked: out.unchecked}
	if many && c.Kind != "" {
		cfg.Kinds = []string{c.Kind}
	}
	r := replay.NewReader(source, replay.Options{Progress: c.Progress})
	var s verify.Summary
	if one {
		s, err = verify.Actor(ctx, r, hash, cfg)
	} else {
		s, err = verify.All(ctx, r, c.Sample, c.Seed, cfg)
	}
	switch {
	case err != nil:
		return false, err
	case out.err != nil:
		return false, out.err
	case one && s.Outcomes == 0 && c.Since.IsZero():
		return false, failed(http.StatusNotFound, "not_found", "nothing is known of the actor: it was never asked anything, its key is another, or its events are not kept any more")
	case many && c.Kind != "" && s.Outcomes == 0 && c.Since.IsZero():
		return false, failed(http.StatusNotFound, "not_found", "no actor of kind %s was ever asked anything", c.Kind)
	case s.Reasons[verify.ReasonNoKind] == s.Outcomes && s.Outcomes > 0:
		return false, failed(http.StatusNotFound, "kind_not_found", "no kind of what was recorded is registered in this program, which has %v", registry.Kinds())
	}
	return s.Clean(), out.summary(&s)
}

func (c *Command) source(ctx context.Context, open func(context.Context) (eventlog.Source, error)) (eventlog.Source, schemas.Hash, error) {
	namespace := c.Namespace
	if namespace == "" {
		namespace = actor.DefaultNamespace
	}
	hash := schemas.HashOf(namespace, c.Kind, c.Key)
	if id, err := schemas.ParseActorID(c.Kind); err == nil && len(c.Key) == 0 {
		hash = id.Hash
	}
	h, name := c.History, "the file"
	switch {
	case c.File != "":
		var err error
		if h, err = file.Open(c.File); err != nil {
			return nil, hash, err
		}
		name = c.File
	case h == nil:
		source, err := open(ctx)
		return source, hash, err
	}
	if c.Kind != "" && !c.All && c.Sample == 0 && hash != h.Hash() {
		a := h.Header().Actor
		return nil, hash, failed(http.StatusBadRequest, "invalid_request", "%s is of another actor: %s %s", name, a.GetKind(), schemas.Key(a.GetKey()))
	}
	return h, h.Hash(), nil
}

// report writes findings as they come.
type report struct {
	c    *Command
	w    io.Writer
	told map[string]int
	err  error
}

func (r *report) note(err error) {
	if r.err == nil {
		r.err = err
	}
}

// line is a finding in JSON.
type line struct {
	Type     string    `json:"type"`
	Position string    `json:"position"`
	Kind     string    `json:"kind"`
	Key      []string  `json:"key"`
	ActorID  string    `json:"actorId"`
	Event    int       `json:"event"`
	Time     time.Time `json:"time"`
	Action   string    `json:"action"`
	Request  string    `json:"requestId,omitempty"`
	Version  string    `json:"version,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Fields   []field   `json:"fields,omitempty"`
}

type field struct {
	Name     string `json:"name"`
	At       string `json:"at,omitempty"`
	Recorded string `json:"recorded"`
	Now      string `json:"now"`
}

func lineOf(kind string, p *verify.Place) *line {
	return &line{
		Type: kind, Position: p.Position.String(), Kind: p.Actor.GetKind(), Key: p.Actor.GetKey(), ActorID: p.ActorID, Event: p.Event, Time: p.Time,
		Action: p.Action, Request: p.RequestID, Version: p.CodeVersion,
	}
}

func (r *report) differs(d *verify.Difference) {
	if r.told[d.ActorID]++; r.told[d.ActorID] > 1 && !r.c.Every {
		return
	}
	if r.c.JSON {
		l := lineOf("difference", &d.Place)
		for _, f := range d.Fields {
			l.Fields = append(l.Fields, field{f.Name, f.At, f.Recorded, f.Now})
		}
		r.note(json.NewEncoder(r.w).Encode(l))
		return
	}
	_, err := fmt.Fprintf(r.w, "%s %s, event %d at %s, %s: %s, recorded by version %s\n", d.Actor.GetKind(), schemas.Key(d.Actor.GetKey()), d.Event,
		d.Position, d.Time.Format(time.RFC3339), d.Action, d.CodeVersion)
	for _, f := range d.Fields {
		if err == nil {
			_, err = fmt.Fprintf(r.w, "  %s\n    recorded  %s\n    now       %s\n", name(f), shown(f.Recorded), shown(f.Now))
		}
	}
	r.note(err)
}

func name(f verify.Field) string {
	if f.At == "" {
		return f.Name
	}
	return f.Name + " " + f.At
}

// maxShown is how much of a value is printed for people.
const maxShown = 2000

func shown(s string) string {
	switch {
	case s == "":
		return "(nothing)"
	case len(s) > maxShown:
		return fmt.Sprintf("%s... (%d bytes)", s[:maxShown], len(s))
	}
	return s
}

func (r *report) unchecked(u *verify.Unchecked) {
	switch {
	case !r.c.Every:
	case r.c.JSON:
		l := lineOf("notChecked", &u.Place)
		l.Reason = u.Reason
		r.note(json.NewEncoder(r.w).Encode(l))
	default:
		_, err := fmt.Fprintf(r.w, "%s is not checked: %s\n", &u.Place, u.Reason)
		r.note(err)
	}
}

func (r *report) summary(s *verify.Summary) error {
	if r.c.JSON {
		return json.NewEncoder(r.w).Encode(struct {
			Type            string         `json:"type"`
			Clean           bool           `json:"clean"`
			Actors          int            `json:"actors"`
			ActorsDiffering int            `json:"actorsDiffering"`
			Outcomes        int            `json:"outcomes"`
			Same            int            `json:"same"`
			Differing       int            `json:"differing"`
			NotChecked      int            `json:"notChecked"`
			Reasons         map[string]int `json:"reasons,omitempty"`
		}{"summary", s.Clean(), s.Actors, s.ActorsDiffering, s.Outcomes, s.Same, s.Differing, s.NotChecked, s.Reasons})
	}
	actors := func(n int) string {
		if n == 1 {
			return "1 actor"
		}
		return fmt.Sprint(n, " actors")
	}
	of := ""
	if s.ActorsDiffering > 0 {
		of = " (of " + actors(s.ActorsDiffering) + ")"
	}
	_, err := fmt.Fprintf(r.w, "%s, %d outcomes: %d the same, %d different%s, %d not checked\n", actors(s.Actors), s.Outcomes, s.Same, s.Differing, of, s.NotChecked)
	for _, reason := range slices.Sorted(maps.Keys(s.Reasons)) {
		if err == nil {
			_, err = fmt.Fprintf(r.w, "  not checked: %d because %s\n", s.Reasons[reason], reason)
		}
	}
	return err
}

// Main is a whole program: it reads flags, verifies until it is done or interrupted, and returns the exit status. -h lists the flags.
func Main(registry *actor.Registry, args []string, open func(context.Context) (eventlog.Source, error)) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return run(ctx, registry, args, open, os.Stdout, os.Stderr)
}

func run(ctx context.Context, registry *actor.Registry, args []string, open func(context.Context) (eventlog.Source, error), stdout, stderr io.Writer) int {
	var c Command
	flags := flag.NewFlagSet("verify", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "verify [flags] KIND KEY...\nverify [flags] -all | -sample N [KIND]\nverify [flags] -file FILE\n\nRuns recorded actions again on this code. Exit status: 0 nothing differs, 1 something does, 2 it could not be found out.")
		flags.PrintDefaults()
	}
	flags.StringVar(&c.Namespace, "namespace", actor.DefaultNamespace, "namespace of the actor")
	flags.BoolVar(&c.All, "all", false, "verify all actors, or all of KIND")
	flags.IntVar(&c.Sample, "sample", 0, "verify so many actors, or so many of KIND, chosen by -seed")
	flags.Uint64Var(&c.Seed, "seed", 0, "choose another sample")
	flags.StringVar(&c.File, "file", "", "verify the history in this file, as actorlog export writes it")
	flags.Func("since", "leave out what happened before: a time, or how long ago (24h)", func(text string) (err error) {
		c.Since, err = Since(text, time.Now())
		return err
	})
	flags.BoolVar(&c.Vars, "vars", false, "run CreateVars, and the actions that need what it makes")
	flags.BoolVar(&c.Every, "every", false, "tell every difference, and all that was not checked, instead of the first difference of each actor")
	flags.BoolVar(&c.JSON, "json", false, "JSON lines")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return Clean
		}
		return Failed
	}
	if rest := flags.Args(); len(rest) > 0 {
		c.Kind, c.Key = rest[0], rest[1:]
	}
	clean, err := c.Run(ctx, registry, open, stdout)
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "verify:", err)
		return Failed
	case !clean:
		return Differs
	}
	return Clean
}

// Since reads a time, or how long ago, as -since takes it; empty: the zero time.
func Since(text string, now time.Time) (time.Time, error) {
	p, err := replay.ParsePoint(text, now)
	if err != nil || p.IsNow() {
		return time.Time{}, err
	}
	if p.Time.IsZero() {
		return time.Time{}, fmt.Errorf("want a time such as 2026-11-23T06:31:04Z, or how long ago, such as 24h, not %q", text)
	}
	return p.Time, nil
}
