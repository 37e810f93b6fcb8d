package chsink

import (
	"context"
	"fmt"
	"strconv"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"

	"github.com/actorlog/actorlog/audit"
	"github.com/actorlog/actorlog/schemas"
)

// Actors implements [audit.Store]. The server finds candidates, and leaves none out: what counts is the predicate's own rule.
func (s *Store) Actors(ctx context.Context, q audit.Actors) (audit.Page[audit.Actor], error) {
	cursor, err := q.Prepare()
	if err != nil {
		return audit.Page[audit.Actor]{}, err
	}
	after := ""
	if cursor != nil {
		after = cursor.Hash
	}
	var found []audit.Actor
	for len(found) <= q.Limit {
		candidates, err := s.candidates(ctx, &q, after)
		if err != nil {
			return audit.Page[audit.Actor]{}, asked(ctx, err)
		}
		for _, a := range candidates {
			after = a.ActorID[:hashLen]
			if q.Where.Matches(a.State) {
				found = append(found, a)
			}
		}
		if len(candidates) <= q.Limit {
			break
		}
	}
	return q.Page(found[:min(len(found), q.Limit+1)]), nil
}

func (s *Store) candidates(ctx context.Context, q *audit.Actors, after string) (all []audit.Actor, err error) {
	c := new(conditions)
	c.add("alive")
	c.text("kind = {kind:String}", "kind", q.Kind)
	c.text("namespace = {namespace:String}", "namespace", q.Namespace)
	c.text("actor > {after:String}", "after", after)
	for i := range q.Where {
		c.compare(i, &q.Where[i])
	}
	var (
		id, state, position proto.ColStr
		namespace, kind     = newLow(), newLow()
		key                 = newTexts()
		created, at         = newTimes(), newTimes()
	)
	err = s.db.ask(ctx, ch.Query{
		Body:       s.db.fill("SELECT actor_id, namespace, kind, key, created_at, time, position, state FROM {db}.actors", 0) + c.where() + " ORDER BY actor LIMIT " + strconv.Itoa(q.Limit+1),
		Parameters: c.params,
		Result: proto.Results{
			{Name: "actor_id", Data: &id}, {Name: "namespace", Data: namespace}, {Name: "kind", Data: kind}, {Name: "key", Data: key},
			{Name: "created_at", Data: created}, {Name: "time", Data: at}, {Name: "position", Data: &position}, {Name: "state", Data: &state},
		},
		OnResult: func(context.Context, proto.Block) error {
			for i := range id.Rows() {
				all = append(all, audit.Actor{
					ActorID: id.Row(i), Namespace: namespace.Row(i), Kind: kind.Row(i), Key: append(schemas.Key{}, key.Row(i)...),
					Created: created.Row(i).UTC(), Time: at.Row(i).UTC(), Where: position.Row(i), State: audit.JSON([]byte(state.Row(i))),
				})
			}
			return nil
		},
	}, func() { all = nil })
	return all, err
}

// compare adds a comparison of the state. A state that the server cannot read, as one with numbers that are too large, is a candidate.
func (c *conditions) compare(i int, by *audit.Comparison) {
	path := "state"
	for j, part := range by.Path {
		name := fmt.Sprintf("w%d_%d", i, j)
		if part.Element {
			path += ", {" + name + ":Int64}"
			c.params.number(name, int64(part.Index)+1)
		} else {
			path += ", {" + name + ":String}"
			c.params.text(name, part.Name)
		}
	}
	op := by.Op // one of six
	kind, value := "JSONType("+path+")", fmt.Sprintf("w%d", i)
	var condition string
	switch v := by.Value.(type) {
	case float64:
		condition = kind + " IN ('Int64', 'UInt64', 'Double') AND JSONExtractFloat(" + path + ") " + op + " {" + value + ":Float64}"
		c.params.float(value, v)
	case string:
		condition = kind + " = 'String' AND JSONExtractString(" + path + ") " + op + " {" + value + ":String}"
		c.params.text(value, v)
	case bool:
		condition = kind + " = 'Bool' AND JSONExtractBool(" + path + ") " + op + " {" + value + ":Bool}"
		c.params.text(value, strconv.FormatBool(v))
	default:
		condition = "JSONHas(" + path + ") AND " + kind + " " + op + " 'Null'"
	}
	c.add("(" + condition + " OR NOT isValidJSON(state))")
}
