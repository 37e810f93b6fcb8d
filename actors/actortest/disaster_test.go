package actortest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// A whole evening, with a disaster at every append in turn: the worker dies before or after it was written, or the append fails and was or was
// not written. Callers wait and hear what they would have heard; what is recorded is what would have been, but for the wakings.
func TestDisasterAtEveryAppend(t *testing.T) {
	t.Parallel()
	for name, disaster := range map[string]memlog.Fault{
		"dies before":        {Delay: time.Hour},
		"dies after":         {AckDelay: time.Hour},
		"fails":              {Err: errStage},
		"fails, but written": {Err: errStage, Written: true},
	} {
		for at := range 14 {
			t.Run(fmt.Sprintf("%s %d", name, at), func(t *testing.T) {
				perform(t, func(t *testing.T, w *actortest.World, p *play) {
					hash := schemas.HashOf(actor.DefaultNamespace, "stage", schemas.Key{"a"})
					n, struck := 0, make(chan struct{}, 1)
					w.Cluster.SetFaults(func(write memlog.Write) memlog.Fault {
						if write.Topic != eventlog.Events || string(write.Records[0].Key) != string(hash[:]) {
							return memlog.Fault{}
						}
						if n++; n != at+1 {
							return memlog.Fault{}
						}
						struck <- struct{}{}
						return disaster
					})
					over := make(chan struct{})
					go func() {
						defer close(over)
						evening(t, w)
					}()
					select {
					case <-struck:
						if strings.HasPrefix(name, "dies") {
							w.Crash()
						}
						<-over
					case <-over: // it was shorter than that
					}
					outcomes, a := history(t, w, "stage", "a")
					ends := map[string]int{}
					generations := map[uint32]int{}
					for _, o := range outcomes {
						for _, gone := range o.Disconnected {
							require.Nil(t, gone.Error)
							ends[gone.Id]++
						}
						if o.Lifecycle == actorlogv1.Lifecycle_LIFECYCLE_CREATED {
							generations[o.Actor.Generation]++
						}
					}
					require.Len(t, ends, 3)
					for id, times := range ends {
						require.Equal(t, 1, times, id)
					}
					require.Equal(t, map[uint32]int{1: 1, 2: 1}, generations)
					require.Empty(t, a.Connections)
					lines := slices.DeleteFunc(decode[stage](t, a.State).Lines, func(line string) bool { return line == "OnWake" || line == "OnSleep" })
					require.Equal(t, []string{"CreateState in", "OnCreate", "encore", "OnConnect", "bow", "OnDisconnect eve", "OnConnect", "OnDisconnect dan"}, lines)
				})
			})
		}
	}
}

func evening(t *testing.T, w *actortest.World) {
	h := stageOf(w, "a")
	call(t, h, "one")
	ann, bob := connect(t, w, "ann"), connect(t, w, "bob")
	_, err := bob.Call(t.Context(), "do", "two")
	require.NoError(t, err)
	require.NoError(t, ann.Close(t.Context(), "bye"))
	require.NoError(t, h.Destroy(t.Context()))
	_, err = bob.Closed()
	require.NoError(t, err)
	call(t, h, "encore")
	time.Sleep(asleep)
	call(t, h.WithParams(ticket{"eve"}), "bow")
	dan := connect(t, w, "dan")
	require.NoError(t, dan.Close(t.Context(), "bye"))
}
