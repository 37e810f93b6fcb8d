package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/cmd/internal/app"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/sealed"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// keyed is how commands reach a log whose records are sealed.
type keyed struct {
	app.Brokers `group:"Brokers"`
	app.Topics  `group:"Brokers"`
}

func (k keyed) open(ctx context.Context, log *zap.Logger) (app.Sealed, error) {
	l, err := k.Open(ctx, k.Topics, "cli", log)
	if err != nil {
		return app.Sealed{}, err
	}
	s, ok := l.(app.Sealed)
	if !ok {
		l.Close()
		return s, errors.New("this needs the master key: --seal-key-file, or ACTORLOG_SEAL_KEY")
	}
	return s, nil
}

type eraseCmd struct {
	keyed
	whom
	Yes    bool   `help:"Erase it. Without this, only what there is of the actor is told."`
	Canary string `help:"Text to look for in what is kept of the actor, byte by byte, for proof." placeholder:"TEXT"`
}

// Run implements the command.
func (c *eraseCmd) Run(ctx context.Context, log *zap.Logger) error {
	hash, err := c.hash()
	if err != nil {
		return err
	}
	l, err := c.keyed.open(ctx, log)
	if err != nil {
		return err
	}
	defer l.Close()
	places, err := l.Survey(ctx, hash, c.Canary)
	if err != nil {
		return err
	}
	records := 0
	for _, p := range places {
		records += p.Records
	}
	if records == 0 {
		return c.unknown()
	}
	if !c.Yes {
		tellPlaces(places, c.Canary)
		fmt.Println("Nothing was erased: --yes does it, for ever.")
		return nil
	}
	if places[len(places)-1].Records == 0 {
		return fmt.Errorf("%s has no key: its records were never sealed, so they cannot be erased from a log that nobody can change. Have its kind sealed (--seal-kinds) for what is written from now on", c.whom)
	}
	if err := c.erase(ctx, l, hash, log); err != nil {
		return err
	}
	if places, err = l.Survey(ctx, hash, c.Canary); err != nil {
		return err
	}
	tellPlaces(places, c.Canary)
	return verdict(places)
}

// erase destroys the actor, and then its keys. Interrupted, it can be run again.
func (c *eraseCmd) erase(ctx context.Context, l app.Sealed, hash schemas.Hash, log *zap.Logger) error {
	client, err := remote.Open(l, remote.Config{Logger: log})
	if err != nil {
		return err
	}
	defer client.Close()
	destroy := func() error {
		d, _, err := client.Do(ctx, remote.Request{Hash: hash, Action: &actorlogv1.Action{
			Actor: &actorlogv1.Actor{Namespace: c.Namespace, Kind: c.Kind, Key: c.Key},
			Body:  &actorlogv1.Action_Destroy{Destroy: &actorlogv1.Destroy{Erase: true}},
		}})
		if err == nil {
			err = actor.OutcomeError(d.Outcome)
		}
		switch {
		case errors.Is(err, actor.ErrNotFound):
			fmt.Println("The actor does not live any more.")
		case err != nil:
			return fmt.Errorf("destroying the actor (does a worker run?): %w", err)
		default:
			fmt.Printf("The actor was destroyed, at %s.\n", d.Position)
		}
		return nil
	}
	if err := destroy(); err != nil {
		return err
	}
	if _, err := l.Retire(ctx, hash); err != nil {
		return err
	}
	fmt.Printf("Its keys seal nothing any more; waiting %v until all programs know.\n", sealed.RetireFor)
	select {
	case <-time.After(sealed.RetireFor):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	// What has come to life meanwhile may be sealed with what is about to be destroyed.
	if err := destroy(); err != nil {
		return err
	}
	n, err := l.Destroy(ctx, hash)
	if err != nil {
		return err
	}
	fmt.Printf("%d keys were destroyed, at %s.\n", n, time.Now().UTC().Format(time.RFC3339))
	return nil
}

func tellPlaces(places []sealed.Place, canary string) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "PLACE\tRECORDS\tNOTHING OF USERS\tERASED\tSEALED, KEY LIVES\tREADABLE BY ANYBODY\tAWAIT COMPACTION")
	if canary != "" {
		fmt.Fprint(w, "\tWITH THE CANARY")
	}
	fmt.Fprintln(w)
	for _, p := range places {
		if p.Topic == eventlog.Keys {
			fmt.Fprintf(w, "%s\t%d\t\t\t%d\t\t%d", p.Topic, p.Records, p.Plain, p.Awaiting)
		} else {
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d", p.Topic, p.Records, p.Empty, p.Erased, p.Sealed, p.Plain, p.Awaiting)
		}
		if canary != "" {
			fmt.Fprintf(w, "\t%d", p.Canary)
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // to a terminal
	fmt.Println("Local stores of workers and archives keep records as the topics do: what is erased there is erased in them. Rows that a projector wrote, exported files and copies of the actor hold what was readable then: delete them.")
}

// verdict is an error if something of the actor is left that can be read.
func verdict(places []sealed.Place) error {
	var left []string
	awaiting := 0
	for _, p := range places {
		switch {
		case p.Topic == eventlog.Keys:
			awaiting = p.Awaiting
			continue
		case p.Plain > 0:
			left = append(left, fmt.Sprintf("%d records in %s were written before its kind was sealed, or not by us: everybody who may read the topic can read them", p.Plain, p.Topic))
		}
		if p.Canary > 0 {
			left = append(left, fmt.Sprintf("the canary is in %d records of %s", p.Canary, p.Topic))
		}
	}
	if awaiting > 0 {
		fmt.Printf("%d wrapped keys stay on the disks of the brokers until they compact the topic, about an hour later (never, with the embedded broker). "+
			"Until then, who has them and the master key could unseal what was sealed; actorlog rekey to a new master key ends that as well.\n", awaiting)
	}
	if len(left) > 0 {
		return fmt.Errorf("something of it is left: %s", strings.Join(left, "; "))
	}
	fmt.Println("Nothing of the actor's contents can be read any more. Who it was, what was asked of it and when stays readable.")
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
