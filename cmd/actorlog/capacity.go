package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/actorlog/actorlog/internal/capacity"
)

// capacityCmd predicts what it takes to run so much; docs/capacity.md.
type capacityCmd struct {
	Actors   float64 `help:"Actors that exist." default:"1e6"`
	Actions  float64 `help:"Actions a second, at the busiest time." default:"1000"`
	Mean     float64 `help:"Actions a second over a whole day, for what the log keeps. Default: a third of --actions."`
	Sockets  float64 `help:"Sockets that are connected." default:"10000"`
	Frames   float64 `help:"How many sockets the events of one action reach, on average."`
	Payload  float64 `help:"Bytes of one action: arguments, result and patch." default:"200"`
	State    float64 `help:"Bytes of the state of one actor." default:"1000"`
	Awake    float64 `help:"Share of actors in memory, 0 to 1. Default: those that have an action within 30 s."`
	Days     float64 `help:"How many days events are kept." default:"365"`
	Cores    float64 `help:"Cores of each machine." default:"4"`
	Memory   float64 `help:"GiB of memory of each worker and gateway." default:"8"`
	Disk     float64 `help:"GiB of disk of each broker." default:"2048"`
	Replicas float64 `help:"Replicas of each partition." default:"3"`
	Use      float64 `help:"Share of each machine that is used at the busiest time." default:"0.5"`
	Bench    string  `help:"Figures of your own machine: the output of the benchmarks with -json, or - for standard input." type:"path" placeholder:"FILE"`
	JSON     bool    `help:"Print one JSON object." name:"json"`
}

// Run implements the command.
func (c *capacityCmd) Run() error {
	plan, err := c.predict()
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(os.Stdout).Encode(plan)
	}
	return printPlan(os.Stdout, &plan)
}

func (c *capacityCmd) predict() (capacity.Plan, error) {
	figures := capacity.Measured()
	if c.Bench != "" {
		var err error
		if figures, err = readFigures(c.Bench); err != nil {
			return capacity.Plan{}, err
		}
	}
	const gib = 1 << 30
	return capacity.Predict(figures, capacity.Load{
		Actors: c.Actors, ActionsPerS: c.Actions, MeanActionsPerS: c.Mean, Sockets: c.Sockets, FramesPerAction: c.Frames,
		PayloadBytes: c.Payload, StateBytes: c.State, Awake: c.Awake, EventDays: c.Days,
	}, capacity.Machine{
		Cores: c.Cores, MemoryBytes: c.Memory * gib, BrokerDiskBytes: c.Disk * gib, Replicas: c.Replicas, Use: c.Use,
	})
}

func printPlan(out io.Writer, p *capacity.Plan) error {
	const gib = 1 << 30
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "brokers\t%d\tfor %s\n", p.Brokers, p.BrokersFor)
	fmt.Fprintf(w, "workers\t%d\tfor %s; of each %.1f GiB of memory for actors, %.1f GiB of disk\n",
		p.Workers, p.WorkersFor, p.WorkerBytes/gib, p.StoreBytes/gib)
	fmt.Fprintf(w, "gateways\t%d\tfor %s; of each %.1f GiB of memory for sockets\n", p.Gateways, p.GatewaysFor, p.GatewayBytes/gib)
	fmt.Fprintf(w, "partitions\t%d\tof actions, events and snapshots\n", p.Partitions)
	fmt.Fprintf(w, "log\t%.0f GiB\twith all replicas, once old events expire; %.1f GiB a day\n", p.LogBytes/gib, p.LogBytesPerDay/gib)
	fmt.Fprintf(w, "take-over\t%.1f s\tof the shards of a worker that is killed, without warm standbys, after the session timeout\n", p.TakeOverS)
	return w.Flush()
}

func readFigures(path string) (capacity.Figures, error) {
	in := os.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return capacity.Figures{}, err
		}
		defer f.Close()
		in = f
	}
	var lines []capacity.Line
	for d := json.NewDecoder(in); ; {
		var line capacity.Line
		err := d.Decode(&line)
		if errors.Is(err, io.EOF) {
			return capacity.FromBench(lines)
		}
		if err != nil {
			return capacity.Figures{}, fmt.Errorf("reading figures of %s: %w; give it the output of go run ./bench -json", path, err)
		}
		lines = append(lines, line)
	}
}
