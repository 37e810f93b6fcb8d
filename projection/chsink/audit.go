package chsink

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"

	"github.com/actorlog/actorlog/audit"
)

// Store is an [audit.Store]. What users ask for goes into parameters, and never into the text of a query.
type Store struct{ db *DB }

var _ audit.Store = (*Store)(nil)

// Store returns what answers the questions of auditors from the views.
func (db *DB) Store() *Store { return &Store{db} }

// conditions is a WHERE under construction.
type conditions struct {
	all    []string
	params params
}

func (c *conditions) add(condition string) { c.all = append(c.all, condition) }

func (c *conditions) text(condition, name, value string) {
	if value != "" {
		c.add(condition)
		c.params.text(name, value)
	}
}

func (c *conditions) where() string {
	if len(c.all) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.all, " AND ")
}

func conditionsOf(f *audit.Filter) *conditions {
	c := new(conditions)
	if one, ok := f.One(); ok {
		c.text("actor = {actor:String}", "actor", one.Hash().String())
	} else {
		c.text("namespace = {namespace:String}", "namespace", f.Namespace)
		c.text("kind = {kind:String}", "kind", f.Kind)
	}
	if !f.Since.IsZero() {
		c.add("toUnixTimestamp64Milli(time) >= {since:Int64}")
		c.params.number("since", f.Since.UnixMilli())
	}
	if !f.Until.IsZero() {
		c.add("toUnixTimestamp64Milli(time) < {until:Int64}")
		c.params.number("until", f.Until.UnixMilli())
	}
	c.text("caller_principal = {principal:String}", "principal", f.Principal)
	c.text("caller_connection = {connection:String}", "connection", f.Connection)
	c.text("caller_gateway = {gateway:String}", "gateway", f.Gateway)
	c.text("action = {action:String}", "action", f.Action)
	if f.By != nil {
		c.text("caller_actor = {by:String}", "by", f.By.Hash().String())
	}
	if f.Failed {
		c.add("failed")
	}
	if f.HasPath {
		c.add("arrayExists(p -> p = {path:String} OR startsWith(p, concat({path:String}, '/')) OR startsWith({path:String}, concat(p, '/')), patch_paths)")
		c.params.text("path", f.Path)
	}
	return c
}

// asked turns an error of a question into what its store promises.
func asked(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || ch.IsErr(err, proto.ErrTimeoutExceeded) {
		return audit.ErrTimeout
	}
	if isMissing(err) {
		return fmt.Errorf("%w: %w", ErrNoProjection, err)
	}
	return fmt.Errorf("asking ClickHouse: %w", err)
}

// eventSettings are of questions for events. Rows of the same key are equal, so conditions may come before FINAL.
var eventSettings = []ch.Setting{{Key: "optimize_move_to_prewhere_if_final", Value: "1"}, {Key: "use_skip_indexes_if_final", Value: "1"}}

// expressions of dimensions.
var expressions = map[audit.Dimension]string{
	audit.ByKind: "kind", audit.ByBody: "body", audit.ByAction: "action", audit.ByVersion: "version", audit.ByCode: "if(failed, concat(error_group, '.', error_code), '')",
	audit.ByPrincipal: "caller_principal", audit.ByConnection: "caller_connection", audit.ByGateway: "caller_gateway", audit.ByCaller: "caller_actor", audit.ByActor: "actor",
}

var measures = map[audit.Measure]string{audit.Calls: "toFloat64(calls)", audit.Errors: "toFloat64(errors)", audit.Rate: "rate", audit.TimeUs: "toFloat64(total)"}

// Tally implements [audit.Store].
func (s *Store) Tally(ctx context.Context, q audit.Tally) (audit.Page[audit.Group], error) {
	after, err := q.Prepare()
	if err != nil {
		return audit.Page[audit.Group]{}, err
	}
	c := conditionsOf(&q.Filter)
	by := make([]string, len(q.By))
	for i, d := range q.By {
		by[i] = "toString(" + expressions[d] + ")"
	}
	measure, having := measures[q.Order], ""
	if after != nil {
		having = " HAVING " + measure + " < {value:Float64} OR " + measure + " = {value:Float64} AND of > {of:Array(String)}"
		c.params.float("value", after.Value)
		c.params.list("of", after.Of)
	}
	var (
		of             = newTexts()
		calls, errs    proto.ColUInt64
		rate           proto.ColFloat64
		total, longest proto.ColInt64
		groups         []audit.Group
	)
	err = s.db.ask(ctx, ch.Query{
		Body: s.db.fill("SELECT CAST(["+strings.Join(by, ", ")+"], 'Array(String)') AS of, count() AS calls, countIf(failed) AS errors, errors / calls AS rate, sum(duration_us) AS total, "+
			"max(duration_us) AS longest FROM {db}.events", 0) + c.where() + " GROUP BY of" + having + " ORDER BY " + measure + " DESC, of LIMIT " + strconv.Itoa(q.Limit+1),
		Parameters: c.params, Settings: eventSettings,
		Result: proto.Results{
			{Name: "of", Data: of}, {Name: "calls", Data: &calls}, {Name: "errors", Data: &errs}, {Name: "rate", Data: &rate}, {Name: "total", Data: &total},
			{Name: "longest", Data: &longest},
		},
		OnResult: func(context.Context, proto.Block) error {
			for i := range calls.Rows() {
				groups = append(groups, audit.Group{
					Of: append([]string{}, of.Row(i)...), Calls: calls.Row(i), Errors: errs.Row(i), Rate: rate.Row(i), TotalUs: total.Row(i), MaxUs: longest.Row(i),
				})
			}
			return nil
		},
	}, func() { groups = nil })
	if err != nil {
		return audit.Page[audit.Group]{}, asked(ctx, err)
	}
	return q.Page(groups), nil
}
