package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/term"

	"github.com/actorlog/actorlog/cmd/internal/app"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
)

// reading is how the commands that read history reach the log. They write nothing.
type reading struct {
	app.Brokers `group:"Brokers"`
	app.Topics  `group:"Brokers"`
}

func (c reading) with(ctx context.Context, log *zap.Logger, do func(*replay.Reader) error) error {
	l, err := c.Open(ctx, c.Topics, "cli", log)
	if err != nil {
		return err
	}
	defer l.Close()
	bar := newBar(os.Stderr)
	defer bar.clear()
	return do(replay.NewReader(l, replay.Options{Progress: bar.show}))
}

// whom is the arguments that name an actor.
type whom struct {
	Kind      string   `arg:"" help:"Kind of the actor; or its id alone."`
	Key       []string `arg:"" optional:"" help:"Key of the actor, part by part."`
	Namespace string   `help:"Namespace of the actor." default:"default" env:"ACTORLOG_NAMESPACE"`
}

func (w whom) hash() (schemas.Hash, error) {
	if id, err := schemas.ParseActorID(w.Kind); err == nil && len(w.Key) == 0 {
		return id.Hash, nil
	}
	key := schemas.Key(w.Key)
	if err := key.Validate(); err != nil {
		return schemas.Hash{}, err
	}
	return schemas.HashOf(w.Namespace, w.Kind, key), nil
}

// String names the actor in messages.
func (w whom) String() string { return strings.Join(append([]string{w.Kind}, w.Key...), " ") }

// unknown is the error for an actor without any event.
func (w whom) unknown() error {
	return fmt.Errorf("nothing is known of %s in namespace %s: it never was asked anything, its key is another (each part is an argument of its own), or its events are not kept any more", w, w.Namespace)
}

func point(flag, text string) (replay.Point, error) {
	p, err := replay.ParsePoint(text, time.Now())
	if err != nil {
		return p, fmt.Errorf("%s: %w", flag, err)
	}
	return p, nil
}

// bar shows on a terminal how far a scan has come, if it takes long.
type bar struct {
	w     io.Writer // nil: no terminal
	begun time.Time
	last  time.Time
	shown bool
}

func newBar(f *os.File) *bar {
	b := &bar{begun: time.Now()}
	if term.IsTerminal(int(f.Fd())) {
		b.w = f
	}
	return b
}

const barWidth = 30

// show is called by the reader.
func (b *bar) show(p replay.Progress) {
	now := time.Now()
	if b.w == nil || p.To == replay.Follow || now.Sub(b.begun) < 300*time.Millisecond || now.Sub(b.last) < 50*time.Millisecond {
		return
	}
	if p.At >= p.To {
		b.clear()
		return
	}
	b.last, b.shown = now, true
	done := float64(p.At-p.From) / float64(max(1, p.To-p.From))
	n := int(done * barWidth)
	fmt.Fprintf(b.w, "\rscanning shard %d [%s%s] %3.0f%% of %d events\x1b[K", p.Partition, strings.Repeat("#", n), strings.Repeat(".", barWidth-n), 100*done, p.To-p.From)
}

// clear removes the bar; whoever prints something calls it.
func (b *bar) clear() {
	if b.shown {
		fmt.Fprint(b.w, "\r\x1b[K")
		b.shown = false
	}
}

// cutOff says on stderr that history began earlier than what was printed; other errors are returned.
func cutOff(err error) error {
	if errors.Is(err, replay.ErrGone) {
		fmt.Fprintln(os.Stderr, "Earlier events are not kept any more.")
		return nil
	}
	return err
}
