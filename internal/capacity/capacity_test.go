package capacity

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func predict(t *testing.T, l Load, m Machine) Plan {
	t.Helper()
	p, err := Predict(Measured(), l, m)
	require.NoError(t, err)
	return p
}

// A team that starts needs the smallest cluster that survives the loss of one machine of each sort.
func TestPredict_Small(t *testing.T) {
	t.Parallel()
	p := predict(t, Load{Actors: 10_000, ActionsPerS: 100, Sockets: 1000}, Machine{})
	require.Equal(t, 3, p.Brokers)
	require.Equal(t, 2, p.Workers)
	require.Equal(t, 2, p.Gateways)
	require.Equal(t, 32, p.Partitions)
	require.Equal(t, "one to spare", p.WorkersFor)
}

func TestPredict_HundredMillionActors(t *testing.T) {
	t.Parallel()
	l := Load{Actors: 100e6, ActionsPerS: 100_000, Sockets: 2e6, FramesPerAction: 5, EventDays: 90}
	p := predict(t, l, Machine{})
	require.Equal(t, "disk", p.BrokersFor)
	require.Equal(t, "memory", p.GatewaysFor)
	require.GreaterOrEqual(t, p.Partitions, 256)
	require.GreaterOrEqual(t, p.Partitions, 4*p.Workers)
	// By hand: 33,333 actions a second on average, 700/3+... bytes of actions and of events, three replicas.
	f := Measured()
	perAction := f.LogBytes + 1.5*200
	require.InDelta(t, 100_000.0/3*86400*perAction*3, p.LogBytesPerDay, 1)
	require.InDelta(t, 2e6*f.SocketBytes, p.GatewayBytes*float64(p.Gateways-1), 1)
	require.LessOrEqual(t, p.GatewayBytes, 4.0*(1<<30), "half of the memory of each, with one of them gone")
}

// More of anything never takes less of anything.
func TestPredict_Monotone(t *testing.T) {
	t.Parallel()
	base := Load{Actors: 1e6, ActionsPerS: 10_000, Sockets: 100_000, FramesPerAction: 2, PayloadBytes: 300, StateBytes: 2000, EventDays: 30}
	before := predict(t, base, Machine{})
	for name, more := range map[string]func(*Load){
		"actors":  func(l *Load) { l.Actors *= 10 },
		"actions": func(l *Load) { l.ActionsPerS *= 10 },
		"sockets": func(l *Load) { l.Sockets *= 10 },
		"frames":  func(l *Load) { l.FramesPerAction *= 10 },
		"payload": func(l *Load) { l.PayloadBytes *= 10 },
		"state":   func(l *Load) { l.StateBytes *= 10 },
		"days":    func(l *Load) { l.EventDays *= 10 },
	} {
		l := base
		more(&l)
		after := predict(t, l, Machine{})
		require.GreaterOrEqual(t, after.Brokers, before.Brokers, name)
		require.GreaterOrEqual(t, after.Workers, before.Workers, name)
		require.GreaterOrEqual(t, after.Gateways, before.Gateways, name)
		require.GreaterOrEqual(t, after.Partitions, before.Partitions, name)
		require.GreaterOrEqual(t, after.LogBytes, before.LogBytes, name)
	}
}

func TestPredict_Refused(t *testing.T) {
	t.Parallel()
	for text, l := range map[string]Load{
		"actors: 0 is not":        {},
		"actions a second: -1":    {Actors: 1, ActionsPerS: -1},
		"share of actors awake":   {Actors: 1, Awake: 2},
		"more than at the busies": {Actors: 1, ActionsPerS: 1, MeanActionsPerS: 2},
	} {
		_, err := Predict(Measured(), l, Machine{})
		require.ErrorContains(t, err, text)
	}
}
