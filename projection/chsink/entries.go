package chsink

import (
	"context"
	"strconv"
	"strings"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"

	"github.com/actorlog/actorlog/audit"
	"github.com/actorlog/actorlog/schemas"
)

// orders are how events are sorted, and what comes after a cursor.
var orders = map[audit.Order][2]string{
	audit.Oldest:  {"time, shard, offset", "(toUnixTimestamp64Milli(time), shard, offset) > ({after_time:Int64}, {after_shard:Int32}, {after_offset:Int64})"},
	audit.Newest:  {"time DESC, shard DESC, offset DESC", "(toUnixTimestamp64Milli(time), shard, offset) < ({after_time:Int64}, {after_shard:Int32}, {after_offset:Int64})"},
	audit.Slowest: {"duration_us DESC, shard, offset", "(-duration_us, shard, offset) > ({after_duration:Int64}, {after_shard:Int32}, {after_offset:Int64})"},
}

// Events implements [audit.Store].
func (s *Store) Events(ctx context.Context, q audit.Events) (audit.Page[audit.Entry], error) {
	after, err := q.Prepare()
	if err != nil {
		return audit.Page[audit.Entry]{}, err
	}
	c := conditionsOf(&q.Filter)
	if after != nil {
		c.add(orders[q.Order][1])
		c.params.number("after_time", after.TimeMs)
		c.params.number("after_duration", -after.DurationUs)
		c.params.number("after_shard", int64(after.Shard))
		c.params.number("after_offset", after.Offset)
	}
	var entries []audit.Entry
	r := newEntryColumns()
	err = s.db.ask(ctx, ch.Query{
		Body:       s.db.fill("SELECT "+r.names()+" FROM {db}.events", 0) + c.where() + " ORDER BY " + orders[q.Order][0] + " LIMIT " + strconv.Itoa(q.Limit+1),
		Parameters: c.params, Settings: eventSettings, Result: r.all,
		OnResult: func(context.Context, proto.Block) error {
			for i := range r.shard.Rows() {
				entries = append(entries, r.entry(&q.Filter, i))
			}
			return nil
		},
	}, func() { entries = nil })
	if err != nil {
		return audit.Page[audit.Entry]{}, asked(ctx, err)
	}
	return q.Page(entries), nil
}

// entryColumns is what a question for events reads.
type entryColumns struct {
	shard                                                 proto.ColInt32
	offset, duration                                      proto.ColInt64
	time                                                  *proto.ColDateTime64
	namespace, kind, body, action, gateway, code, group   *lowText
	lifecycle, version, byNamespace, byKind               *lowText
	key, byKey                                            *textList
	actorID, args, connection, principal, request, result proto.ColStr
	message, patch, state                                 proto.ColStr
	failed, byActor                                       proto.ColBool
	all                                                   proto.Results
}

func newEntryColumns() *entryColumns {
	c := &entryColumns{
		time: newTimes(), namespace: newLow(), kind: newLow(), body: newLow(), action: newLow(), gateway: newLow(), code: newLow(), group: newLow(),
		lifecycle: newLow(), version: newLow(), byNamespace: newLow(), byKind: newLow(), key: newTexts(), byKey: newTexts(),
	}
	c.all = proto.Results{
		{Name: "shard", Data: &c.shard}, {Name: "offset", Data: &c.offset}, {Name: "duration_us", Data: &c.duration}, {Name: "time", Data: c.time},
		{Name: "namespace", Data: c.namespace}, {Name: "kind", Data: c.kind}, {Name: "body", Data: c.body}, {Name: "action", Data: c.action},
		{Name: "caller_gateway", Data: c.gateway}, {Name: "error_code", Data: c.code}, {Name: "error_group", Data: c.group},
		{Name: "lifecycle", Data: c.lifecycle}, {Name: "version", Data: c.version}, {Name: "caller_namespace", Data: c.byNamespace},
		{Name: "caller_kind", Data: c.byKind}, {Name: "key", Data: c.key}, {Name: "caller_key", Data: c.byKey}, {Name: "actor_id", Data: &c.actorID},
		{Name: "args", Data: &c.args}, {Name: "caller_connection", Data: &c.connection}, {Name: "caller_principal", Data: &c.principal},
		{Name: "request_id", Data: &c.request}, {Name: "result", Data: &c.result}, {Name: "error_message", Data: &c.message},
		{Name: "patch", Data: &c.patch}, {Name: "state", Data: &c.state}, {Name: "failed", Data: &c.failed}, {Name: "caller_is_actor", Data: &c.byActor},
	}
	return c
}

func (c *entryColumns) names() string {
	names := make([]string, len(c.all))
	for i, r := range c.all {
		names[i] = r.Name
	}
	return strings.Join(names, ", ")
}

func (c *entryColumns) entry(f *audit.Filter, i int) audit.Entry {
	bytes := func(s *proto.ColStr) []byte { return []byte(s.Row(i)) } // the block's memory is used again
	p := schemas.Position{Partition: c.shard.Row(i), Offset: c.offset.Row(i)}
	e := audit.Entry{
		Position: p, Where: p.String(), Time: c.time.Row(i).UTC(), Namespace: c.namespace.Row(i), Kind: c.kind.Row(i), Key: append(schemas.Key{}, c.key.Row(i)...),
		ActorID: c.actorID.Row(i), Body: c.body.Row(i), Action: c.action.Row(i), Args: audit.JSON(bytes(&c.args)), Gateway: c.gateway.Row(i),
		Connection: c.connection.Row(i), Principal: c.principal.Row(i), Request: c.request.Row(i), Result: audit.JSON(bytes(&c.result)),
		Changes: f.Changes(bytes(&c.patch), bytes(&c.state)), Lifecycle: c.lifecycle.Row(i), DurationUs: c.duration.Row(i), Version: c.version.Row(i),
	}
	if c.byActor.Row(i) {
		e.By = &audit.Name{Namespace: c.byNamespace.Row(i), Kind: c.byKind.Row(i), Key: append(schemas.Key{}, c.byKey.Row(i)...)}
	}
	if c.failed.Row(i) {
		e.Error = &audit.Error{Group: c.group.Row(i), Code: c.code.Row(i), Message: c.message.Row(i)}
	}
	return e
}
