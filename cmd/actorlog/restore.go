package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/cmd/internal/app"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/replay/file"
	"github.com/actorlog/actorlog/replay/restore"
)

// writing is what the commands that restore something have in common.
type writing struct {
	app.Brokers `group:"Brokers"`
	app.Topics  `group:"Brokers"`
	Schedules   bool   `help:"With the schedules that the actor had. What is due already fires at once."`
	Reason      string `help:"Why, for the history." placeholder:"TEXT"`
	By          string `help:"Who does it, for the history. Default: the user of this machine." placeholder:"NAME"`
}

func (c writing) options() restore.Options {
	return restore.Options{Schedules: c.Schedules, Reason: c.Reason, By: operator(c.By)}
}

// operator is who works here, if nobody says otherwise.
func operator(by string) string {
	if by == "" {
		if u, err := user.Current(); err == nil {
			by = u.Username
		}
	}
	return by
}

func (c writing) with(ctx context.Context, log *zap.Logger, do func(*remote.Client, *replay.Reader) error) error {
	l, err := c.OpenExisting(ctx, c.Topics, log)
	if err != nil {
		return err
	}
	defer l.Close()
	client, err := remote.Open(l, remote.Config{Logger: log})
	if err != nil {
		return err
	}
	defer client.Close()
	bar := newBar(os.Stderr)
	defer bar.clear()
	err = do(client, replay.NewReader(l, replay.Options{Progress: bar.show}))
	return interrupted(ctx, err, "interrupted: whether it is done already, the history of the actor tells")
}

// forked is where a copy goes.
type forked struct {
	To          []string `required:"" sep:"none" placeholder:"PART" help:"Key of the copy; once for each part."`
	ToNamespace string   `placeholder:"NAME" help:"Namespace of the copy. Default: that of the original."`
}

func (c forked) target() restore.Target { return restore.Target{Namespace: c.ToNamespace, Key: c.To} }

func (c forked) print(d *restore.Done) {
	fmt.Printf("Actor %s is what the original was after %s; recorded at %s.\n", d.ActorID, d.From, d.Position)
}

type forkCmd struct {
	writing
	whom
	At pointText `help:"After which event: a position, the number of an event (7, or -1 for the last), a time, or how long ago. Default: now." placeholder:"POINT"`
	forked
}

// Run implements the command.
func (c *forkCmd) Run(ctx context.Context, log *zap.Logger) error {
	at, err := point("--at", c.At)
	if err != nil {
		return err
	}
	hash, err := c.hash()
	if err != nil {
		return err
	}
	return c.with(ctx, log, func(client *remote.Client, r *replay.Reader) error {
		d, err := restore.Fork(ctx, client, r, hash, at, c.target(), c.options())
		if err != nil {
			return err
		}
		c.print(d)
		return nil
	})
}

type importCmd struct {
	writing
	File string    `arg:"" type:"existingfile" help:"File that export wrote."`
	At   pointText `help:"After which event. Default: the last one in the file." placeholder:"POINT"`
	forked
}

// Run implements the command.
func (c *importCmd) Run(ctx context.Context, log *zap.Logger) error {
	at, err := point("--at", c.At)
	if err != nil {
		return err
	}
	h, err := file.Open(c.File)
	if err != nil {
		return err
	}
	return c.with(ctx, log, func(client *remote.Client, _ *replay.Reader) error {
		o := c.options()
		o.Log = h.Header().Log
		d, err := restore.Fork(ctx, client, replay.NewReader(h, replay.Options{}), h.Hash(), at, c.target(), o)
		if err != nil {
			return err
		}
		c.print(d)
		return nil
	})
}

type undoCmd struct {
	writing
	whom
	Back  pointText `name:"to" help:"After which event the state is what it shall be again: a position, the number of an event, a time, or how long ago. Default: before the last event that changed it." placeholder:"POINT"`
	Force bool      `help:"Also if the actor changes while this is prepared."`
}

// Run implements the command.
func (c *undoCmd) Run(ctx context.Context, log *zap.Logger) error {
	to, err := point("--to", c.Back)
	if err != nil {
		return err
	}
	hash, err := c.hash()
	if err != nil {
		return err
	}
	return c.writing.with(ctx, log, func(client *remote.Client, r *replay.Reader) error {
		o := c.options()
		o.Force = c.Force
		d, err := restore.Undo(ctx, client, r, hash, to, o)
		if err != nil {
			return err
		}
		fmt.Printf("Undone, at %s: the state is that after %s. What was undone, newest first:\n", d.Position, d.From)
		for _, v := range d.Undone {
			fmt.Printf("  %s\n", title(v))
		}
		if d.More > 0 {
			fmt.Printf("  and %d more\n", d.More)
		}
		fmt.Println("What that changed:")
		printDifference(os.Stdout, d.Difference, "  ")
		return nil
	})
}

type exportCmd struct {
	app.Brokers    `group:"Brokers"`
	app.Topics     `group:"Brokers"`
	whom           `embed:""`
	Out            string    `short:"o" required:"" type:"path" placeholder:"FILE" help:"File to write. One that is there is not overwritten."`
	At             pointText `help:"Up to which event: a position, the number of an event, a time, or how long ago. Default: the last." placeholder:"POINT"`
	WithoutAnswers bool      `help:"Leave out what other actors answered to calls of this one, for which the whole log is searched. Then actions that call others cannot be verified from the file."`
}

// Run implements the command.
func (c *exportCmd) Run(ctx context.Context, log *zap.Logger) (err error) {
	to, err := point("--at", c.At)
	if err != nil {
		return err
	}
	hash, err := c.hash()
	if err != nil {
		return err
	}
	l, err := c.OpenExisting(ctx, c.Topics, log)
	if err != nil {
		return err
	}
	defer l.Close()
	if _, err := os.Lstat(c.Out); err == nil {
		return fmt.Errorf("%s is there already: name another file, or remove it", c.Out)
	}
	f, err := os.CreateTemp(filepath.Dir(c.Out), ".actorlog-export-*")
	if err != nil {
		return fmt.Errorf("making %s: %w", c.Out, err)
	}
	defer os.Remove(f.Name()) // of a failed one; otherwise there is no such file any more
	bar := newBar(os.Stderr)
	defer bar.clear()
	done, err := file.Export(ctx, f, replay.NewReader(l, replay.Options{Progress: bar.show}), hash, file.Options{
		To: to, WithoutAnswers: c.WithoutAnswers, Log: l.Identity(), CodeVersion: app.Version(),
	})
	if err = interrupted(ctx, errors.Join(err, f.Close()), "interrupted: there is no file"); err != nil {
		if errors.Is(err, file.ErrUnknown) && to.IsNow() {
			return c.unknown()
		}
		return err
	}
	// A link does not replace what somebody made in the meantime; some file systems have none.
	if err := os.Link(f.Name(), c.Out); errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there already: name another file, or remove it", c.Out)
	} else if err != nil {
		if err := os.Rename(f.Name(), c.Out); err != nil {
			return err
		}
	}
	bar.clear()
	fmt.Printf("%d events of %s, and %d answers to its calls, are in %s.\n", done.Events, c.whom, done.Answers, c.Out)
	if !done.Whole {
		fmt.Println("The beginning of its history is not kept any more, and is not in the file.")
	}
	return nil
}
