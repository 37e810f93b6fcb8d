package snippets_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/actors/webclient"
	"github.com/actorlog/actorlog/eventlog/kafkalog"
	"github.com/actorlog/actorlog/examples/chat"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/gateway"
)

// snippet: visit

func Visit(ctx context.Context, c actor.Caller, site string) (int64, error) {
	return counter.Increment.Call(ctx, counter.Kind.GetOrCreate(c, site), 1)
}

// end snippet

func visitOverTheLog(ctx context.Context, broker string) (int64, error) {
	// snippet: visit-over-the-log
	log, err := kafkalog.Open(ctx, kafkalog.Config{Brokers: []string{broker}})
	if err != nil {
		return 0, err
	}
	defer log.Close()
	client, err := remote.Open(log, remote.Config{})
	if err != nil {
		return 0, err
	}
	defer client.Close()
	return Visit(ctx, client, "home")
	// end snippet
}

func visitOverHTTP(ctx context.Context, endpoint string) (int64, error) {
	// snippet: visit-over-http
	client, err := webclient.New(endpoint, webclient.Config{}) // "https://actors.example/prefix"
	if err != nil {
		return 0, err
	}
	defer client.Close()
	return Visit(ctx, client, "home")
	// end snippet
}

func visitOnce(ctx context.Context, c actor.Caller) (int64, error) {
	visits := counter.Kind.GetOrCreate(c, "home")
	// snippet: visit-once
	return counter.Increment.Call(ctx, visits.Idempotent("order-1"), 1)
	// end snippet
}

func tryVisit(ctx context.Context, c actor.Caller, by int64) string {
	visits := counter.Kind.GetOrCreate(c, "home")
	// snippet: visit-errors
	_, err := counter.Increment.Call(ctx, visits, by)
	var refusal *actor.Error
	switch {
	case errors.Is(err, actor.ErrNotFound): // compare with the errors of package actor, or with your own
		return "nobody is there"
	case errors.As(err, &refusal): // refused: nothing happened; group, code and metadata say why
		return "refused: " + refusal.Code
	case errors.Is(err, webclient.ErrUnavailable): // nothing happened
		return "try again later"
	case errors.Is(err, webclient.ErrUnknownOutcome): // it may have happened, or may yet
		return "repeat it, with the same key only"
	case err != nil: // no answer for another reason: take it as unknown
		return err.Error()
	}
	return "committed"
	// end snippet
}

func hear(ctx context.Context, c actor.Caller, show func(chat.Message), lost func(error)) error {
	// snippet: hear
	return chat.Said.Subscribe(ctx, chat.Kind.GetOrCreate(c, "lobby"), func(m chat.Message) {
		show(m)
	}, func(err error) {
		lost(err) // events were missed, or will be: read the state anew, and subscribe again
	})
	// end snippet
}

// The same calls with both clients, against the embedded broker and a gateway.
func TestGoClients(t *testing.T) {
	t.Parallel()
	broker, err := kafkalog.StartEmbedded(kafkalog.EmbeddedConfig{DataDir: t.TempDir(), Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	defer broker.Close()
	log, err := kafkalog.Open(t.Context(), kafkalog.Config{Brokers: []string{broker.Addr()}})
	require.NoError(t, err)
	defer log.Close()
	registry := actor.NewRegistry()
	counter.Register(registry)
	chat.Register(registry)
	worker, err := host.Open(log, registry, host.Config{})
	require.NoError(t, err)
	defer worker.Close()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- worker.Run(ctx) }()
	insider, err := remote.Open(log, remote.Config{})
	require.NoError(t, err)
	defer insider.Close()
	g, err := gateway.New(insider, gateway.Config{})
	require.NoError(t, err)
	server := httptest.NewServer(g.Handler())
	defer server.Close()
	defer func() { require.NoError(t, g.Shutdown(context.WithoutCancel(ctx))) }()

	n, err := visitOverTheLog(t.Context(), broker.Addr())
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	n, err = visitOverHTTP(t.Context(), server.URL)
	require.NoError(t, err)
	require.EqualValues(t, 2, n)

	client, err := webclient.New(server.URL, webclient.Config{})
	require.NoError(t, err)
	defer client.Close()
	for _, c := range []actor.Caller{client, insider} {
		n, err = visitOnce(t.Context(), c)
		require.NoError(t, err)
		require.EqualValues(t, 3, n, "once, whoever asks again")
		require.Equal(t, "refused: bad_step", tryVisit(t.Context(), c, -1))

		said := make(chan chat.Message, 1)
		hearing, enough := context.WithCancel(t.Context())
		require.NoError(t, hear(hearing, c, func(m chat.Message) { said <- m }, func(err error) { t.Error(err) }))
		_, err = chat.Say.Call(t.Context(), chat.Kind.GetOrCreate(c, "lobby"), chat.Line{Author: "ann", Text: "hello"})
		require.NoError(t, err)
		require.Equal(t, "hello", (<-said).Text)
		enough()
	}
	require.Equal(t, "committed", tryVisit(t.Context(), client, 1))

	stop()
	require.NoError(t, <-done)
}
