package actortest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/eventlog/memlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// gateway is a client of the log, beside the world's own, that holds connections and can die with them.
type gateway struct {
	*remote.Client
	log *memlog.Log
}

func openGateway(t *testing.T, w *actortest.World) *gateway {
	t.Helper()
	g := &gateway{log: w.Cluster.Client()}
	var err error
	g.Client, err = remote.Open(g.log, remote.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { g.Close(); g.log.Close() })
	return g
}

// die is SIGKILL.
func (g *gateway) die() {
	g.log.Crash()
	g.Close()
}

func (g *gateway) connect(t *testing.T, key, id string) {
	t.Helper()
	hash := schemas.HashOf(actor.DefaultNamespace, "stage", schemas.Key{key})
	d, _, err := g.Do(t.Context(), remote.Request{Hash: hash, Action: &actorlogv1.Action{
		Actor:     &actorlogv1.Actor{Namespace: actor.DefaultNamespace, Kind: "stage", Key: []string{key}},
		Creation:  &actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_IF_ABSENT},
		Handshake: &actorlogv1.Handshake{ConnectionId: id, ParamsJson: []byte(`{"Name":"` + id + `"}`)},
		Body:      &actorlogv1.Action_Connect{Connect: new(actorlogv1.Connect)},
	}})
	require.NoError(t, err)
	require.Nil(t, d.Outcome.Error)
}

// ended is how often history says that a connection ended, and how often OnDisconnect left its line.
func ended(t *testing.T, w *actortest.World, key, id string) (times, lines int) {
	t.Helper()
	outcomes, a := history(t, w, "stage", key)
	for _, o := range outcomes {
		for _, gone := range o.Disconnected {
			if gone.Id == id {
				times++
			}
		}
	}
	for _, line := range decode[stage](t, a.State).Lines {
		if line == "OnDisconnect "+id {
			lines++
		}
	}
	return times, lines
}

// A gateway dies. Whatever its actors and workers are doing, its connections end within 15 s, each once, and those of a gateway that lives
// are kept for hours.
func TestGatewayDeath(t *testing.T) {
	t.Parallel()
	for name, disaster := range map[string]func(w *actortest.World, g *gateway){
		"alone":                     func(_ *actortest.World, g *gateway) { g.die() },
		"with its worker":           func(w *actortest.World, g *gateway) { g.die(); w.Crash() },
		"after its worker":          func(w *actortest.World, g *gateway) { w.Crash(); time.Sleep(time.Second); g.die() },
		"while its actors sleep":    func(_ *actortest.World, g *gateway) { time.Sleep(5 * time.Minute); g.die() },
		"while all sleep, and with": func(w *actortest.World, g *gateway) { time.Sleep(5 * time.Minute); g.die(); w.Crash() },
		"cut off from the brokers":  func(_ *actortest.World, g *gateway) { g.log.Disconnect() },
		"in peace":                  func(_ *actortest.World, g *gateway) { g.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			perform(t, func(t *testing.T, w *actortest.World, p *play) {
				dead, alive := openGateway(t, w), openGateway(t, w)
				keys := []string{"a", "b", "c", "d", "e"}
				for _, key := range keys {
					dead.connect(t, key, "gone-"+key)
					alive.connect(t, key, "kept-"+key)
				}
				disaster(w, dead)
				began := time.Now()
				for _, key := range keys {
					for {
						if times, _ := ended(t, w, key, "gone-"+key); times > 0 {
							break
						}
						require.Less(t, time.Since(began), 15*time.Second)
						time.Sleep(100 * time.Millisecond)
					}
				}
				t.Logf("ended after %v", time.Since(began))
				time.Sleep(3 * time.Hour)
				w.Crash()
				time.Sleep(time.Hour)
				for _, key := range keys {
					times, lines := ended(t, w, key, "gone-"+key)
					require.Equal(t, []int{1, 1}, []int{times, lines})
					times, _ = ended(t, w, key, "kept-"+key)
					require.Zero(t, times)
				}
				if name == "cut off from the brokers" {
					dead.log.Connect()
				}
				require.Equal(t, 5, p.count("OnDisconnect"))
			})
		})
	}
}

// All die, and nobody is there for an hour. The worker that starts then ends what the dead gateway left.
func TestGatewayDeath_WorkerStartsLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlay()
		w := actortest.NewWith(t, p.config(), p.register)
		g := openGateway(t, w)
		only := w.Crash()
		g.connect(t, "a", "gone")
		g.die()
		w.Stop(only)
		time.Sleep(time.Hour)
		w.StartWorker()
		time.Sleep(15 * time.Second)
		times, lines := ended(t, w, "a", "gone")
		require.Equal(t, []int{1, 1}, []int{times, lines})
	})
}

// A gateway dies before it could write a lease.
func TestGatewayDeath_BeforeItsLease(t *testing.T) {
	perform(t, func(t *testing.T, w *actortest.World, p *play) {
		g := openGateway(t, w)
		w.Cluster.SetFaults(func(write memlog.Write) memlog.Fault {
			if write.Client == g.log && len(write.Records[0].Headers) > 0 && schemas.Type(write.Records[0].Headers[0].Value) == schemas.TypeLease {
				return memlog.Fault{Delay: time.Hour}
			}
			return memlog.Fault{}
		})
		g.connect(t, "a", "gone")
		g.die()
		time.Sleep(15 * time.Second)
		times, lines := ended(t, w, "a", "gone")
		require.Equal(t, []int{1, 1}, []int{times, lines})
	})
}

// OnDisconnect of a dead gateway's connections fails and fails: they have ended, once.
func TestGatewayDeath_HookFails(t *testing.T) {
	t.Parallel()
	for _, mishap := range mishaps {
		t.Run(mishap.name, func(t *testing.T) {
			perform(t, func(t *testing.T, w *actortest.World, p *play) {
				g := openGateway(t, w)
				g.connect(t, "a", "gone")
				p.script("OnDisconnect", mishap.rule)
				g.die()
				time.Sleep(10 * time.Minute)
				times, _ := ended(t, w, "a", "gone")
				require.Equal(t, 1, times)
				require.Equal(t, 1, p.count("OnDisconnect"))
				require.NotEmpty(t, p.failures())
			})
		})
	}
}
