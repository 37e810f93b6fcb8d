package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"go.uber.org/zap"
	"golang.org/x/term"

	"github.com/actorlog/actorlog/cmd/internal/app"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/replay/file"
	"github.com/actorlog/actorlog/schemas"
)

// reading is how the commands that read history reach the log, or a file in its place. They write nothing.
type reading struct {
	app.Brokers `group:"Brokers"`
	app.Topics  `group:"Brokers"`
	File        string `type:"existingfile" placeholder:"FILE" help:"Read the history in this file, which export wrote, in place of brokers."`
}

// with reads; what is written to the writer goes to standard output, where no bar is in its way.
func (c reading) with(ctx context.Context, log *zap.Logger, do func(io.Writer, *replay.Reader) error) error {
	source, end, err := c.source(ctx, log)
	if err != nil {
		return err
	}
	defer end()
	bar := newBar(os.Stderr)
	defer bar.clear()
	return interrupted(ctx, do(bar.over(os.Stdout), replay.NewReader(source, replay.Options{Progress: bar.show})), "interrupted")
}

// interrupted is err, or if it is the end of ctx one that says so, with the exit status that shells know: what is not done must not look as if it were.
func interrupted(ctx context.Context, err error, message string) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return interruptedError(message)
}

type interruptedError string

// Error implements error.
func (e interruptedError) Error() string { return string(e) }

// ExitStatus is that of a process that ended by SIGINT.
func (interruptedError) ExitStatus() int { return 130 }

func (c reading) source(ctx context.Context, log *zap.Logger) (source eventlog.Source, end func(), err error) {
	if c.File != "" {
		h, err := file.Open(c.File)
		return h, func() {}, err
	}
	l, err := c.OpenExisting(ctx, c.Topics, log)
	if err != nil {
		return nil, nil, err
	}
	return l, l.Close, nil
}

// ofActor is reading the history of one actor; with a file, it need not be named.
type ofActor struct {
	reading
	whom
}

func (c ofActor) on(ctx context.Context, log *zap.Logger, do func(io.Writer, *replay.Reader, schemas.Hash) error) error {
	var hash schemas.Hash
	var err error
	if c.Kind != "" {
		if hash, err = c.hash(); err != nil {
			return err
		}
	}
	return c.with(ctx, log, func(out io.Writer, r *replay.Reader) error {
		h, ok := r.Source().(*file.History)
		switch {
		case !ok && c.Kind == "":
			_, err := c.hash()
			return err
		case ok && c.Kind == "":
			hash = h.Hash()
		case ok && hash != h.Hash():
			a := h.Header().GetActor()
			return fmt.Errorf("%s has the history of another actor: %s %s", c.File, a.GetKind(), schemas.Key(a.GetKey()))
		}
		return do(out, r, hash)
	})
}

// whom is the arguments that name an actor.
type whom struct {
	Kind      string   `arg:"" optional:"" help:"Kind of the actor; or its id alone."`
	Key       []string `arg:"" optional:"" help:"Key of the actor, part by part."`
	Namespace string   `help:"Namespace of the actor." default:"default" env:"ACTORLOG_NAMESPACE"`
}

func (w whom) hash() (schemas.Hash, error) {
	if w.Kind == "" {
		return schemas.Hash{}, errors.New("say which actor: its kind, and its key part by part; or its id")
	}
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
func (w whom) unknown() error { return unknownError{w} }

type unknownError struct{ whom }

// Error implements error.
func (e unknownError) Error() string {
	return fmt.Sprintf("nothing is known of %s in namespace %s: it never was asked anything, its key is another (each part is an argument of its own), or its events are not kept any more", printable(e.String()), e.Namespace)
}

// known returns what unknown does if the actor has no event.
func (w whom) known(ctx context.Context, r *replay.Reader, hash schemas.Hash) error {
	e, err := r.Find(ctx, hash, replay.Point{})
	if err == nil && e == nil {
		return w.unknown()
	}
	return err
}

// pointText is a point in history as a flag has it: -1 for the last event is one, although it begins as flags do.
type pointText string

// Decode implements kong.MapperValue.
func (p *pointText) Decode(ctx *kong.DecodeContext) error {
	t := ctx.Scan.Pop()
	text := t.String()
	if _, err := strconv.ParseInt(text, 10, 64); !t.IsValue() && err != nil {
		return fmt.Errorf("want a point in history and not %q: a position such as 3:5310, the number of an event such as 7, or -1 for the last, a time such as 2026-11-23T06:31:04Z, or how long ago, such as 15m", text)
	}
	*p = pointText(text)
	return nil
}

func point(flag string, text pointText) (replay.Point, error) {
	p, err := replay.ParsePoint(string(text), time.Now())
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
	width func() int // of the terminal, in columns
}

func newBar(f *os.File) *bar {
	b := &bar{begun: time.Now()}
	if term.IsTerminal(int(f.Fd())) {
		b.w = f
		b.width = func() int {
			n, _, err := term.GetSize(int(f.Fd()))
			if err != nil || n == 0 {
				return 80
			}
			return n
		}
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
	text := fmt.Sprintf("scanning shard %d [%s%s] %3.0f%% of %d events", p.Partition, strings.Repeat("#", n), strings.Repeat(".", barWidth-n), 100*done, p.To-p.From)
	if width := max(b.width(), 8); len(text) >= width { // a line that is broken could not be cleared
		text = fmt.Sprintf("%3.0f%% of %d events", 100*done, p.To-p.From)
		text = text[:min(len(text), width-1)]
	}
	fmt.Fprintf(b.w, "\r%s\x1b[K", text)
}

// clear removes the bar; whoever prints something calls it.
func (b *bar) clear() {
	if b.shown {
		fmt.Fprint(b.w, "\r\x1b[K")
		b.shown = false
	}
}

// over is w, before which the bar goes away; the next step of the scan shows it again.
func (b *bar) over(w io.Writer) io.Writer {
	if b.w == nil {
		return w
	}
	return clearing{b, w}
}

type clearing struct {
	*bar
	to io.Writer
}

// Write implements io.Writer.
func (c clearing) Write(p []byte) (int, error) {
	c.clear()
	return c.to.Write(p)
}

// cutOff says on stderr that history began earlier than what was printed; other errors are returned.
func cutOff(err error) error {
	if errors.Is(err, replay.ErrGone) {
		fmt.Fprintln(os.Stderr, "Earlier events are not kept any more.")
		return nil
	}
	return err
}
