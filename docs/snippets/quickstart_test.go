package snippets_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog/kafkalog"
	"github.com/actorlog/actorlog/gateway"
)

// snippet: poll

// Poll is everything that survives.
type Poll struct {
	Votes map[string]int `json:"votes"`
}

// The contract: what callers link. The strings are the names on the wire.
var (
	polls   = actor.New[Poll]("poll")
	vote    = actor.Action[string, int](polls, "vote")
	changed = actor.Event[map[string]int](polls, "changed")
)

// registerPoll puts the rules into a worker's registry.
func registerPoll(r *actor.Registry) {
	actor.InitialState(r, polls, Poll{Votes: map[string]int{}})
	actor.On(r, vote, (*Poll).vote)
}

func (p *Poll) vote(c *actor.Ctx, option string) (int, error) {
	if option == "" {
		return 0, actor.UserError("no_option", "a vote is for something")
	}
	p.Votes[option]++
	c.Broadcast(changed.With(p.Votes))
	return p.Votes[option], nil
}

// end snippet

// snippet: poll-worker

// work hosts polls until it is told to stop. Start as many of these as you like.
func work(ctx context.Context, broker string) error {
	log, err := kafkalog.Open(ctx, kafkalog.Config{Brokers: []string{broker}})
	if err != nil {
		return err
	}
	defer log.Close()
	registry := actor.NewRegistry()
	registerPoll(registry)
	worker, err := host.Open(log, registry, host.Config{})
	if err != nil {
		return err
	}
	defer worker.Close()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	return worker.Run(ctx)
}

// end snippet

// snippet: poll-call

// callPoll is a backend: it needs brokers, not a gateway.
func callPoll(ctx context.Context, broker string) (int, error) {
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
	return vote.Call(ctx, polls.GetOrCreate(client, "lunch"), "soup")
}

// end snippet

// The programs of the page, against the embedded broker, and its curl commands as requests.
func TestQuickstart(t *testing.T) {
	t.Parallel()
	broker, err := kafkalog.StartEmbedded(kafkalog.EmbeddedConfig{DataDir: t.TempDir(), Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	defer broker.Close()

	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- work(ctx, broker.Addr()) }()
	n, err := callPoll(t.Context(), broker.Addr())
	require.NoError(t, err)
	require.Equal(t, 1, n)

	log, err := kafkalog.Open(t.Context(), kafkalog.Config{Brokers: []string{broker.Addr()}})
	require.NoError(t, err)
	defer log.Close()
	client, err := remote.Open(log, remote.Config{})
	require.NoError(t, err)
	defer client.Close()
	g, err := gateway.New(client, gateway.Config{})
	require.NoError(t, err)
	server := httptest.NewServer(g.Handler())
	defer server.Close()
	defer func() { require.NoError(t, g.Shutdown(t.Context())) }()
	answer, err := http.Post(server.URL+"/actors/poll/lunch/actions/vote", "", strings.NewReader(`"soup"`))
	require.NoError(t, err)
	var second int
	_, err = fmt.Fscan(answer.Body, &second)
	require.NoError(t, err)
	require.Equal(t, 2, second)

	stop()
	require.NoError(t, <-done)
}

// snippet: poll-test

func TestPoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := actortest.New(t, registerPoll)
		lunch := polls.GetOrCreate(w.Client, "lunch")

		_, err := vote.Call(t.Context(), lunch, "soup")
		require.NoError(t, err)
		w.Crash() // nothing but the log survives
		n, err := vote.Call(t.Context(), lunch, "soup")
		require.NoError(t, err)
		require.Equal(t, 2, n)
	})
}

// end snippet
