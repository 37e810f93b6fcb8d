// Package capacity predicts what it takes to run actorlog: how many brokers, workers and gateways, and how much disk, for so many
// actors, actions and sockets.
//
// It is arithmetic over figures that were measured ([Figures], from bench) and a description of what will be asked ([Load]); it
// measures nothing itself. Every assumption that is not a figure is a field of [Machine] or [Load] with its default, so that who
// knows better says so. It rounds against itself: processor time of load generators counts as the gateway's, that of clients as the brokers'.
//
// What it leaves out: network between zones, page cache, other tenants, and anything that user code does.
package capacity

import (
	"errors"
	"fmt"
	"math"
)

// Figures are costs, as bench measures them on one core of its machine.
type Figures struct {
	// BrokerUs is processor time of an append to actions and one to events, in microseconds: two-hop at 256 callers, clients included.
	BrokerUs float64
	// WorkerUs is what one action takes beyond that in process: in-process minus two-hop at 256 callers.
	WorkerUs float64
	// GatewayUs is what one call over HTTP takes beyond that: http minus in-process at 256 callers, load generator included.
	GatewayUs float64
	// FrameUs is one event to one socket: two cores over frames/s of fanout, 16 under way.
	FrameUs float64
	// SocketBytes is memory of a gateway for one socket that waits for events.
	SocketBytes float64
	// AsleepBytes and AwakeBytes are memory of a worker for one actor, without its state.
	AsleepBytes, AwakeBytes float64
	// LogBytes is what one action adds to all topics beyond its arguments, result and patch, uncompressed, on one replica.
	LogBytes float64
	// StoreBytes is what one actor takes in a worker's local store beyond its state.
	StoreBytes float64
	// FoldPerS is events a second that one core folds at recovery.
	FoldPerS float64
}

// Measured is the figures of bench/README.md.
func Measured() Figures {
	return Figures{
		BrokerUs: 13.3, WorkerUs: 18.2, GatewayUs: 33.5, FrameUs: 6,
		SocketBytes: 55_700, AsleepBytes: 81, AwakeBytes: 1500,
		LogBytes: 364, StoreBytes: 200, FoldPerS: 290_000,
	}
}

// Load is what will be asked of a deployment.
type Load struct {
	// Actors that exist. At least one.
	Actors float64
	// ActionsPerS at the busiest time.
	ActionsPerS float64
	// MeanActionsPerS over a day, for what the log keeps. 0: a third of ActionsPerS.
	MeanActionsPerS float64
	// Sockets that are connected.
	Sockets float64
	// FramesPerAction is how many sockets one action's events reach, on average. 0: none.
	FramesPerAction float64
	// PayloadBytes of one action: its arguments, result and patch. 0: 200.
	PayloadBytes float64
	// StateBytes of one actor. 0: 1,000.
	StateBytes float64
	// Awake is the share of actors in memory, 0 to 1. 0: as many as have an action within 30 s, but not more than all.
	Awake float64
	// EventDays and ActionDays are how long events and actions are kept. 0: 365 and 7.
	EventDays, ActionDays float64
}

// Machine is what there is to run on. Zero values are the defaults that each field names.
type Machine struct {
	// Cores of each worker, gateway and broker. 0: 4.
	Cores float64
	// MemoryBytes of each worker and gateway, for what is counted here. 0: 8 GiB.
	MemoryBytes float64
	// BrokerDiskBytes of each broker. 0: 2 TiB.
	BrokerDiskBytes float64
	// BrokerBytesPerS that one broker writes, all replicas counted. 0: 100 MiB/s.
	BrokerBytesPerS float64
	// Replicas of each partition. 0: 3.
	Replicas float64
	// Use is the share of processors, memory and disk that is used at the busiest time. 0: one half.
	Use float64
	// CheckpointS is seconds between two checkpoints. 0: 30.
	CheckpointS float64
}

// Plan is what it takes.
type Plan struct {
	// Brokers, Workers and Gateways: how many, each one more than the load needs, so that one may fail.
	Brokers, Workers, Gateways int
	// Partitions of the topics; fixed when they are made.
	Partitions int
	// Why each number is not smaller: "processor", "memory", "disk", "bandwidth", or "one to spare".
	BrokersFor, WorkersFor, GatewaysFor string
	// LogBytesPerDay that all topics grow by, all replicas counted; LogBytes once the retention is reached.
	LogBytesPerDay, LogBytes float64
	// WorkerBytes and GatewayBytes of memory, and StoreBytes of local disk, of each.
	WorkerBytes, GatewayBytes, StoreBytes float64
	// TakeOverS is seconds until the shards of a worker that was killed have been folded by the others, after the group noticed; no longer
	// with warm standbys.
	TakeOverS float64
}

const (
	day         = 24 * 3600
	awakeFor    = 30.0 // seconds: host.Config.SleepAfter
	perShard    = 400_000
	minShards   = 32
	shardRate   = 2_000 // actions a second and shard, so that one more worker always finds shards to take
	minReplicas = 3
)

func or(value, otherwise float64) float64 {
	if value == 0 {
		return otherwise
	}
	return value
}

// Predict makes a plan. It returns an error that names the field if one makes no sense.
func Predict(f Figures, l Load, m Machine) (Plan, error) {
	if err := check(l, m); err != nil {
		return Plan{}, err
	}
	cores, use, replicas := or(m.Cores, 4), or(m.Use, 0.5), or(m.Replicas, 3)
	memory := or(m.MemoryBytes, 8<<30) * use
	payload, state := or(l.PayloadBytes, 200), or(l.StateBytes, 1000)
	mean := or(l.MeanActionsPerS, l.ActionsPerS/3)
	awake := l.Actors * l.Awake
	if l.Awake == 0 {
		awake = math.Min(l.Actors, l.ActionsPerS*awakeFor)
	}
	var p Plan

	// The payload stands in actions (arguments) and in events (arguments, result, patch).
	actionBytes, eventBytes := f.LogBytes/3+payload/2, 2*f.LogBytes/3+payload
	p.LogBytesPerDay = mean * day * (actionBytes + eventBytes) * replicas
	snapshots := l.Actors * (state + f.StoreBytes)
	p.LogBytes = (mean*day*(actionBytes*or(l.ActionDays, 7)+eventBytes*or(l.EventDays, 365)) + 2*snapshots) * replicas
	dirty := math.Min(awake, l.ActionsPerS*or(m.CheckpointS, 30)) / or(m.CheckpointS, 30) // snapshots a second
	written := (l.ActionsPerS*(actionBytes+eventBytes) + dirty*(state+f.StoreBytes)) * replicas

	var need float64
	need, p.BrokersFor = most(
		reason{l.ActionsPerS * f.BrokerUs * replicas / 1e6 / (cores * use), "processor"},
		reason{p.LogBytes / (or(m.BrokerDiskBytes, 2<<40) * use), "disk"},
		reason{written / (or(m.BrokerBytesPerS, 100<<20) * use), "bandwidth"},
	)
	p.Brokers = int(math.Max(math.Ceil(need)+1, math.Max(minReplicas, replicas)))

	workerMemory := awake*(f.AwakeBytes+2*state) + l.Actors*f.AsleepBytes
	need, p.WorkersFor = most(
		reason{l.ActionsPerS * f.WorkerUs / 1e6 / (cores * use), "processor"}, reason{workerMemory / memory, "memory"})
	p.Workers = int(math.Ceil(need)) + 1
	p.WorkerBytes = workerMemory / float64(max(1, p.Workers-1))
	p.StoreBytes = snapshots / float64(max(1, p.Workers-1))

	need, p.GatewaysFor = most(
		reason{(l.ActionsPerS*f.GatewayUs + l.ActionsPerS*l.FramesPerAction*f.FrameUs) / 1e6 / (cores * use), "processor"},
		// Each gateway follows all events.
		reason{l.Sockets * f.SocketBytes / memory, "memory"})
	p.Gateways = int(math.Ceil(need)) + 1
	p.GatewayBytes = l.Sockets * f.SocketBytes / float64(max(1, p.Gateways-1))

	p.Partitions = shards(math.Max(l.Actors/perShard, l.ActionsPerS/shardRate), p.Workers)
	lost := l.ActionsPerS * or(m.CheckpointS, 30) / float64(p.Workers) // events of one worker since its last checkpoints
	p.TakeOverS = lost / (f.FoldPerS * cores * math.Max(1, float64(p.Workers-1)))
	return p, nil
}

func check(l Load, m Machine) error {
	for _, v := range []struct {
		name      string
		value     float64
		low, high float64
	}{
		{"actors", l.Actors, 1, 1e12}, {"actions a second", l.ActionsPerS, 0, 1e9}, {"mean actions a second", l.MeanActionsPerS, 0, 1e9},
		{"sockets", l.Sockets, 0, 1e9}, {"frames for an action", l.FramesPerAction, 0, 1e6}, {"bytes of a payload", l.PayloadBytes, 0, 1 << 20},
		{"bytes of a state", l.StateBytes, 0, 1 << 20}, {"share of actors awake", l.Awake, 0, 1}, {"days of events", l.EventDays, 0, 36500},
		{"days of actions", l.ActionDays, 0, 36500}, {"cores", m.Cores, 0, 1024}, {"memory", m.MemoryBytes, 0, 1 << 50}, {"replicas", m.Replicas, 0, 9},
		{"share of a machine that is used", m.Use, 0, 1}, {"seconds between checkpoints", m.CheckpointS, 0, 86400},
		{"disk of a broker", m.BrokerDiskBytes, 0, 1 << 60}, {"bandwidth of a broker", m.BrokerBytesPerS, 0, 1 << 50},
	} {
		if !(v.value >= v.low && v.value <= v.high) {
			return fmt.Errorf("%s: %g is not from %g to %g", v.name, v.value, v.low, v.high)
		}
	}
	if l.MeanActionsPerS > l.ActionsPerS {
		return errors.New("mean actions a second: more than at the busiest time")
	}
	return nil
}

type reason struct {
	need float64
	why  string
}

// most is what needs most; where less than one does for all, that there is one to spare.
func most(reasons ...reason) (float64, string) {
	top := reasons[0]
	for _, r := range reasons[1:] {
		if r.need > top.need {
			top = r
		}
	}
	if top.need <= 1 {
		return 1, "one to spare"
	}
	return top.need, top.why
}

// shards is a power of two, enough for what each carries, and at least four for each worker.
func shards(need float64, workers int) int {
	n := minShards
	for float64(n) < need || n < 4*workers {
		n *= 2
	}
	return n
}
