package audit_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/audit"
)

func TestPredicate(t *testing.T) {
	t.Parallel()
	const state = `{"count":11,"owner":{"name":"ann"},"lines":[{"price":9.5},{"price":-1}],"on":true,"gone":null,"a b":"it's","0":"zero"}`
	for text, want := range map[string]bool{
		"": true, "count > 10": true, "count > 11": false, "count >= 11.0": true, "count != 11": false, "count = 1.1e1": true, `owner.name = "ann"`: true, `owner.name < "b"`: true,
		`owner."name" != "ann"`: false, "lines[0].price >= 9.5": true, "lines[1].price = -1": true, "lines[2].price = 1": false, "on = true": true, "on != true": false,
		"gone = null": true, "gone != null": false, "on != null": true, `"a b" = "it's"`: true, "count > 10 and on = false": false, "count > 10 AND on = true": true,
		// Types do not mix, and neither do members and elements.
		`count = "11"`: false, `owner.name = 1`: false, "missing = null": false, "missing != 1": false, "owner[0] = 1": false, `lines."0" = 1`: false, `"0" = "zero"`: true,
	} {
		p, err := audit.ParsePredicate(text)
		require.NoError(t, err, text)
		require.Equal(t, want, p.Matches([]byte(state)), text)
		again, err := audit.ParsePredicate(p.String())
		require.NoError(t, err, p.String())
		require.Equal(t, p, again)
	}
	for text, hint := range map[string]string{
		"count": "want one of = != < <= > >=", "count >": "want a number", "> 1": "want a name", "count > 1 or on = true": "want and", "count ! 1": "want !=",
		"count > true": "compares numbers and texts", "lines[x] = 1": "index of an element", "lines[0 = 1": "want ]", "count = 'x'": "want a number", `name = "x`: "not terminated",
		"count = 1; DROP TABLE events": "want and", "count = - x": "want a number", "count == 1": "want a number",
	} {
		_, err := audit.ParsePredicate(text)
		var bad *audit.Invalid
		require.ErrorAs(t, err, &bad, text)
		require.ErrorContains(t, err, hint, text)
	}
}

func TestTouches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		changed, path string
		want          bool
	}{
		{"/a", "/a", true}, {"/a/b", "/a", true}, {"/a", "/a/b", true}, {"", "/a", true}, {"/a", "", true}, {"/ab", "/a", false}, {"/a", "/b", false},
	} {
		require.Equal(t, c.want, audit.Touches(c.changed, c.path), "%q %q", c.changed, c.path)
	}
}

func TestQuestions_Bad(t *testing.T) {
	t.Parallel()
	var bad *audit.Invalid
	for _, q := range []audit.Events{
		{Limit: 1001}, {Limit: -1}, {Order: "random"}, {Cursor: "x"}, {Filter: audit.Filter{HasPath: true, Path: "a"}}, {Filter: audit.Filter{HasPath: true, Path: "/a~"}}, {Filter: audit.Filter{HasPath: true, Path: "/~2/b"}}, {Filter: audit.Filter{Key: []string{"k"}}},
	} {
		_, err := q.Prepare()
		require.ErrorAs(t, err, &bad, "%+v", q)
	}
	first := audit.Events{Limit: 1}
	_, err := first.Prepare()
	require.NoError(t, err)
	next := first.Page(make([]audit.Entry, 2)).Next
	same := audit.Events{Limit: 7, Cursor: next}
	_, err = same.Prepare()
	require.NoError(t, err, "the limit may change")
	other := audit.Events{Order: audit.Newest, Cursor: next}
	_, err = other.Prepare()
	require.ErrorContains(t, err, "of another question")
	for _, q := range []audit.Tally{{}, {By: []audit.Dimension{"colour"}}, {By: []audit.Dimension{audit.ByKind, audit.ByKind}}, {By: []audit.Dimension{audit.ByKind}, Order: "x"}} {
		_, err := q.Prepare()
		require.ErrorAs(t, err, &bad, "%+v", q)
	}
	_, err = (&audit.Actors{}).Prepare()
	require.ErrorAs(t, err, &bad)
}
