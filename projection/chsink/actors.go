package chsink

import (
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/actorlog/actorlog/projection"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// actorColumns is a block of rows of actors. Their names and types are those of migrations.
type actorColumns struct {
	actor                                   proto.ColStr
	offset                                  proto.ColInt64
	shard                                   proto.ColInt32
	time                                    *proto.ColDateTime64
	namespace, kind                         *lowText
	key                                     *textList
	generation                              proto.ColUInt32
	actorID                                 proto.ColStr
	alive                                   proto.ColBool
	created                                 *proto.ColDateTime64
	state                                   proto.ColStr
	stateVersion                            proto.ColUInt32
	broken                                  proto.ColStr
	connID, connGateway, connPrincipal      *textList
	connSince                               *proto.ColArr[time.Time]
	connRaw                                 *proto.ColArr[bool]
	connTarget, connParams, connState       *textList
	schedID, schedAction, schedArgs         *textList
	schedDue                                *proto.ColArr[time.Time]
	schedEvery                              *proto.ColArr[int64]
	schedCron, schedZone                    *textList
	schedFailed                             *proto.ColArr[uint32]
	schedSet                                *proto.ColArr[time.Time]
	parkedRef, parkedOffset                 *proto.ColArr[int64]
	parkedTime                              *proto.ColArr[time.Time]
	parkedBody, parkedAction, parkedRequest *textList
	parkedWorkers                           *proto.ColArr[uint32]
	rest                                    proto.ColStr

	input proto.Input
}

func newActorColumns() *actorColumns {
	c := &actorColumns{
		time: newTimes(), namespace: newLow(), kind: newLow(), key: newTexts(), created: newTimes(),
		connID: newTexts(), connGateway: newTexts(), connPrincipal: newTexts(), connSince: newTimeList(), connRaw: new(proto.ColBool).Array(),
		connTarget: newTexts(), connParams: newTexts(), connState: newTexts(),
		schedID: newTexts(), schedAction: newTexts(), schedArgs: newTexts(), schedDue: newTimeList(), schedEvery: new(proto.ColInt64).Array(),
		schedCron: newTexts(), schedZone: newTexts(), schedFailed: new(proto.ColUInt32).Array(), schedSet: newTimeList(),
		parkedRef: new(proto.ColInt64).Array(), parkedOffset: new(proto.ColInt64).Array(), parkedTime: newTimeList(),
		parkedBody: newTexts(), parkedAction: newTexts(), parkedRequest: newTexts(), parkedWorkers: new(proto.ColUInt32).Array(),
	}
	c.input = proto.Input{
		{Name: "actor", Data: &c.actor}, {Name: "offset", Data: &c.offset}, {Name: "shard", Data: &c.shard}, {Name: "time", Data: c.time},
		{Name: "namespace", Data: c.namespace}, {Name: "kind", Data: c.kind}, {Name: "key", Data: c.key}, {Name: "generation", Data: &c.generation},
		{Name: "actor_id", Data: &c.actorID}, {Name: "alive", Data: &c.alive}, {Name: "created_at", Data: c.created},
		{Name: "state", Data: &c.state}, {Name: "state_version", Data: &c.stateVersion}, {Name: "broken", Data: &c.broken},
		{Name: "connections.id", Data: c.connID}, {Name: "connections.gateway", Data: c.connGateway}, {Name: "connections.principal", Data: c.connPrincipal},
		{Name: "connections.since", Data: c.connSince}, {Name: "connections.raw", Data: c.connRaw}, {Name: "connections.target", Data: c.connTarget},
		{Name: "connections.params", Data: c.connParams}, {Name: "connections.state", Data: c.connState},
		{Name: "schedules.id", Data: c.schedID}, {Name: "schedules.action", Data: c.schedAction}, {Name: "schedules.args", Data: c.schedArgs},
		{Name: "schedules.due", Data: c.schedDue}, {Name: "schedules.every_ms", Data: c.schedEvery}, {Name: "schedules.cron", Data: c.schedCron},
		{Name: "schedules.time_zone", Data: c.schedZone}, {Name: "schedules.failed", Data: c.schedFailed}, {Name: "schedules.set_at", Data: c.schedSet},
		{Name: "parked.ref", Data: c.parkedRef}, {Name: "parked.offset", Data: c.parkedOffset}, {Name: "parked.time", Data: c.parkedTime},
		{Name: "parked.body", Data: c.parkedBody}, {Name: "parked.action", Data: c.parkedAction}, {Name: "parked.request_id", Data: c.parkedRequest},
		{Name: "parked.workers", Data: c.parkedWorkers}, {Name: "rest", Data: &c.rest},
	}
	return c
}

func (c *actorColumns) append(a *projection.Actor) {
	id := a.ID().String()
	c.actor.Append(id[:hashLen])
	c.offset.Append(a.LastOffset)
	c.shard.Append(a.Shard)
	appendMs(c.time, projection.ClampMs(a.TimeMs))
	c.namespace.Append(a.Namespace)
	c.kind.Append(a.Kind)
	appendTexts(c.key, a.Key)
	c.generation.Append(a.Generation)
	c.actorID.Append(id)
	c.alive.Append(a.Alive)
	appendMs(c.created, projection.ClampMs(a.CreatedMs))
	c.state.AppendBytes(a.State)
	c.stateVersion.Append(a.StateVersion)
	c.broken.Append(a.Broken)
	c.appendConnections(a.Connections)
	c.appendSchedules(a.Schedules)
	c.appendParked(a.Parked)
	c.rest.AppendBytes(a.Rest())
}

func (c *actorColumns) appendConnections(list []*actorlogv1.Connection) {
	each(c.connID, list, (*actorlogv1.Connection).GetId)
	each(c.connGateway, list, (*actorlogv1.Connection).GetGateway)
	each(c.connPrincipal, list, (*actorlogv1.Connection).GetPrincipal)
	each(c.connSince, list, func(n *actorlogv1.Connection) time.Time { return msTime(n.TimeUnixMs) })
	each(c.connRaw, list, (*actorlogv1.Connection).GetRaw)
	each(c.connTarget, list, (*actorlogv1.Connection).GetTarget)
	each(c.connParams, list, func(n *actorlogv1.Connection) string { return string(n.ParamsJson) })
	each(c.connState, list, func(n *actorlogv1.Connection) string { return string(n.StateJson) })
}

func (c *actorColumns) appendSchedules(list []*actorlogv1.Schedule) {
	each(c.schedID, list, (*actorlogv1.Schedule).GetId)
	each(c.schedAction, list, (*actorlogv1.Schedule).GetAction)
	each(c.schedArgs, list, func(s *actorlogv1.Schedule) string { return string(s.ArgsJson) })
	each(c.schedDue, list, func(s *actorlogv1.Schedule) time.Time { return msTime(s.DueUnixMs) })
	each(c.schedEvery, list, (*actorlogv1.Schedule).GetEveryMs)
	each(c.schedCron, list, (*actorlogv1.Schedule).GetCron)
	each(c.schedZone, list, (*actorlogv1.Schedule).GetTimeZone)
	each(c.schedFailed, list, (*actorlogv1.Schedule).GetFailed)
	each(c.schedSet, list, func(s *actorlogv1.Schedule) time.Time { return msTime(s.SetUnixMs) })
}

func (c *actorColumns) appendParked(list []projection.Parked) {
	each(c.parkedRef, list, func(p projection.Parked) int64 { return p.Ref })
	each(c.parkedOffset, list, func(p projection.Parked) int64 { return p.Offset })
	each(c.parkedTime, list, func(p projection.Parked) time.Time { return msTime(p.TimeMs) })
	each(c.parkedBody, list, func(p projection.Parked) string { return p.Body })
	each(c.parkedAction, list, func(p projection.Parked) string { return p.Action })
	each(c.parkedRequest, list, func(p projection.Parked) string { return p.RequestID })
	each(c.parkedWorkers, list, func(p projection.Parked) uint32 { return p.Workers })
}
