package snippets_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/eventlog"
	examples "github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
)

func printFold(ctx context.Context, log eventlog.Log, counter schemas.Hash) error {
	// snippet: replay
	r := replay.NewReader(log, replay.Options{})
	for m, err := range r.Fold(ctx, counter, 0) {
		if err != nil {
			return err
		}
		fmt.Printf("%s %s: %s -> %s\n", m.Position, m.Outcome.GetAction().GetInvoke().GetName(), m.Before.State, m.After.State)
	}
	// end snippet
	return nil
}

func TestReplay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := actortest.New(t, examples.Register)
		_, err := examples.Increment.Call(t.Context(), examples.Kind.GetOrCreate(w.Client, "a"), 1)
		require.NoError(t, err)
		log := w.Cluster.Client()
		defer log.Close()
		require.NoError(t, printFold(t.Context(), log, schemas.HashOf("default", "counter", schemas.Key{"a"})))
	})
}
