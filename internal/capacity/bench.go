package capacity

import (
	"errors"
	"fmt"
)

// Line is what is taken from one line of the output of bench with -json.
type Line struct {
	Name    string  `json:"name"`
	Callers int     `json:"callers"`
	AtOnce  int     `json:"at_once"`
	Actors  float64 `json:"actors"`
	Cores   float64 `json:"cores"`

	CPUUs          float64 `json:"cpu_us"`
	FramesPerS     float64 `json:"frames_per_s"`
	BytesPerActor  float64 `json:"bytes_per_actor"`
	BytesPerSocket float64 `json:"bytes_per_socket"`
	BytesPerAction float64 `json:"bytes_per_action"`
	EventsPerS     float64 `json:"events_per_s"`
}

// payload of the action that bench measures BytesPerAction with: an increment of a counter.
const benchPayload = 40

// FromBench takes the figures of a whole run of bench. What the run did not measure is as in [Measured], except for the calls, of which
// an error says that they are missing: without them there is nothing to predict from.
func FromBench(lines []Line) (Figures, error) {
	f, cores := Measured(), 1.0
	cpu := make(map[string]float64)
	for _, l := range lines {
		switch {
		case l.Name == "machine":
			cores = l.Cores
		case l.Callers == 256 && l.CPUUs > 0:
			cpu[l.Name] = l.CPUUs
		case l.Name == "fanout" && l.AtOnce == 16:
			f.FrameUs = cores * 1e6 / l.FramesPerS
		case l.Name == "fold":
			f.FoldPerS = l.EventsPerS / cores
		case l.Name == "hibernated": // the last one is the largest
			f.AsleepBytes = l.BytesPerActor
		case l.Name == "awake-memory":
			f.AwakeBytes = l.BytesPerActor
		case l.Name == "socket-memory":
			f.SocketBytes = l.BytesPerSocket
		case l.Name == "log-bytes":
			f.LogBytes = max(0, l.BytesPerAction-benchPayload)
		}
	}
	hop, inProcess, http := cpu["two-hop"], cpu["in-process"], cpu["http"]
	if hop == 0 || inProcess == 0 || http == 0 {
		return Figures{}, errors.New("there is no two-hop, in-process and http at 256 callers among the figures: run all of bench, or at least -run '/256$'")
	}
	if inProcess < hop || http < inProcess {
		return Figures{}, fmt.Errorf("processor times of two-hop, in-process and http are %g, %g and %g us, which do not rise: the machine was busy with something else", hop, inProcess, http)
	}
	f.BrokerUs, f.WorkerUs, f.GatewayUs = hop, inProcess-hop, http-inProcess
	return f, nil
}
