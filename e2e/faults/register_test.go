package faults

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
)

const (
	registerClients = 4
	// A register is left for a new one after so many operations, or so many of which nobody knows whether they happened: the check takes
	// time that doubles with each of those.
	registerOperations, registerUnknown = 400, 5
)

// operation on a register.
type operation struct {
	what     string // the action: read, write, compareAndSet
	old, new int64
}

// result of an operation.
type result struct {
	unknown bool // whether it happened
	value   int64
	swapped bool
}

// model is what a register does.
var model = porcupine.Model{
	Init: func() any { return int64(0) },
	Step: func(state, input, output any) (bool, any) {
		value, in, out := state.(int64), input.(operation), output.(result)
		switch in.what {
		case "read":
			return out.value == value, value
		case "write":
			return true, in.new
		}
		swapped := in.old == value
		if swapped {
			value = in.new
		}
		return out.unknown || out.swapped == swapped, value
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v: %+v", input, output) },
}

// registers is clients who share one register after the other.
type registers struct {
	began   time.Time
	current atomic.Pointer[history]

	mu   sync.Mutex
	all  []*history
	name func(n int) string
}

// history of one register.
type history struct {
	path string

	mu         sync.Mutex
	operations []porcupine.Operation
	unknown    int
}

func (l *load) startRegisters(group int) {
	r := &registers{began: time.Now(), name: func(n int) string { return fmt.Sprintf("register/%d/%d", group, n) }}
	r.next(nil)
	l.registers = append(l.registers, r)
	for i := range registerClients {
		var last int64 // value that the client knows
		// Two of them insist on an answer. The others give up, and never know.
		insists := i%2 == 0
		l.loop(5*time.Millisecond, func() { l.operate(r, i, insists, &last) })
	}
}

// next goes on to a new register, unless another client was faster.
func (r *registers) next(old *history) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current.Load() != old {
		return
	}
	h := &history{path: r.name(len(r.all))}
	r.all = append(r.all, h)
	r.current.Store(h)
}

// operate does one operation and notes it.
func (l *load) operate(r *registers, client int, insists bool, last *int64) {
	h := r.current.Load()
	in := operation{what: "read"}
	body := ""
	switch rand.IntN(5) {
	case 0, 1:
		in = operation{what: "write", new: rand.Int64N(1 << 50)} // there once
		body = strconv.FormatInt(in.new, 10)
	case 2, 3:
		in = operation{what: "compareAndSet", old: *last, new: rand.Int64N(1 << 50)}
		body = fmt.Sprintf("[%d,%d]", in.old, in.new)
	}
	op := porcupine.Operation{ClientId: client, Input: in, Call: time.Since(r.began).Nanoseconds()}
	var a answer
	if insists {
		var ok bool
		if a, ok = l.do(h.path+"/actions/"+in.what, body, newKey()); !ok {
			return
		}
	} else {
		a = l.try(rand.IntN(2), h.path+"/actions/"+in.what, body, "")
	}
	op.Return = time.Since(r.began).Nanoseconds()
	out := result{}
	switch {
	case a.ok():
		switch in.what {
		case "read":
			out.value, _ = strconv.ParseInt(a.body, 10, 64) // what is no number is no value that was written
			*last = out.value
		case "write":
			*last = in.new
		default:
			out.swapped = a.body == "true"
			*last = in.new
		}
	case a.status == http.StatusServiceUnavailable || errors.Is(a.err, syscall.ECONNREFUSED) || in.what == "read":
		return // certainly without effect: that is a promise, and a value that is seen all the same breaks it
	case a.err != nil || a.status == http.StatusGatewayTimeout:
		out.unknown, op.Return = true, math.MaxInt64
	default:
		l.t.Errorf("%s %+v: %s", h.path, in, a)
		return
	}
	op.Output = out
	if h.note(op, out.unknown) {
		r.next(h)
	}
}

// note adds an operation, and says whether they are enough.
func (h *history) note(op porcupine.Operation, unknown bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.operations = append(h.operations, op)
	if unknown {
		h.unknown++
	}
	return len(h.operations) >= registerOperations || h.unknown >= registerUnknown
}

func (l *load) checkRegisters(r *registers, checked tally) {
	l.t.Helper()
	for _, h := range r.all {
		result, info := porcupine.CheckOperationsVerbose(model, h.operations, time.Minute)
		if result != porcupine.Ok {
			page := filepath.Join(l.t.ArtifactDir(), "history.html")
			require.NoError(l.t, porcupine.VisualizePath(model, info, page))
			for _, op := range h.operations {
				l.t.Logf("%d %d..%d %s", op.ClientId, op.Call, op.Return, model.DescribeOperation(op.Input, op.Output))
			}
		}
		require.Equal(l.t, porcupine.Ok, result, "%s: its history is not linearizable (run with -artifacts to see it)", h.path)
		checked["operations on registers"] += len(h.operations)
		checked["of them without an answer"] += h.unknown
		checked["registers"]++
	}
}
