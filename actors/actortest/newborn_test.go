package actortest_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/host"
)

// A checkpoint between a step and the outcome of the action that creates its actor: the actor has not lived yet, and its step is on record.
func TestStepOfCreatingActionSurvivesCheckpoint(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T) {
		var runs atomic.Int64
		w := actortest.NewWith(t, host.Config{CheckpointBytes: 1, DrainTimeout: time.Millisecond}, rules{
			"pay": func(_ *node, c *actor.Ctx) (string, error) {
				_, err := actor.Run(c, "charge", func(context.Context) (int64, error) { return runs.Add(1), nil })
				time.Sleep(time.Second)
				return "paid", err
			},
		}.register)
		paid := make(chan error, 1)
		go func() {
			_, err := run.Call(t.Context(), at(w.Client, "a"), "pay")
			paid <- err
		}()
		time.Sleep(500 * time.Millisecond)
		require.EqualValues(t, 1, runs.Load())
		w.Crash()
		require.NoError(t, <-paid)
		require.EqualValues(t, 1, runs.Load())
	})
}
