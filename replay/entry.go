package replay

import (
	"cmp"
	"encoding/json"
	"time"

	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Entry is one event for people and programs outside: a line of a history. Its JSON is what the command line and HTTP give; fields are added, never renamed.
type Entry struct {
	Position   string    `json:"position"`
	Time       time.Time `json:"time"`
	ActorID    string    `json:"actorId"`
	Namespace  string    `json:"namespace"`
	Kind       string    `json:"kind"`
	Key        []string  `json:"key"`
	Generation uint32    `json:"generation"`
	// Number of the event among those of its actor, from 1, where it is known.
	Number int64 `json:"number,omitempty"`
	// Ref of the action, its offset in the actions topic.
	Ref int64 `json:"ref"`
	// Type is what was asked: invoke, connect, fire, destroy, ..., as the fields of Action in records.proto; step of a recorded step.
	Type string `json:"type"`
	// Action is the name of the action that ran, of the step, or of the queue. Of a schedule that fired it is known where the event that set it is at hand.
	Action string `json:"action,omitempty"`
	// Args are the positional arguments, or Input the one input as a whole.
	Args  json.RawMessage `json:"args,omitempty"`
	Input json.RawMessage `json:"input,omitempty"`
	// Body of an action that is no call, but for its secrets.
	Body   json.RawMessage `json:"body,omitempty"`
	Caller *EntryCaller    `json:"caller,omitempty"`

	RequestID      string `json:"requestId,omitempty"`
	IdempotencyKey string `json:"idempotencyKey,omitempty"`
	// Result of the action; absent when it failed or returned nothing.
	Result json.RawMessage `json:"result,omitempty"`
	Error  *EntryError     `json:"error,omitempty"`
	// Patch is the change of the state, RFC 6902; or State the state as a whole.
	Patch json.RawMessage `json:"patch,omitempty"`
	State json.RawMessage `json:"state,omitempty"`

	Broadcasts   []EntryBroadcast `json:"broadcasts,omitempty"`
	Scheduled    []EntrySchedule  `json:"scheduled,omitempty"`
	Unscheduled  []string         `json:"unscheduled,omitempty"`
	Sends        []EntrySend      `json:"sends,omitempty"`
	Connected    []string         `json:"connected,omitempty"`
	Disconnected []string         `json:"disconnected,omitempty"`
	// Completed is the ids of queued messages that were acknowledged; Enqueued says that the message waits in its queue.
	Completed []int64 `json:"completed,omitempty"`
	Enqueued  bool    `json:"enqueued,omitempty"`
	// Lifecycle is created, destroyed, or both; empty for neither.
	Lifecycle string `json:"lifecycle,omitempty"`
	Woke      bool   `json:"woke,omitempty"`
	// Repeats is the position of the outcome that answers the request which this one repeats.
	Repeats string `json:"repeats,omitempty"`
	// Refused says that the mailbox was full.
	Refused bool `json:"refused,omitempty"`
	// Parked is how many owners the action ended before it was set aside.
	Parked     uint32   `json:"parked,omitempty"`
	Warnings   []string `json:"warnings,omitempty"`
	Frames     int      `json:"frames,omitempty"`
	Status     uint32   `json:"status,omitempty"`
	DurationUs int64    `json:"durationUs"`
	// Version of the code that ran, and of the state's schema where it is counted.
	Version      string `json:"version,omitempty"`
	StateVersion uint32 `json:"stateVersion,omitempty"`
	// Step is the number of a recorded step, Attempts how often it was tried.
	Step     *uint32 `json:"step,omitempty"`
	Attempts uint32  `json:"attempts,omitempty"`
	// Unreadable is why the event cannot be read.
	Unreadable string `json:"unreadable,omitempty"`
}

// EntryCaller says who asked.
type EntryCaller struct {
	Gateway      string `json:"gateway,omitempty"`
	ConnectionID string `json:"connectionId,omitempty"`
	Principal    string `json:"principal,omitempty"`
	// Actor is the one that asked, and Ref its action.
	Actor *EntryActor `json:"actor,omitempty"`
	Ref   *int64      `json:"ref,omitempty"`
	// Schedule that fired.
	Schedule string `json:"schedule,omitempty"`
}

// EntryActor names an actor.
type EntryActor struct {
	Namespace string   `json:"namespace"`
	Kind      string   `json:"kind"`
	Key       []string `json:"key"`
}

// EntryError is why an action failed. Detail is for operators only.
type EntryError struct {
	Group    string          `json:"group"`
	Code     string          `json:"code"`
	Message  string          `json:"message"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
	Detail   string          `json:"detail,omitempty"`
}

// EntryBroadcast is an event that subscribers saw.
type EntryBroadcast struct {
	Name   string          `json:"name"`
	Args   json.RawMessage `json:"args,omitempty"`
	To     string          `json:"to,omitempty"`
	Except []string        `json:"except,omitempty"`
}

// EntrySchedule is a schedule as it was set.
type EntrySchedule struct {
	ID      string          `json:"id"`
	Action  string          `json:"action"`
	Args    json.RawMessage `json:"args,omitempty"`
	Due     time.Time       `json:"due"`
	EveryMs int64           `json:"everyMs,omitempty"`
	Cron    string          `json:"cron,omitempty"`
	// TimeZone of the cron expression.
	TimeZone string `json:"timeZone,omitempty"`
	// Missed is what becomes of times that nobody could fire: skip or fireAll; absent when it fires once for all of them.
	Missed string `json:"missed,omitempty"`
	// MaxAttempts is how often it is tried, when more than once; Failed how many attempts have failed since it was last due.
	MaxAttempts uint32 `json:"maxAttempts,omitempty"`
	Failed      uint32 `json:"failed,omitempty"`
}

// EntrySend is a message to another actor.
type EntrySend struct {
	To     EntryActor      `json:"to"`
	Action string          `json:"action"`
	Args   json.RawMessage `json:"args,omitempty"`
	Number uint32          `json:"number"`
}

// Entry shows the event.
func (e *Event) Entry() *Entry {
	by := e.Actor()
	v := &Entry{
		Position: e.Position.String(), Time: e.Time(), ActorID: e.ID().String(), Ref: e.Ref(),
		Namespace: by.GetNamespace(), Kind: by.GetKind(), Key: keyOf(by), Generation: by.GetGeneration(),
	}
	switch {
	case e.Err != nil:
		v.Type, v.Unreadable = "unreadable", e.Err.Error()
	case e.Step != nil:
		s := e.Step
		v.Type, v.Action, v.Step, v.Attempts = "step", s.Name, &s.Number, s.Attempts
		v.Result, v.Error, v.DurationUs, v.Version = raw(s.ResultJson), errorOf(s.Error), s.DurationUs, s.CodeVersion
	default:
		v.outcome(e)
	}
	return v
}

func (v *Entry) outcome(e *Event) {
	o := e.Outcome
	v.asked(o.Action)
	v.Result, v.Error = raw(o.ResultJson), errorOf(o.Error)
	v.Patch, v.State = raw(o.PatchJson), raw(o.StateJson)
	for _, b := range o.Broadcasts {
		v.Broadcasts = append(v.Broadcasts, EntryBroadcast{Name: b.Name, Args: raw(b.ArgsJson), To: b.To, Except: b.Except})
	}
	for _, s := range o.Scheduled {
		v.Scheduled = append(v.Scheduled, scheduleOf(s))
	}
	v.Unscheduled = o.Unscheduled
	for _, s := range o.Sends {
		v.Sends = append(v.Sends, EntrySend{To: actorOf(s.Actor), Action: s.Invoke.GetName(), Args: given(s.Invoke), Number: s.Number})
	}
	for _, c := range o.Connected {
		v.Connected = append(v.Connected, c.Id)
	}
	for _, c := range o.Disconnected {
		v.Disconnected = append(v.Disconnected, c.Id)
	}
	for _, c := range o.Completed {
		v.Completed = append(v.Completed, c.MessageId)
	}
	v.Enqueued, v.Woke, v.Parked, v.Warnings, v.Frames = o.Enqueued, o.Woke, o.Parked, o.Warnings, len(o.Frames)
	v.Status, v.DurationUs, v.Version, v.StateVersion = o.Response.GetStatus(), o.DurationUs, o.CodeVersion, o.StateVersion
	v.Refused = o.RefusedSince != nil
	if o.Repeats != nil {
		v.Repeats = schemas.Position{Partition: e.Position.Partition, Offset: *o.Repeats}.String()
	}
	switch o.Lifecycle {
	case actorlogv1.Lifecycle_LIFECYCLE_CREATED:
		v.Lifecycle = "created"
	case actorlogv1.Lifecycle_LIFECYCLE_DESTROYED:
		v.Lifecycle = "destroyed"
	case actorlogv1.Lifecycle_LIFECYCLE_CREATED_AND_DESTROYED:
		v.Lifecycle = "created and destroyed"
	}
}

// asked shows the action.
func (v *Entry) asked(a *actorlogv1.Action) {
	v.Type, v.RequestID, v.IdempotencyKey = cmp.Or(schemas.BodyName(a), "unknown"), a.GetRequestId(), a.GetIdempotencyKey()
	caller := EntryCaller{
		Gateway: a.GetCaller().GetGateway(), ConnectionID: a.GetCaller().GetConnectionId(), Principal: a.GetCaller().GetPrincipal(),
	}
	if o := a.GetOrigin(); o != nil {
		by := actorOf(o.By)
		caller.Actor, caller.Ref = &by, &o.Ref
	}
	show := func(m any) {
		v.Body, _ = json.Marshal(m) // of texts and numbers only
	}
	switch b := a.GetBody().(type) {
	case *actorlogv1.Action_Invoke:
		v.Action, v.Args, v.Input = b.Invoke.Name, raw(b.Invoke.ArgsJson), raw(b.Invoke.InputJson)
	case *actorlogv1.Action_Fire:
		caller.Schedule = b.Fire.ScheduleId
		show(map[string]any{"schedule": b.Fire.ScheduleId, "due": time.UnixMilli(b.Fire.DueUnixMs).UTC()})
	case *actorlogv1.Action_Connect:
		show(map[string]any{"connection": a.Handshake.GetConnectionId(), "raw": b.Connect.Raw, "params": raw(a.Handshake.GetParamsJson())})
	case *actorlogv1.Action_Disconnect:
		show(map[string]any{"connection": b.Disconnect.ConnectionId, "code": b.Disconnect.Code, "reason": b.Disconnect.Reason})
	case *actorlogv1.Action_Subscribe:
		show(map[string]any{"events": b.Subscribe.Events})
	case *actorlogv1.Action_Enqueue:
		v.Action = b.Enqueue.Queue
		show(map[string]any{"queue": b.Enqueue.Queue, "message": raw(b.Enqueue.BodyJson)})
	case *actorlogv1.Action_Request:
		show(map[string]any{"method": b.Request.Method, "target": a.Handshake.GetTarget(), "bytes": len(b.Request.Body)})
	case *actorlogv1.Action_Restore:
		m := make(map[string]any)
		if from := b.Restore.Source; from != nil {
			m["of"] = actorOf(from.Actor)
			m["after"] = schemas.Position{Partition: from.Partition, Offset: from.Offset}.String()
			if from.Log != "" {
				m["log"] = from.Log
			}
		}
		if b.Restore.Reason != "" {
			m["reason"] = b.Restore.Reason
		}
		show(m)
	case *actorlogv1.Action_SocketMessage:
		m := map[string]any{"bytes": len(b.SocketMessage.Data)}
		if b.SocketMessage.Text {
			m["text"] = string(b.SocketMessage.Data)
		}
		show(m)
	}
	if a.GetUnparks() != 0 || a.GetDismiss() != nil {
		show(map[string]any{"unparks": a.GetUnparks()})
	}
	if caller != (EntryCaller{}) {
		v.Caller = &caller
	}
}

// names knows which action a schedule runs, from entries in order.
type names map[string]string

func (n names) take(v *Entry) {
	if v.Type == "fire" && v.Caller != nil {
		v.Action = n[v.Caller.Schedule]
	}
	for _, id := range v.Unscheduled {
		delete(n, id)
	}
	for _, s := range v.Scheduled {
		n[s.ID] = s.Action
	}
}

// given is what an action is given: its arguments, or its one input.
func given(i *actorlogv1.Invoke) json.RawMessage {
	if len(i.GetInputJson()) > 0 {
		return raw(append(append([]byte("["), i.InputJson...), ']'))
	}
	return raw(i.GetArgsJson())
}

func scheduleOf(s *actorlogv1.Schedule) EntrySchedule {
	v := EntrySchedule{
		ID: s.Id, Action: s.Action, Args: raw(s.ArgsJson), Due: time.UnixMilli(s.DueUnixMs).UTC(), EveryMs: s.EveryMs, Cron: s.Cron, TimeZone: s.TimeZone, Failed: s.Failed,
	}
	if s.MaxAttempts > 1 {
		v.MaxAttempts = s.MaxAttempts
	}
	switch s.Missed {
	case actorlogv1.Schedule_MISSED_SKIP:
		v.Missed = "skip"
	case actorlogv1.Schedule_MISSED_FIRE_ALL:
		v.Missed = "fireAll"
	case actorlogv1.Schedule_MISSED_UNSPECIFIED, actorlogv1.Schedule_MISSED_FIRE_ONCE:
	}
	return v
}

func actorOf(a *actorlogv1.Actor) EntryActor {
	return EntryActor{Namespace: a.GetNamespace(), Kind: a.GetKind(), Key: keyOf(a)}
}

func keyOf(a *actorlogv1.Actor) []string {
	if k := a.GetKey(); k != nil {
		return k
	}
	return []string{}
}

func errorOf(e *actorlogv1.Error) *EntryError {
	if e == nil {
		return nil
	}
	return &EntryError{Group: e.Group, Code: e.Code, Message: e.Message, Metadata: raw(e.MetadataJson), Detail: e.Detail}
}

// raw is JSON text of the log; as a JSON string where it is not valid.
func raw(b []byte) json.RawMessage {
	switch {
	case len(b) == 0:
		return nil
	case json.Valid(b):
		return b
	}
	text, _ := json.Marshal(string(b)) // a string can be
	return text
}
