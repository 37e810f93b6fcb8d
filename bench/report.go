package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// result is one line of figures. With -json it is one object a line; fields that a kind of result
// does not have are left out. Which name has which fields is in README.md.
type result struct {
	// Name of what was measured.
	Name string `json:"name"`

	// Callers at once, in a closed loop, and what they got.
	Callers int     `json:"callers,omitempty"`
	OpsPerS float64 `json:"ops_per_s,omitempty"`
	P50us   float64 `json:"p50_us,omitempty"`
	P99us   float64 `json:"p99_us,omitempty"`
	MaxUs   float64 `json:"max_us,omitempty"`
	// CPUus is the processor time that the whole process took for one of them: broker, clients, worker,
	// gateway and load generator.
	CPUus float64 `json:"cpu_us,omitempty"`

	// Events of a fold or a recovery, and how they went.
	Events     *int    `json:"events,omitempty"`
	EventsPerS float64 `json:"events_per_s,omitempty"`
	// RecoveredMs is from the start of the worker until all shards are open, ServingMs until each has
	// answered a call, ShardMs the mean of what opening one shard took.
	RecoveredMs float64 `json:"recovered_ms,omitempty"`
	ServingMs   float64 `json:"serving_ms,omitempty"`
	ShardMs     float64 `json:"shard_ms,omitempty"`
	// Of a storm, RecoveredMs is until the last socket has all that it missed; half of them and 99 of 100 take so long.
	RecoveredP50Ms float64 `json:"recovered_p50_ms,omitempty"`
	RecoveredP99Ms float64 `json:"recovered_p99_ms,omitempty"`
	// NsPerEvent is processor time of one step on one event in memory.
	NsPerEvent float64 `json:"ns_per_event,omitempty"`

	// Actors that are asleep, and what the worker's process takes for them; the same process without
	// actors took BaseRSSBytes.
	Actors        int     `json:"actors,omitempty"`
	RSSBytes      int64   `json:"rss_bytes,omitempty"`
	BaseRSSBytes  int64   `json:"base_rss_bytes,omitempty"`
	PeakRSSBytes  int64   `json:"peak_rss_bytes,omitempty"`
	HeapBytes     int64   `json:"heap_bytes,omitempty"`
	BytesPerActor float64 `json:"bytes_per_actor,omitempty"`
	CreatedPerS   float64 `json:"created_per_s,omitempty"`

	// What one socket takes in a gateway, and one action in the files of one replica.
	BytesPerSocket float64 `json:"bytes_per_socket,omitempty"`
	BytesPerAction float64 `json:"bytes_per_action,omitempty"`

	// Times what the actors can carry is what they were asked for; Refused were answered 503, in the time that the percentiles say, and
	// for Missed the generator had no connection. PeakHeapBytes is the heap in use of the whole process.
	Times         float64 `json:"times,omitempty"`
	RefusedPerS   float64 `json:"refused_per_s,omitempty"`
	MissedPerS    float64 `json:"missed_per_s,omitempty"`
	PeakHeapBytes int64   `json:"peak_heap_bytes,omitempty"`

	// Sockets that get each broadcast, and how many broadcasts are under way at once.
	Sockets  int     `json:"sockets,omitempty"`
	AtOnce   int     `json:"at_once,omitempty"`
	FramePS  float64 `json:"frames_per_s,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"`
	Target   string  `json:"target,omitempty"`
	Reached  *bool   `json:"reached,omitempty"`
	Cores    int     `json:"cores,omitempty"`
	RAMBytes int64   `json:"ram_bytes,omitempty"`
	CPU      string  `json:"cpu,omitempty"`
	Go       string  `json:"go,omitempty"`
	OS       string  `json:"os,omitempty"`
	Load     string  `json:"load,omitempty"`
}

// report collects results, and prints them: at once as JSON, or at the end as tables.
type report struct {
	out     io.Writer
	json    bool
	began   time.Time
	results []result
	notes   []string
	host    result
}

func newReport(out io.Writer, asJSON bool) *report {
	return &report{out: out, json: asJSON, began: time.Now()}
}

// progress tells whoever waits what is being measured.
func (r *report) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

func (r *report) add(result result) {
	r.results = append(r.results, result)
	r.print(result)
}

// print writes one line of JSON.
func (r *report) print(result result) {
	if !r.json {
		return
	}
	e := json.NewEncoder(r.out)
	e.SetEscapeHTML(false)
	if err := e.Encode(result); err != nil {
		fmt.Fprintf(os.Stderr, "bench: writing a result: %v\n", err)
	}
}

// note is something that a reader of the figures must know.
func (r *report) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.notes = append(r.notes, text)
	fmt.Fprintf(os.Stderr, "%6.1fs  note: %s\n", time.Since(r.began).Seconds(), text)
}

// machine notes where this runs.
func (r *report) machine() {
	r.host = result{
		Name: "machine", Cores: runtime.GOMAXPROCS(0), RAMBytes: procValue("/proc/meminfo", "MemTotal:"),
		CPU: procText("/proc/cpuinfo", "model name"), Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		r.host.Load = strings.Join(strings.Fields(string(load))[:3], " ")
	}
	r.print(r.host)
}

// find returns the first result that matches.
func (r *report) find(name string, match func(*result) bool) *result {
	for i := range r.results {
		if c := &r.results[i]; c.Name == name && (match == nil || match(c)) {
			return c
		}
	}
	return nil
}

// ratio of one result to another, and what it should be.
type ratio struct {
	what    string
	value   float64
	atLeast float64 // or
	atMost  float64
	unit    string
}

func (q *ratio) target() string {
	switch {
	case q.atLeast > 0:
		return fmt.Sprintf(">= %g%s", q.atLeast, q.unit)
	case q.atMost > 0:
		return fmt.Sprintf("<= %g%s", q.atMost, q.unit)
	}
	return ""
}

func (q *ratio) reached() *bool {
	ok := q.value >= q.atLeast && (q.atMost == 0 || q.value <= q.atMost)
	if q.target() == "" {
		return nil
	}
	return &ok
}

// ratios are what section 11 of the design asks for, as far as it was measured.
func (r *report) ratios() []ratio {
	var ratios []ratio
	add := func(format string, args ...any) func(value, atLeast, atMost float64) {
		return func(value, atLeast, atMost float64) {
			ratios = append(ratios, ratio{what: fmt.Sprintf(format, args...), value: round(value), atLeast: atLeast, atMost: atMost})
		}
	}
	for _, way := range []struct {
		name    string
		atLeast float64
	}{{"in-process", 0.5}, {"http", 0.25}, {"websocket", 0}, {"http-bare", 0}, {"websocket-bare", 0}} {
		for i := range r.results {
			c := &r.results[i]
			hop := r.find("two-hop", func(h *result) bool { return h.Callers == c.Callers })
			if c.Name == way.name && hop != nil {
				add("throughput, %s / two-hop, callers: %d", way.name, c.Callers)(c.OpsPerS/hop.OpsPerS, way.atLeast, 0)
			}
		}
	}
	one := func(c *result) bool { return c.Callers == 1 }
	if hop, in := r.find("two-hop", one), r.find("in-process", one); hop != nil && in != nil {
		add("p50 at 1 caller, in-process / two-hop")(in.P50us/hop.P50us, 0, 2)
	}
	if raw, fold := r.find("raw-consume", nil), r.find("fold", nil); raw != nil && fold != nil {
		add("events a second, fold / raw consume")(fold.EventsPerS/raw.EventsPerS, 0.5, 0)
		if audit := r.find("audit", nil); audit != nil {
			add("events a second, audit / raw consume")(audit.EventsPerS/raw.EventsPerS, 0, 0)
		}
		if verify := r.find("verify", nil); verify != nil {
			add("events a second, verify / raw consume")(verify.EventsPerS/raw.EventsPerS, 0, 0)
		}
	}
	if plain, all := r.find("plain-insert", nil), r.find("projector", nil); plain != nil && all != nil {
		add("events a second, projector / plain insert of the same events")(all.EventsPerS/plain.EventsPerS, 0.5, 0)
	}
	for _, way := range []struct{ name, read, what string }{
		{"past-fold", "past-read", "a fold of all its actors"},
		{"past-head", "past-read", "the state of an actor now"},
		{"past-middle", "past-read-half", "the state of an actor in the middle"},
		{"past-chain", "past-read", "all events of an actor, by the chain"},
		{"past-newest", "past-read", "the newest 50 events of an actor"},
	} {
		if c, read := r.find(way.name, nil), r.find(way.read, nil); c != nil && read != nil {
			add("time in a shard, %s / mere read of the same records", way.what)(c.P50us/read.P50us, 0, 0)
		}
	}
	for i := range r.results {
		c := &r.results[i]
		same := func(o *result) bool { return o.Actors == c.Actors && o.AtOnce == c.AtOnce }
		switch c.Name {
		case "fanout":
			if raw := r.find("fanout-raw", same); raw != nil {
				add("time to the last of %d sockets, broadcast / socket library, %d at once", c.Sockets, c.AtOnce)(c.P50us/raw.P50us, 0, 2)
			}
		case "storm":
			if before := r.find("storm-before", nil); before != nil {
				add("p99 of live calls, while %d sockets come back / before", c.Sockets)(c.P99us/before.P99us, 0, 0)
			}
		case "wake":
			if awake := r.find("awake", same); awake != nil {
				add("p50, waking call / awake call, %d actors", c.Actors)(c.P50us/awake.P50us, 0, 2)
			}
		case "overload":
			if carried := r.find("overload", nil); c.Times > carried.Times {
				add("done, asked for %g times what is carried / for %g times", c.Times, carried.Times)(c.OpsPerS/carried.OpsPerS, 0.9, 0)
				add("peak heap, asked for %g times what is carried / for %g times", c.Times, carried.Times)(
					float64(c.PeakHeapBytes)/float64(carried.PeakHeapBytes), 0, 0)
			}
		case "neighbours-slow", "neighbours-busy":
			alone, elsewhere := r.find("neighbours", nil), r.find(c.Name+"-elsewhere", nil)
			if alone != nil && elsewhere != nil {
				what := strings.TrimPrefix(c.Name, "neighbours-")
				add("p50, others in the shard of a %s flooded actor / without one", what)(c.P50us/alone.P50us, 0, 2)
				add("p99, others in the shard of a %s flooded actor / without one", what)(c.P99us/alone.P99us, 0, 2)
				add("p50, others in the shard of a %s flooded actor / in other shards", what)(c.P50us/elsewhere.P50us, 0, 2)
				add("p99, others in the shard of a %s flooded actor / in other shards", what)(c.P99us/elsewhere.P99us, 0, 2)
			}
		case "hibernated":
			ratios = append(ratios, ratio{
				what:  fmt.Sprintf("memory of the worker with %d actors asleep", c.Actors),
				value: round(float64(c.RSSBytes) / (1 << 20)), atMost: 200, unit: " MiB",
			})
		}
	}
	return ratios
}

// finish prints what depends on all results.
func (r *report) finish() {
	ratios := r.ratios()
	if r.json {
		for _, q := range ratios {
			r.print(result{Name: "ratio: " + q.what, Ratio: q.value, Target: q.target(), Reached: q.reached()})
		}
		return
	}
	h := &r.host
	fmt.Fprintf(r.out, "Machine: %d cores (%s), %.0f GiB RAM, %s, %s; load before the run: %s\n",
		h.Cores, h.CPU, float64(h.RAMBytes)/(1<<30), h.Go, h.OS, h.Load)
	r.table("Ratios", []string{"", "ratio", "target", ""}, func(row func(...any)) {
		for _, q := range ratios {
			verdict := ""
			if ok := q.reached(); ok != nil {
				verdict = map[bool]string{true: "reached", false: "missed"}[*ok]
			}
			row(q.what, number(q.value)+q.unit, q.target(), verdict)
		}
	})
	r.section("Calls, closed loop", []string{"two-hop", "in-process", "http", "websocket", "http-bare", "websocket-bare"},
		[]string{"", "callers", "ops/s", "p50", "p99", "cpu/op"},
		func(c *result) []any {
			return []any{c.Name, c.Callers, number(c.OpsPerS), us(c.P50us), us(c.P99us), number(c.CPUus) + "\u00b5s"}
		})
	r.section("Broadcast, until the last socket has it", []string{"fanout-raw", "fanout"},
		[]string{"", "sockets", "at once", "frames/s", "p50", "p99"},
		func(c *result) []any {
			return []any{c.Name, c.Sockets, c.AtOnce, number(c.FramePS), us(c.P50us), us(c.P99us)}
		})
	r.section("Live calls before and while all sockets of a gateway come back", []string{"storm-before", "storm"},
		[]string{"", "callers", "p50", "p99", "sockets", "half recovered", "99 %", "all"},
		func(c *result) []any {
			if c.Sockets == 0 {
				return []any{c.Name, c.Callers, us(c.P50us), us(c.P99us), "", "", "", ""}
			}
			return []any{c.Name, c.Callers, us(c.P50us), us(c.P99us), c.Sockets, ms(c.RecoveredP50Ms), ms(c.RecoveredP99Ms), ms(c.RecoveredMs)}
		})
	r.section("Reading events from the log", []string{"raw-consume", "tail", "fold", "verify", "audit"},
		[]string{"", "events", "events/s"},
		func(c *result) []any { return []any{c.Name, *c.Events, number(c.EventsPerS)} })
	r.section("Events into ClickHouse", []string{"plain-insert", "projector"},
		[]string{"", "events", "events/s", "us of processor per event"},
		func(c *result) []any { return []any{c.Name, *c.Events, number(c.EventsPerS), c.CPUus} })
	r.section("Looking at the past, in one shard", []string{"past-read", "past-fold", "past-head", "past-read-half", "past-middle", "past-chain", "past-newest"},
		[]string{"", "events", "took", "events/s"},
		func(c *result) []any { return []any{c.Name, *c.Events, us(c.P50us), number(c.EventsPerS)} })
	r.section("Processor time of one event in memory", []string{"decode", "apply", "patch"},
		[]string{"", "ns"},
		func(c *result) []any { return []any{c.Name, number(c.NsPerEvent)} })
	r.section("Recovery of 32 shards on 1 worker without local store", []string{"recovery"},
		[]string{"", "events since the checkpoint", "one shard", "all open", "all answer"},
		func(c *result) []any {
			return []any{c.Name, *c.Events, ms(c.ShardMs), ms(c.RecoveredMs), ms(c.ServingMs)}
		})
	r.section("Actors asleep", []string{"hibernated"},
		[]string{"", "actors", "worker RSS", "RSS before", "peak RSS", "Go heap", "bytes/actor", "created/s"},
		func(c *result) []any {
			return []any{c.Name, c.Actors, mib(c.RSSBytes), mib(c.BaseRSSBytes), mib(c.PeakRSSBytes), mib(c.HeapBytes), number(c.BytesPerActor), number(c.CreatedPerS)}
		})
	r.section("What else a plan needs to know", []string{"log-bytes", "awake-memory", "socket-memory"},
		[]string{"", "actors", "bytes/actor", "sockets", "bytes/socket", "bytes/action"},
		func(c *result) []any {
			return []any{c.Name, c.Actors, number(c.BytesPerActor), c.Sockets, number(c.BytesPerSocket), number(c.BytesPerAction)}
		})
	r.section("A call to an actor that sleeps, and the next one", []string{"wake", "awake"},
		[]string{"", "actors", "p50", "p99"},
		func(c *result) []any { return []any{c.Name, c.Actors, us(c.P50us), us(c.P99us)} })
	r.section("Asked for more than actors can carry", []string{"overload"},
		[]string{"", "times", "done/s", "refused/s", "refused within, p50", "p99", "not sent/s", "peak heap"},
		func(c *result) []any {
			return []any{c.Name, c.Times, number(c.OpsPerS), number(c.RefusedPerS), us(c.P50us), us(c.P99us), number(c.MissedPerS), mib(c.PeakHeapBytes)}
		})
	r.section("Calls to others while one actor is flooded", []string{
		"neighbours", "neighbours-slow", "neighbours-slow-elsewhere", "neighbours-busy", "neighbours-busy-elsewhere",
	}, []string{"", "p50", "p99"},
		func(c *result) []any { return []any{c.Name, us(c.P50us), us(c.P99us)} })
	r.section("Calls while workers come and go", failovers,
		[]string{"", "callers", "ops/s", "p50", "p99", "longest"},
		func(c *result) []any {
			return []any{c.Name, c.Callers, number(c.OpsPerS), us(c.P50us), us(c.P99us), us(c.MaxUs)}
		})
	r.section("A worker takes over the shard of one that was killed", []string{"take-over, cold", "take-over, warm"},
		[]string{"", "actors", "opening the shard", "from the death to an answer"},
		func(c *result) []any { return []any{c.Name, c.Actors, ms(c.ShardMs), ms(c.ServingMs)} })
	for _, note := range r.notes {
		fmt.Fprintf(r.out, "\nNote: %s\n", note)
	}
}

// section prints the results of some names, if there are any.
func (r *report) section(title string, names, header []string, cells func(*result) []any) {
	r.table(title, header, func(row func(...any)) {
		for i := range r.results {
			if slices.Contains(names, r.results[i].Name) {
				row(cells(&r.results[i])...)
			}
		}
	})
}

func (r *report) table(title string, header []string, rows func(row func(cells ...any))) {
	w := tabwriter.NewWriter(r.out, 0, 0, 3, ' ', 0)
	n := 0
	rows(func(cells ...any) {
		if n++; n == 1 {
			fmt.Fprintf(r.out, "\n%s\n\n", title)
			fmt.Fprintln(w, "  "+strings.Join(header, "\t"))
		}
		for i, cell := range cells {
			cells[i] = fmt.Sprint(cell)
		}
		fmt.Fprint(w, "  ")
		for i, cell := range cells {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, cell)
		}
		fmt.Fprintln(w)
	})
	_ = w.Flush() // to stdout
}

func number(x float64) string {
	if x >= 1000 {
		text := strconv.FormatFloat(x, 'f', 0, 64)
		for i := len(text) - 3; i > 0; i -= 3 {
			text = text[:i] + "," + text[i:]
		}
		return text
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}

func us(x float64) string {
	return time.Duration(x * float64(time.Microsecond)).Round(time.Microsecond).String()
}

func ms(x float64) string { return number(x) + "ms" }

func mib(n int64) string { return number(round(float64(n)/(1<<20))) + " MiB" }

// procValue is a number of kilobytes in a file of /proc, in bytes; 0 where there is none.
func procValue(file, field string) int64 {
	text, _, _ := strings.Cut(procText(file, field), " ")
	n, _ := strconv.ParseInt(text, 10, 64)
	return n << 10
}

// procText is a field in a file of /proc; empty where there is none.
func procText(file, field string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			return strings.TrimSpace(strings.TrimLeft(rest, ": \t"))
		}
	}
	return ""
}
