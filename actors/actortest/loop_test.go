package actortest_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
)

type mill struct{}

var (
	mills = actor.New[mill]("mill")
	grist = actor.Queue[string, string](mills, "grist")
)

// A loop that ends with a message in hand does not keep it: the actor goes to sleep, and the message wakes it for another try.
func TestLoopThatFailedIsTriedByTheNextActivation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var loops atomic.Int64
		w := actortest.New(t, func(r *actor.Registry) {
			actor.Accept(r, grist)
			actor.OnRun(r, mills, func(l *actor.Loop) error {
				m, err := grist.Next(l)
				if err != nil {
					return err
				}
				if loops.Add(1) < 3 {
					return errors.New("the mill is stuck")
				}
				return m.Complete("flour")
			})
		})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		reply, err := grist.SendAndWait(ctx, mills.GetOrCreate(w.Client, "m"), "corn")
		require.NoError(t, err)
		require.Equal(t, "flour", reply)
	})
}
