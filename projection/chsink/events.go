package chsink

import (
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/actorlog/actorlog/projection"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// eventColumns is a block of rows of events. Their names and types are those of migrations.
type eventColumns struct {
	shard                                     proto.ColInt32
	offset, ref, epoch                        proto.ColInt64
	time, asked                               *proto.ColDateTime64
	namespace, kind                           *lowText
	key                                       *textList
	actor, actorID                            proto.ColStr
	generation                                proto.ColUInt32
	body, action                              *lowText
	args, schedule, connection, target        proto.ColStr
	creation                                  proto.ColBool
	gateway                                   *lowText
	callerConnection, principal               proto.ColStr
	byActor                                   proto.ColBool
	callerActor                               proto.ColStr
	callerNamespace, callerKind               *lowText
	callerKey                                 *textList
	callerGeneration                          proto.ColUInt32
	callerShard                               proto.ColInt32
	callerRef                                 proto.ColInt64
	callerNumber                              proto.ColUInt32
	requestID, idempotencyKey, result         proto.ColStr
	failed                                    proto.ColBool
	errorGroup, errorCode                     *lowText
	errorMessage, errorMetadata, errorDetail  proto.ColStr
	patch, state                              proto.ColStr
	patchPaths                                *textList
	stateVersion                              proto.ColUInt32
	broadcastName, broadcastArgs, broadcastTo *textList
	broadcastExcept                           *proto.ColArr[[]string]
	setID, setAction, setArgs                 *textList
	setDue                                    *proto.ColArr[time.Time]
	over                                      *textList
	sendNamespace, sendKind                   *textList
	sendKey                                   *proto.ColArr[[]string]
	sendAction, sendArgs                      *textList
	sendNumber                                *proto.ColArr[uint32]
	connected, disconnected                   *textList
	lifecycle                                 *lowText
	woke                                      proto.ColBool
	duration                                  proto.ColInt64
	version                                   *lowText
	warnings                                  *textList
	status                                    proto.ColUInt16
	repeats, unparks                          proto.ColInt64
	parked                                    proto.ColUInt32
	refused                                   proto.ColBool

	input proto.Input
}

func newEventColumns() *eventColumns {
	c := &eventColumns{
		time: newTimes(), asked: newTimes(), namespace: newLow(), kind: newLow(), key: newTexts(), body: newLow(), action: newLow(), gateway: newLow(),
		callerNamespace: newLow(), callerKind: newLow(), callerKey: newTexts(), errorGroup: newLow(), errorCode: newLow(), patchPaths: newTexts(),
		broadcastName: newLows(), broadcastArgs: newTexts(), broadcastTo: newTexts(), broadcastExcept: newTextLists(),
		setID: newTexts(), setAction: newTexts(), setArgs: newTexts(), setDue: newTimeList(), over: newTexts(),
		sendNamespace: newTexts(), sendKind: newTexts(), sendKey: newTextLists(), sendAction: newTexts(), sendArgs: newTexts(),
		sendNumber: new(proto.ColUInt32).Array(), connected: newTexts(), disconnected: newTexts(), lifecycle: newLow(), version: newLow(), warnings: newTexts(),
	}
	c.input = proto.Input{
		{Name: "shard", Data: &c.shard}, {Name: "offset", Data: &c.offset}, {Name: "ref", Data: &c.ref}, {Name: "epoch", Data: &c.epoch},
		{Name: "time", Data: c.time}, {Name: "asked_at", Data: c.asked},
		{Name: "namespace", Data: c.namespace}, {Name: "kind", Data: c.kind}, {Name: "key", Data: c.key}, {Name: "actor", Data: &c.actor},
		{Name: "generation", Data: &c.generation}, {Name: "actor_id", Data: &c.actorID},
		{Name: "body", Data: c.body}, {Name: "action", Data: c.action}, {Name: "args", Data: &c.args},
		{Name: "schedule", Data: &c.schedule}, {Name: "connection", Data: &c.connection}, {Name: "target", Data: &c.target}, {Name: "creation", Data: &c.creation},
		{Name: "caller_gateway", Data: c.gateway}, {Name: "caller_connection", Data: &c.callerConnection}, {Name: "caller_principal", Data: &c.principal},
		{Name: "caller_is_actor", Data: &c.byActor}, {Name: "caller_actor", Data: &c.callerActor}, {Name: "caller_namespace", Data: c.callerNamespace},
		{Name: "caller_kind", Data: c.callerKind}, {Name: "caller_key", Data: c.callerKey}, {Name: "caller_generation", Data: &c.callerGeneration},
		{Name: "caller_shard", Data: &c.callerShard}, {Name: "caller_ref", Data: &c.callerRef}, {Name: "caller_number", Data: &c.callerNumber},
		{Name: "request_id", Data: &c.requestID}, {Name: "idempotency_key", Data: &c.idempotencyKey},
		{Name: "result", Data: &c.result}, {Name: "failed", Data: &c.failed}, {Name: "error_group", Data: c.errorGroup}, {Name: "error_code", Data: c.errorCode},
		{Name: "error_message", Data: &c.errorMessage}, {Name: "error_metadata", Data: &c.errorMetadata}, {Name: "error_detail", Data: &c.errorDetail},
		{Name: "patch", Data: &c.patch}, {Name: "patch_paths", Data: c.patchPaths}, {Name: "state", Data: &c.state}, {Name: "state_version", Data: &c.stateVersion},
		{Name: "broadcasts.name", Data: c.broadcastName}, {Name: "broadcasts.args", Data: c.broadcastArgs},
		{Name: "broadcasts.to", Data: c.broadcastTo}, {Name: "broadcasts.except", Data: c.broadcastExcept},
		{Name: "schedules_set.id", Data: c.setID}, {Name: "schedules_set.action", Data: c.setAction}, {Name: "schedules_set.args", Data: c.setArgs},
		{Name: "schedules_set.due", Data: c.setDue}, {Name: "schedules_over", Data: c.over},
		{Name: "sends.namespace", Data: c.sendNamespace}, {Name: "sends.kind", Data: c.sendKind}, {Name: "sends.key", Data: c.sendKey},
		{Name: "sends.action", Data: c.sendAction}, {Name: "sends.args", Data: c.sendArgs}, {Name: "sends.number", Data: c.sendNumber},
		{Name: "connected", Data: c.connected}, {Name: "disconnected", Data: c.disconnected}, {Name: "lifecycle", Data: c.lifecycle},
		{Name: "woke", Data: &c.woke}, {Name: "duration_us", Data: &c.duration}, {Name: "version", Data: c.version}, {Name: "warnings", Data: c.warnings},
		{Name: "status", Data: &c.status}, {Name: "repeats", Data: &c.repeats}, {Name: "unparks", Data: &c.unparks}, {Name: "parked", Data: &c.parked},
		{Name: "refused", Data: &c.refused},
	}
	return c
}

func (c *eventColumns) append(e *projection.Event) {
	c.shard.Append(e.Position.Partition)
	c.offset.Append(e.Position.Offset)
	c.ref.Append(e.Ref)
	c.epoch.Append(e.Epoch)
	appendMs(c.time, e.TimeMs)
	appendMs(c.asked, e.AskedMs)
	c.namespace.Append(e.Actor.Namespace)
	c.kind.Append(e.Actor.Kind)
	appendTexts(c.key, e.Actor.Key)
	id := e.Actor.ID()
	c.actor.Append(id[:hashLen])
	c.generation.Append(e.Actor.Generation)
	c.actorID.Append(id)
	c.body.Append(e.Body)
	c.action.Append(e.Action)
	c.args.AppendBytes(e.Args)
	c.schedule.Append(e.Schedule)
	c.connection.Append(e.Connection)
	c.target.Append(e.Target)
	c.creation.Append(e.Creation)
	c.appendCaller(&e.Caller)
	c.requestID.Append(e.RequestID)
	c.idempotencyKey.Append(e.IdempotencyKey)
	c.result.AppendBytes(e.Result)
	c.failed.Append(e.Failed)
	c.errorGroup.Append(e.Error.Group)
	c.errorCode.Append(e.Error.Code)
	c.errorMessage.Append(e.Error.Message)
	c.errorMetadata.AppendBytes(e.Error.Metadata)
	c.errorDetail.Append(e.Error.Detail)
	c.patch.AppendBytes(e.Patch)
	appendTexts(c.patchPaths, e.PatchPaths)
	c.state.AppendBytes(e.State)
	c.stateVersion.Append(e.StateVersion)
	c.appendEffects(e)
	appendTexts(c.connected, e.Connected)
	appendTexts(c.disconnected, e.Disconnected)
	c.lifecycle.Append(e.Lifecycle)
	c.woke.Append(e.Woke)
	c.duration.Append(e.DurationUs)
	c.version.Append(e.Version)
	appendTexts(c.warnings, e.Warnings)
	c.status.Append(uint16(min(e.Status, 999)))
	c.repeats.Append(e.Repeats)
	c.unparks.Append(e.Unparks)
	c.parked.Append(e.Parked)
	c.refused.Append(e.Refused)
}

func (c *eventColumns) appendCaller(by *projection.Caller) {
	c.gateway.Append(by.Gateway)
	c.callerConnection.Append(by.Connection)
	c.principal.Append(by.Principal)
	c.byActor.Append(by.ByActor)
	if by.ByActor {
		c.callerActor.Append(by.Actor.Hash.String())
	} else {
		c.callerActor.Append("")
	}
	c.callerNamespace.Append(by.Actor.Namespace)
	c.callerKind.Append(by.Actor.Kind)
	appendTexts(c.callerKey, by.Actor.Key)
	c.callerGeneration.Append(by.Actor.Generation)
	c.callerShard.Append(by.Shard)
	c.callerRef.Append(by.Ref)
	c.callerNumber.Append(by.Number)
}

// appendEffects is what else the outcome did: one entry in each of the parallel arrays.
func (c *eventColumns) appendEffects(e *projection.Event) {
	each(c.broadcastName, e.Broadcasts, (*actorlogv1.Broadcast).GetName)
	each(c.broadcastArgs, e.Broadcasts, func(b *actorlogv1.Broadcast) string { return string(b.ArgsJson) })
	each(c.broadcastTo, e.Broadcasts, (*actorlogv1.Broadcast).GetTo)
	each(c.broadcastExcept, e.Broadcasts, (*actorlogv1.Broadcast).GetExcept)

	each(c.setID, e.Scheduled, (*actorlogv1.Schedule).GetId)
	each(c.setAction, e.Scheduled, (*actorlogv1.Schedule).GetAction)
	each(c.setArgs, e.Scheduled, func(s *actorlogv1.Schedule) string { return string(s.ArgsJson) })
	each(c.setDue, e.Scheduled, func(s *actorlogv1.Schedule) time.Time { return msTime(s.DueUnixMs) })
	appendTexts(c.over, e.Unscheduled)

	each(c.sendNamespace, e.Sends, func(s *actorlogv1.Send) string { return s.GetActor().GetNamespace() })
	each(c.sendKind, e.Sends, func(s *actorlogv1.Send) string { return s.GetActor().GetKind() })
	each(c.sendKey, e.Sends, func(s *actorlogv1.Send) []string { return s.GetActor().GetKey() })
	each(c.sendAction, e.Sends, func(s *actorlogv1.Send) string { return s.GetInvoke().GetName() })
	each(c.sendArgs, e.Sends, func(s *actorlogv1.Send) string {
		if in := s.GetInvoke().GetInputJson(); len(in) > 0 {
			return string(in)
		}
		return string(s.GetInvoke().GetArgsJson())
	})
	each(c.sendNumber, e.Sends, (*actorlogv1.Send).GetNumber)
}
