package audit

import (
	"encoding/base64"
	"encoding/json"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/actorlog/actorlog/schemas"
)

// Prepare checks the question, fills in its defaults, and returns after which entry its page begins; nil for the first page.
func (q *Events) Prepare() (*EventCursor, error) {
	if q.Order == "" {
		q.Order = Oldest
	}
	if q.Order != Oldest && q.Order != Newest && q.Order != Slowest {
		return nil, invalid("the order %q is none of %s, %s, %s", q.Order, Oldest, Newest, Slowest)
	}
	if err := checkLimit(&q.Limit); err != nil {
		return nil, err
	}
	if err := q.validate(); err != nil {
		return nil, err
	}
	return readCursor[EventCursor](q.Cursor, q.fingerprint())
}

// Prepare checks the question, fills in its defaults, and returns after which group its page begins; nil for the first page.
func (q *Tally) Prepare() (*GroupCursor, error) {
	if q.Order == "" {
		q.Order = Calls
	}
	if !slices.Contains([]Measure{Calls, Errors, Rate, TimeUs}, q.Order) {
		return nil, invalid("the order %q is none of %s, %s, %s, %s", q.Order, Calls, Errors, Rate, TimeUs)
	}
	if len(q.By) == 0 {
		return nil, invalid("what to group by is missing: one or more of %v", dimensions)
	}
	for i, d := range q.By {
		if !slices.Contains(dimensions, d) || slices.Contains(q.By[:i], d) {
			return nil, invalid("cannot group by %q: want each of %v once at most", d, dimensions)
		}
	}
	if err := checkLimit(&q.Limit); err != nil {
		return nil, err
	}
	if err := q.validate(); err != nil {
		return nil, err
	}
	return readCursor[GroupCursor](q.Cursor, q.fingerprint())
}

var dimensions = []Dimension{ByKind, ByBody, ByAction, ByVersion, ByCode, ByPrincipal, ByConnection, ByGateway, ByCaller, ByActor}

// Prepare checks the question, fills in its defaults, and returns after which actor its page begins; nil for the first page.
func (q *Actors) Prepare() (*ActorCursor, error) {
	if q.Kind == "" {
		return nil, invalid("the kind of the actors is missing")
	}
	if err := checkLimit(&q.Limit); err != nil {
		return nil, err
	}
	return readCursor[ActorCursor](q.Cursor, q.fingerprint())
}

func checkLimit(limit *int) error {
	if *limit == 0 {
		*limit = DefaultLimit
	}
	if *limit < 1 || *limit > MaxLimit {
		return invalid("the limit is not from 1 to %d", MaxLimit)
	}
	return nil
}

// Cursors are where a page ended. Their texts are bound to the question.
type (
	// EventCursor is the last entry: its time in ms, how long it took, and its position.
	EventCursor struct {
		TimeMs     int64 `json:"t"`
		DurationUs int64 `json:"d"`
		Shard      int32 `json:"s"`
		Offset     int64 `json:"o"`
	}
	// GroupCursor is the last group.
	GroupCursor struct {
		Value float64  `json:"v"`
		Of    []string `json:"of"`
	}
	// ActorCursor is the last actor's hash.
	ActorCursor struct {
		Hash string `json:"h"`
	}
)

type sealed[T any] struct {
	Question uint64 `json:"q"`
	At       T      `json:"at"`
}

func readCursor[T any](text string, question uint64) (*T, error) {
	if text == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	var s sealed[T]
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return nil, invalid("the cursor is not one that an answer had: leave it out to begin")
	}
	if s.Question != question {
		return nil, invalid("the cursor is of another question: only the limit may change from page to page")
	}
	return &s.At, nil
}

func writeCursor[T any](at T, question uint64) string {
	b, err := json.Marshal(sealed[T]{question, at})
	if err != nil {
		panic("audit: a cursor cannot be written: " + err.Error()) // numbers and texts always can
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// fingerprint of all but limit and cursor.
func fingerprint(q any) uint64 {
	b, err := json.Marshal(q)
	if err != nil {
		panic("audit: a question cannot be written: " + err.Error())
	}
	h := fnv.New64a()
	_, _ = h.Write(b)
	return h.Sum64()
}

func (q Events) fingerprint() uint64 { q.Limit, q.Cursor = 0, ""; return fingerprint(q) }
func (q Tally) fingerprint() uint64  { q.Limit, q.Cursor = 0, ""; return fingerprint(q) }
func (q Actors) fingerprint() uint64 { q.Limit, q.Cursor = 0, ""; return fingerprint(q) }

// Page makes the page of entries that were found in order, up to one more than the limit.
func (q *Events) Page(found []Entry) Page[Entry] {
	return page(found, q.Limit, func(e *Entry) string {
		return writeCursor(EventCursor{TimeMs: e.Time.UnixMilli(), DurationUs: e.DurationUs, Shard: e.Position.Partition, Offset: e.Position.Offset}, q.fingerprint())
	})
}

// Page makes the page of groups that were found in order, up to one more than the limit.
func (q *Tally) Page(found []Group) Page[Group] {
	return page(found, q.Limit, func(g *Group) string {
		return writeCursor(GroupCursor{Value: g.Measured(q.Order), Of: g.Of}, q.fingerprint())
	})
}

// Page makes the page of actors that were found in order, up to one more than the limit.
func (q *Actors) Page(found []Actor) Page[Actor] {
	return page(found, q.Limit, func(a *Actor) string { return writeCursor(ActorCursor{Hash: a.ActorID[:hashLen]}, q.fingerprint()) })
}

var hashLen = len(schemas.Hash{}.String())

func page[T any](found []T, limit int, cursor func(*T) string) Page[T] {
	p := Page[T]{Items: found}
	if len(found) > limit {
		p.Items = found[:limit]
		p.Next = cursor(&p.Items[limit-1])
	}
	if p.Items == nil {
		p.Items = []T{}
	}
	return p
}

// Touches says whether a change at one path may have changed what is at another: it is the same, or one is within the other.
func Touches(changed, path string) bool {
	return changed == path || strings.HasPrefix(changed, path+"/") || strings.HasPrefix(path, changed+"/")
}
