package verify

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/internal/jsonpatch"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Difference is an outcome that the code at hand would have made otherwise.
type Difference struct {
	Place
	// Fields that differ, most telling first. At least one.
	Fields []Field
}

// String is several lines: the outcome, and a line for each field.
func (d *Difference) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s differs", &d.Place)
	for _, f := range d.Fields {
		fmt.Fprintf(&b, "\n\t%s", f)
	}
	return b.String()
}

// Field is one thing that differs, with both sides as JSON, or as text that says what there is instead; empty where there is nothing.
type Field struct {
	// Name of the field: error, state, patch, result, broadcasts, schedules and so on.
	Name string
	// At is where in it: an RFC 6901 JSON pointer, or the number of an entry. Empty: as a whole.
	At string
	// Recorded is what happened, Now what the code at hand makes of it.
	Recorded, Now string

	// fewer: now there is less of something, and all that there is was recorded.
	fewer bool
}

func (f Field) String() string {
	show := func(s string) string {
		if s == "" {
			return "nothing"
		}
		return s
	}
	at := ""
	if f.At != "" {
		at = " " + f.At
	}
	return fmt.Sprintf("%s%s: recorded %s, now %s", f.Name, at, show(f.Recorded), show(f.Now))
}

// compare notes what is different in what the machine came to.
func (x *attempt) compare(eff machine.Effects) {
	o := eff.Outcome
	if o == nil { // its action is answered in the history before it: it would not count
		x.differs("outcome", "", "", "none: the action is answered already")
		return
	}
	was := x.recorded
	x.compareCode()
	x.compareErrors(was.Error, o.Error)
	x.compareStates(was, o)
	if was.Error == nil && o.Error == nil && !x.sameResult(was, o) {
		x.json("result", was.ResultJson, o.ResultJson)
	}
	x.message("response", was.Response, o.Response)
	list(x, "broadcasts", was.Broadcasts, o.Broadcasts)
	list(x, "schedules", was.Scheduled, o.Scheduled)
	x.texts("unscheduled", was.Unscheduled, o.Unscheduled)
	list(x, "sends", was.Sends, o.Sends)
	list(x, "connections", was.Connected, o.Connected)
	list(x, "disconnections", withoutDetail(was.Disconnected), withoutDetail(o.Disconnected))
	list(x, "frames", was.Frames, o.Frames)
	list(x, "completions", was.Completed, o.Completed)
	x.texts("guarded events", was.GuardedEvents, o.GuardedEvents)
	x.texts("warnings", hooks(was.Warnings), hooks(o.Warnings))
	x.value("lifecycle", was.Lifecycle, o.Lifecycle)
	x.value("enqueued", was.Enqueued, o.Enqueued)
	x.value("generation", was.Actor.GetGeneration(), o.Actor.GetGeneration())
	x.value("time", was.TimeUnixMs, o.TimeUnixMs)
	x.value("principal", was.Action.GetCaller().GetPrincipal(), o.Action.GetCaller().GetPrincipal())
	x.value("repeats", optional(was.Repeats), optional(o.Repeats))
}

func (x *attempt) differs(name, at, recorded, now string) {
	x.fields = append(x.fields, Field{Name: name, At: at, Recorded: recorded, Now: now})
}

// compareCode is what the code asked of others.
func (x *attempt) compareCode() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.run == nil {
		return
	}
	if x.unrecorded != "" {
		x.differs("steps", "", "", x.unrecorded)
	} else if s := x.before.StepOf(x.recorded.Ref, x.steps); s != nil && s.CodeVersion == x.recorded.CodeVersion {
		x.differs("steps", "", fmt.Sprintf("step %d, %q", s.Number, s.Name), "")
	}
	for _, u := range x.unanswered {
		if u.known && x.recorded.Error == nil {
			x.differs("calls", "", "", "a call to "+u.to)
		}
	}
	if x.ambiguous > 1 {
		return // another run of it may have called others
	}
	for _, c := range x.c.answers.made(x.caller()) {
		if !x.made[c] && (x.recorded.Woke || c.number&wakes == 0) {
			x.differs("calls", "", fmt.Sprintf("call %d to %s", c.number&^wakes, c.to), "")
		}
	}
}

// wakes is set in the numbers of calls that OnWake makes.
const wakes = machine.WakeNumbers

func (x *attempt) compareErrors(was, now *actorlogv1.Error) {
	if was.GetGroup() == now.GetGroup() && was.GetCode() == now.GetCode() && was.GetMessage() == now.GetMessage() &&
		sameJSON(was.GetMetadataJson(), now.GetMetadataJson()) {
		return
	}
	x.differs("error", "", errorText(was), errorText(now))
}

func errorText(e *actorlogv1.Error) string {
	if e == nil {
		return ""
	}
	text := e.Group + "." + e.Code + ": " + e.Message
	if len(e.MetadataJson) > 0 {
		text += " " + string(e.MetadataJson)
	}
	if detail, _, _ := strings.Cut(e.Detail, "\n"); detail != "" {
		text += " (" + detail + ")"
	}
	return text
}

// compareStates compares what became of the state.
func (x *attempt) compareStates(was, now *actorlogv1.Outcome) {
	before := x.before.State
	if creates(was) || creates(now) {
		before = nil
	}
	a, errA := stateAfter(before, was)
	b, errB := stateAfter(before, now)
	if errA != nil || errB != nil {
		x.differs("patch", "", patchOf(was, errA), patchOf(now, errB))
		return
	}
	if sameJSON(a, b) {
		return
	}
	meant, lost := x.meant(a, b, was, now)
	if meant {
		if lost != "" {
			x.differs("state", lost, at(a, lost), "dropped: this code has no such field")
		}
		return
	}
	path, va, vb := firstDifference(a, b)
	x.differs("state", path, va, vb)
	x.differs("patch", "", patchOf(was, nil), patchOf(now, nil))
}

// meant says whether two states are the same to the code at hand, which may write them otherwise than the code that recorded the one: with more
// fields, or in another version. lost is where it drops what it should not, for no Upcast says that it means to.
func (x *attempt) meant(a, b []byte, was, now *actorlogv1.Outcome) (same bool, lost string) {
	if x.def == nil || a == nil || b == nil {
		return false, ""
	}
	versionA, versionB := x.before.StateVersion, x.before.StateVersion
	if len(was.StateJson)+len(was.PatchJson) > 0 {
		versionA = was.StateVersion
	}
	if len(now.StateJson)+len(now.PatchJson) > 0 {
		versionB = now.StateVersion
	}
	rewritten, err := x.rewrite(a, versionA)
	if err != nil {
		return false, ""
	}
	other, err := x.rewrite(b, versionB)
	if err != nil || !sameJSON(rewritten, other) {
		return false, ""
	}
	if versionA != x.def.StateVersion() {
		return true, ""
	}
	return true, firstLost(a, rewritten)
}

func (x *attempt) rewrite(state []byte, version uint32) (out []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	live, err := x.def.Load(state, version)
	if err != nil {
		return nil, err
	}
	return x.def.Save(live)
}

// sameResult compares results. That of a Read is the state.
func (x *attempt) sameResult(was, now *actorlogv1.Outcome) bool {
	if sameJSON(was.ResultJson, now.ResultJson) {
		return true
	}
	if was.Action.GetRead() == nil {
		return false
	}
	same, lost := x.meant(was.ResultJson, now.ResultJson, was, now)
	return same && lost == ""
}

// stateAfter is the state that an outcome leaves, if its actor lives.
func stateAfter(before []byte, o *actorlogv1.Outcome) ([]byte, error) {
	switch {
	case len(o.StateJson) > 0:
		return o.StateJson, nil
	case len(o.PatchJson) > 0:
		return jsonpatch.Apply(before, o.PatchJson)
	}
	return before, nil
}

// patchOf is the change of an outcome as it is recorded.
func patchOf(o *actorlogv1.Outcome, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case len(o.StateJson) > 0:
		return `[{"op":"replace","path":"","value":` + string(o.StateJson) + `}]`
	}
	return string(o.PatchJson)
}

func sameJSON(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	patch, err := jsonpatch.Diff(a, b)
	return err == nil && len(patch) == 0
}

func (x *attempt) json(name string, was, now []byte) {
	path, a, b := firstDifference(was, now)
	x.differs(name, path, a, b)
}

func (x *attempt) value(name string, was, now any) {
	if was != now {
		x.differs(name, "", fmt.Sprint(was), fmt.Sprint(now))
	}
}

func optional(n *int64) string {
	if n == nil {
		return ""
	}
	return fmt.Sprint(*n)
}

func (x *attempt) message(name string, was, now proto.Message) {
	if !proto.Equal(was, now) {
		x.json(name, asJSON(was), asJSON(now))
	}
}

// list compares entry by entry and tells of the first that differs.
func list[M proto.Message](x *attempt, name string, was, now []M) {
	if len(was) == 0 && len(now) == 0 {
		return
	}
	equal := slices.EqualFunc(was, now, func(a, b M) bool { return proto.Equal(a, b) })
	if !equal {
		x.texts(name, rendered(was), rendered(now))
	}
}

func rendered[M proto.Message](list []M) []string {
	texts := make([]string, len(list))
	for i, m := range list {
		texts[i] = string(asJSON(m))
	}
	return texts
}

func (x *attempt) texts(name string, was, now []string) {
	same := func(a, b string) bool { return a == b || sameJSON([]byte(a), []byte(b)) }
	i := 0
	for i < len(was) && i < len(now) && same(was[i], now[i]) {
		i++
	}
	if i == len(was) && i == len(now) {
		return
	}
	f := Field{Name: name, At: fmt.Sprint(i)}
	if i < len(was) {
		f.Recorded = was[i]
	}
	if i < len(now) {
		f.Now = now[i]
	}
	rest := was
	for _, text := range now {
		j := slices.IndexFunc(rest, func(other string) bool { return same(text, other) })
		if j < 0 {
			rest = nil
			break
		}
		rest = rest[j+1:]
	}
	f.fewer = len(now) < len(was) && (rest != nil || len(now) == 0)
	x.fields = append(x.fields, f)
}

// hooks is the names of the hooks that failed. The rest of a warning may say anything.
func hooks(warnings []string) []string {
	var names []string
	for _, w := range warnings {
		name, _, _ := strings.Cut(w, ":")
		names = append(names, name)
	}
	return names
}

// withoutDetail leaves out what is for operators.
func withoutDetail(list []*actorlogv1.Disconnected) []*actorlogv1.Disconnected {
	if !slices.ContainsFunc(list, func(d *actorlogv1.Disconnected) bool { return d.Error.GetDetail() != "" }) {
		return list
	}
	var kept []*actorlogv1.Disconnected
	for _, d := range list {
		d = proto.CloneOf(d)
		if d.Error != nil {
			d.Error.Detail = ""
		}
		kept = append(kept, d)
	}
	return kept
}
