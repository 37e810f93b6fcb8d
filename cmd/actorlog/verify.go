package main

import (
	"context"
	"errors"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/cmd/internal/app"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/replay/gate"
)

type verifyCmd struct {
	ofActor
	All    bool   `help:"Verify all actors, or all of a kind."`
	Sample int    `help:"Verify so many actors, or so many of a kind, chosen by --seed." placeholder:"N"`
	Seed   uint64 `help:"Choose another sample."`
	Since  string `help:"Leave out what happened before: a time (2026-11-23T06:31:04Z), or how long ago (24h)." placeholder:"TIME"`
	Vars   bool   `help:"Run CreateVars, and the actions that need what it makes."`
	Every  bool   `help:"Tell every difference, and all that was not checked, instead of the first difference of each actor."`
	JSON   bool   `name:"json" help:"JSON lines."`
}

// status is an error with the exit status that goes with it.
type status struct {
	error
	code int
}

// ExitStatus is for app.Main.
func (s status) ExitStatus() int { return s.code }

func (s status) Unwrap() error { return s.error }

// Run implements the command.
func (c *verifyCmd) Run(ctx context.Context, log *zap.Logger) error {
	since, err := gate.Since(c.Since, time.Now())
	if err != nil {
		return status{err, gate.Failed}
	}
	bar := newBar(os.Stderr)
	defer bar.clear()
	cmd := gate.Command{
		Namespace: c.Namespace, Kind: c.Kind, Key: c.Key, All: c.All, Sample: c.Sample, Seed: c.Seed, File: c.File, Since: since, Vars: c.Vars, Every: c.Every, JSON: c.JSON,
		Progress: bar.show,
	}
	end := func() {}
	defer func() { end() }()
	clean, err := cmd.Run(ctx, c.kinds(), func(ctx context.Context) (source eventlog.Source, err error) {
		source, end, err = c.source(ctx, log)
		if err != nil {
			end = func() {}
		}
		return source, err
	}, os.Stdout)
	switch {
	case err != nil:
		return status{err, gate.Failed}
	case !clean:
		return status{errors.New("this code would have done something else"), gate.Differs}
	}
	return nil
}

func (c *verifyCmd) kinds() *actor.Registry { return app.Examples("") }
