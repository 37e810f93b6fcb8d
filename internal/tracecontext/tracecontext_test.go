package tracecontext_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/internal/tracecontext"
	"github.com/actorlog/actorlog/schemas"
)

func TestASpanCrossesARecord(t *testing.T) {
	t.Parallel()
	state, err := trace.ParseTraceState("vendor=x")
	require.NoError(t, err)
	sc := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4, 5}, TraceFlags: trace.FlagsSampled, TraceState: state,
	})
	r := eventlog.Record{Headers: tracecontext.Append([]eventlog.Header{{Key: schemas.HeaderType}}, sc)}
	require.Equal(t, "00-01020300000000000000000000000000-0405000000000000-01", string(r.Header(schemas.HeaderTraceparent)))
	got := tracecontext.Of(&r)
	require.True(t, got.IsRemote())
	require.True(t, sc.WithRemote(true).Equal(got))
	require.Nil(t, tracecontext.Only(got).Done(), "a context that ends would have to be watched")
}

func TestNoSpanLeavesNoTrace(t *testing.T) {
	t.Parallel()
	require.Empty(t, tracecontext.Append(nil, trace.SpanContext{}))
	require.False(t, tracecontext.Of(&eventlog.Record{}).IsValid())
	for _, malformed := range []string{"", "00", "00-0-0-00", "00-00000000000000000000000000000000-0405000000000000-01"} {
		r := eventlog.Record{Headers: []eventlog.Header{{Key: schemas.HeaderTraceparent, Value: []byte(malformed)}}}
		require.False(t, tracecontext.Of(&r).IsValid(), malformed)
	}
}
