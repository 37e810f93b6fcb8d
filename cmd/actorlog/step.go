package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"os/signal"
	"strings"

	"go.uber.org/zap"
	"golang.org/x/term"

	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
)

type stepCmd struct {
	ofActor
	At pointText `help:"Where to begin: a position, the number of an event (-1 for the last), a time, or how long ago. Default: the first event." placeholder:"POINT"`
}

// Run implements the command.
func (c *stepCmd) Run(ctx context.Context, log *zap.Logger) error {
	at, err := point("--at", c.At)
	if err != nil {
		return err
	}
	return c.on(ctx, log, func(out io.Writer, r *replay.Reader, hash schemas.Hash) error {
		w := walk{ctx: ctx, r: r, hash: hash, out: out}
		defer w.leave()
		begin := func() error { return w.to(at) }
		if c.At == "" {
			begin = func() error { return w.offset(0) }
		}
		if err := begin(); err != nil {
			return err
		}
		if len(w.seen) == 0 {
			return c.unknown()
		}
		w.show()
		signal.Reset(os.Interrupt) // what waits for a line from a terminal hears of nothing else
		return w.run(commands(os.Stdin, out))
	})
}

// keptMoments is how many moments a walk can go back without folding again.
const keptMoments = 256

// walk goes through the moments of an actor, in both directions.
type walk struct {
	ctx  context.Context
	r    *replay.Reader
	hash schemas.Hash
	out  io.Writer

	// seen is the last moments of the fold, and here the one that is shown. first is the number of seen[0].
	seen  []replay.Moment
	here  int
	first int64
	// counted: nothing was before the first moment, so that first is a number.
	counted bool
	next    func() (replay.Moment, error, bool)
	stop    func()
}

func (w *walk) leave() {
	if w.stop != nil {
		w.stop()
	}
}

// to goes to the last event at or before a point, or the first.
func (w *walk) to(p replay.Point) error {
	offset := int64(0)
	e, err := w.r.Find(w.ctx, w.hash, p)
	if err != nil {
		return err
	}
	if e != nil {
		offset = e.Position.Offset
	}
	return w.offset(offset)
}

// offset folds from the beginning up to the first event at or after an offset.
func (w *walk) offset(offset int64) error {
	w.leave()
	w.next, w.stop = iter.Pull2(w.r.Fold(w.ctx, w.hash, 0))
	w.seen, w.here, w.first = nil, 0, 1
	for {
		ok, err := w.forward()
		if err != nil || !ok || w.seen[w.here].Position.Offset >= offset {
			return err
		}
	}
}

// forward goes to the next moment; false: there is none.
func (w *walk) forward() (bool, error) {
	if w.here+1 < len(w.seen) {
		w.here++
		return true, nil
	}
	m, err, ok := w.next()
	if err != nil || !ok {
		return false, err
	}
	if len(w.seen) == 0 {
		w.counted = !m.HasPrevious()
	}
	if w.seen = append(w.seen, m); len(w.seen) > 2*keptMoments {
		w.first += int64(len(w.seen) - keptMoments)
		w.seen = append([]replay.Moment(nil), w.seen[len(w.seen)-keptMoments:]...)
	}
	w.here = len(w.seen) - 1
	return true, nil
}

// back goes to the moment before; false: there is none.
func (w *walk) back() (bool, error) {
	if w.here > 0 {
		w.here--
		return true, nil
	}
	if w.first == 1 {
		return false, nil
	}
	number, here := w.first-1, w.seen[0].Position.Offset
	if err := w.offset(here); err != nil {
		return false, err
	}
	for w.first+int64(w.here) > number && w.here > 0 {
		w.here--
	}
	return true, nil
}

func (w *walk) show() {
	m := &w.seen[w.here]
	v := m.Entry()
	if w.counted {
		v.Number = w.first + int64(w.here)
	}
	printEntry(w.out, v)
	d, err := replay.Diff(&m.Before, &m.After)
	if err != nil {
		fmt.Fprintln(w.out, "   ", err)
		return
	}
	printDifference(w.out, d, "    ")
	state := "(no state: the actor does not live)"
	if m.After.Alive {
		state = string(m.After.State)
	}
	fmt.Fprintf(w.out, "    state now %s\n", state)
}

const stepHelp = "n: next event, p: previous, g POINT: go to a position, number, time or how long ago, q: quit"

// run does what commands say until there are no more.
func (w *walk) run(next func() (string, bool)) error {
	for {
		command, ok := next()
		if !ok {
			return nil
		}
		command, rest, _ := strings.Cut(strings.TrimSpace(command), " ")
		var err error
		moved, end := true, ""
		switch command {
		case "n", "":
			moved, err = w.forward()
			end = "That was the last event."
		case "p":
			moved, err = w.back()
			end = "That was the first event."
		case "g":
			var p replay.Point
			if p, err = point("g", pointText(rest)); err == nil {
				err = w.to(p)
			}
			if errors.Is(err, replay.ErrPoint) {
				moved, end, err = false, err.Error(), nil
			}
		case "q":
			return nil
		default:
			moved, end = false, stepHelp
		}
		switch {
		case err != nil:
			return err
		case moved:
			w.show()
		default:
			fmt.Fprintln(w.out, end)
		}
	}
}

// commands reads commands: single keys from a terminal, lines from anything else.
func commands(in *os.File, out io.Writer) (next func() (string, bool)) {
	if !term.IsTerminal(int(in.Fd())) {
		lines := bufio.NewScanner(in)
		return func() (string, bool) {
			ok := lines.Scan()
			return lines.Text(), ok
		}
	}
	fmt.Fprintln(out, stepHelp)
	keys := bufio.NewReader(in)
	return func() (string, bool) {
		old, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return "", false
		}
		key, _, err := keys.ReadRune()
		if key == escape && err == nil {
			key = arrow(keys)
		}
		_ = term.Restore(int(in.Fd()), old)
		switch {
		case err != nil || key == 3 || key == 4: // Ctrl-C, Ctrl-D
			return "", false
		case key == ' ' || key == '\r' || key == '\n':
			return "n", true
		case key != 'g':
			return string(key), true
		}
		fmt.Fprint(out, "go to: ")
		line, err := keys.ReadString('\n')
		return "g " + strings.TrimSpace(line), err == nil
	}
}

// escape begins what a terminal sends for keys that are no characters.
const escape = 0x1b

// arrow reads the rest of such a key, which has come with its beginning: right and down are n, left and up are p, others are no command.
func arrow(keys *bufio.Reader) rune {
	if keys.Buffered() == 0 {
		return '?'
	}
	if kind, err := keys.ReadByte(); err != nil || (kind != '[' && kind != 'O') {
		return '?'
	}
	for keys.Buffered() > 0 {
		b, err := keys.ReadByte()
		switch {
		case err != nil:
			return '?'
		case b == 'B' || b == 'C':
			return 'n'
		case b == 'A' || b == 'D':
			return 'p'
		case b >= '@' && b <= '~': // the end of another key
			return '?'
		}
	}
	return '?'
}
