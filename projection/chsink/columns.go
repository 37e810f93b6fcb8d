package chsink

import (
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/actorlog/actorlog/projection"
)

// Columns of one block: they are filled, written, and reset.
type (
	lowText  = proto.ColLowCardinality[string]
	textList = proto.ColArr[string]
)

func newLow() *lowText                      { return new(proto.ColStr).LowCardinality() }
func newTexts() *textList                   { return new(proto.ColStr).Array() }
func newLows() *textList                    { return proto.NewArray[string](newLow()) }
func newTextLists() *proto.ColArr[[]string] { return proto.NewArray[[]string](newTexts()) }
func newTimes() *proto.ColDateTime64 {
	return new(proto.ColDateTime64).WithPrecision(proto.PrecisionMilli).WithLocation(time.UTC)
}
func newTimeList() *proto.ColArr[time.Time]     { return newTimes().Array() }
func msTime(ms int64) time.Time                 { return time.UnixMilli(projection.ClampMs(ms)).UTC() }
func appendMs(c *proto.ColDateTime64, ms int64) { c.AppendRaw(proto.DateTime64(ms)) }

// each appends one array: f of every item of a list.
func each[T, V any](c *proto.ColArr[V], list []T, f func(T) V) {
	for _, x := range list {
		c.Data.Append(f(x))
	}
	c.Offsets = append(c.Offsets, uint64(c.Data.Rows()))
}

// appendTexts appends one array of texts.
func appendTexts(c *textList, list []string) {
	for _, s := range list {
		c.Data.Append(s)
	}
	c.Offsets = append(c.Offsets, uint64(c.Data.Rows()))
}
