package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
)

const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// title is an entry in one line.
func title(v *replay.Entry) string {
	var b strings.Builder
	b.WriteString(v.Position + "  ")
	if v.Number > 0 {
		fmt.Fprintf(&b, "#%d  ", v.Number)
	}
	b.WriteString(v.Time.Format(timeLayout) + "  " + what(v))
	switch {
	case v.Unreadable != "":
		b.WriteString(": " + v.Unreadable)
	case v.Error != nil:
		fmt.Fprintf(&b, " failed: %s.%s: %s", v.Error.Group, v.Error.Code, v.Error.Message)
	case len(v.Result) > 0:
		fmt.Fprintf(&b, " = %s", v.Result)
	}
	return printable(b.String())
}

// printable is text in one line in which control characters are escaped: keys, names and messages are what clients say, and must not move a terminal's cursor or look like
// lines of ours.
func printable(text string) string {
	if !strings.ContainsFunc(text, unicode.IsControl) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if unicode.IsControl(r) {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// what was asked.
func what(v *replay.Entry) string {
	args := list(v.Args)
	if len(v.Input) > 0 {
		args = string(v.Input)
	}
	switch {
	case v.Type == "step":
		return "step " + v.Action
	case v.Type == "invoke":
		return v.Action + "(" + args + ")"
	case v.Type == "fire" && v.Action != "":
		return "fire " + v.Action + "()"
	case len(v.Body) > 0:
		return v.Type + " " + string(v.Body)
	}
	return v.Type
}

// list is a JSON array without its brackets.
func list(args json.RawMessage) string {
	return strings.TrimSuffix(strings.TrimPrefix(string(args), "["), "]")
}

// whose names the actor of an entry.
func whose(v *replay.Entry) string { return printable(v.Kind + " " + schemas.Key(v.Key).String()) }

// printEntry prints all there is to say about an event.
func printEntry(w io.Writer, v *replay.Entry) {
	fmt.Fprintln(w, title(v))
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "    %-9s %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	line("by", "%s", caller(v))
	if v.RequestID != "" {
		id := v.RequestID
		if v.IdempotencyKey != "" {
			id += ", idempotency key " + v.IdempotencyKey
		}
		line("request", "%s", id)
	}
	took := (time.Duration(v.DurationUs) * time.Microsecond).String()
	if v.Version != "" {
		took += ", code " + v.Version
	}
	if v.StateVersion > 0 {
		took += fmt.Sprintf(", state version %d", v.StateVersion)
	}
	if v.Woke {
		took += ", woke for it"
	}
	line("took", "%s", took)
	if v.Lifecycle != "" {
		line("life", "%s, generation %d", v.Lifecycle, v.Generation)
	}
	if v.Error != nil && v.Error.Detail != "" {
		name := "detail"
		for text := range strings.Lines(v.Error.Detail) {
			line(name, "%s", strings.ReplaceAll(strings.TrimRight(text, "\n"), "\t", "    "))
			name = ""
		}
	}
	if len(v.State) > 0 {
		line("state", "%s", v.State)
	}
	for _, op := range operations(v.Patch) {
		line("patch", "%s", op)
	}
	for _, b := range v.Broadcasts {
		to := ""
		if b.To != "" {
			to = " to " + b.To
		}
		if len(b.Except) > 0 {
			to = " to all but " + strings.Join(b.Except, ", ")
		}
		line("event", "%s %s%s", b.Name, b.Args, to)
	}
	printRest(line, v)
}

func printRest(line func(name, format string, args ...any), v *replay.Entry) {
	for _, s := range v.Scheduled {
		line("schedule", "%s", schedule(s))
	}
	for _, id := range v.Unscheduled {
		line("schedule", "%s is over", id)
	}
	for _, s := range v.Sends {
		line("send", "%s %s: %s(%s)", s.To.Kind, schemas.Key(s.To.Key), s.Action, list(s.Args))
	}
	for _, id := range v.Connected {
		line("connection", "%s is there", id)
	}
	for _, id := range v.Disconnected {
		line("connection", "%s is gone", id)
	}
	for _, id := range v.Completed {
		line("queue", "message %d completed", id)
	}
	if v.Enqueued {
		line("queue", "message %d waits in %s", v.Ref, v.Action)
	}
	if v.Status > 0 {
		line("status", "%d", v.Status)
	}
	if v.Frames > 0 {
		line("frames", "%d to raw sockets", v.Frames)
	}
	if v.Repeats != "" {
		line("repeats", "%s", v.Repeats)
	}
	if v.Refused {
		line("refused", "the mailbox was full")
	}
	if v.Parked > 0 {
		line("parked", "after %d workers", v.Parked)
	}
	for _, text := range v.Warnings {
		line("warning", "%s", text)
	}
}

func schedule(s replay.EntrySchedule) string {
	text := fmt.Sprintf("%s: %s(%s) at %s", s.ID, s.Action, list(s.Args), s.Due.Format(timeLayout))
	if s.EveryMs > 0 {
		text += ", every " + (time.Duration(s.EveryMs) * time.Millisecond).String()
	}
	if s.Cron != "" {
		text += ", cron " + s.Cron
	}
	if s.TimeZone != "" {
		text += " in " + s.TimeZone
	}
	switch s.Missed {
	case "skip":
		text += ", skips what it missed"
	case "fireAll":
		text += ", makes up for all that it missed"
	}
	if s.MaxAttempts > 0 {
		text += fmt.Sprintf(", up to %d attempts", s.MaxAttempts)
	}
	if s.Failed > 0 {
		text += fmt.Sprintf(", %d failed", s.Failed)
	}
	return text
}

func caller(v *replay.Entry) string {
	c := v.Caller
	switch {
	case c == nil:
		return "the system"
	case c.Actor != nil:
		return fmt.Sprintf("actor %s %s, its action %d", c.Actor.Kind, schemas.Key(c.Actor.Key), *c.Ref)
	case c.Schedule != "":
		return "schedule " + c.Schedule
	}
	who := c.Principal
	if who == "" {
		who = "anonymous"
	}
	if c.ConnectionID != "" {
		who += ", connection " + c.ConnectionID
	}
	if c.Gateway != "" {
		who += ", gateway " + c.Gateway
	}
	return who
}

// operations are those of a patch, one a line.
func operations(patch json.RawMessage) []string {
	var ops []struct {
		Op    string          `json:"op"`
		Path  string          `json:"path"`
		Value json.RawMessage `json:"value"`
	}
	if len(patch) == 0 {
		return nil
	}
	if err := json.Unmarshal(patch, &ops); err != nil {
		return []string{string(patch)}
	}
	lines := make([]string, 0, len(ops))
	for _, op := range ops {
		text := op.Op + " " + path(op.Path)
		if len(op.Value) > 0 {
			text += " = " + string(op.Value)
		}
		lines = append(lines, text)
	}
	return lines
}

// path is a JSON pointer; that of the whole document is empty, which nobody would see.
func path(pointer string) string {
	if pointer == "" {
		return "(all)"
	}
	return pointer
}

// printDifference prints what changed, one change a line.
func printDifference(w io.Writer, d *replay.Difference, indent string) {
	if len(d.Changes)+len(d.Parts) == 0 {
		fmt.Fprintf(w, "%snothing changed\n", indent)
	}
	for _, c := range append(d.Changes[:len(d.Changes):len(d.Changes)], d.Parts...) {
		switch {
		case c.Op == "add":
			fmt.Fprintf(w, "%s+ %s: %s\n", indent, path(c.Path), c.After)
		case c.Op == "remove":
			fmt.Fprintf(w, "%s- %s: %s\n", indent, path(c.Path), c.Before)
		case c.Before == nil:
			fmt.Fprintf(w, "%s~ %s: %s\n", indent, path(c.Path), c.After)
		default:
			fmt.Fprintf(w, "%s~ %s: %s -> %s\n", indent, path(c.Path), c.Before, c.After)
		}
	}
}

// jsonLine prints a value as one line of JSON, with <, > and & as they are.
func jsonLine(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// indented prints a value as JSON for people.
func indented(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
