// Package floors is the structure of actorlog as a table, and the test that holds the code to it.
//
// A package imports packages of strictly lower floors only. So the rules of the log can be
// read, tested and replayed without a broker, a clock or a goroutine, and a broker can be
// exchanged without touching the rules. ARCHITECTURE.md says what each package is for.
//
// The test reads the sources themselves, of all platforms and build tags. It fails for a
// package that is not in [Table] and for a line of it whose package is gone.
//
// What it cannot see is left to review: a range over a map whose order reaches the output of a
// pure package, and a clock or dice behind somebody else's innocent import.
package floors

// Sort is what a package promises beyond its floor.
type Sort uint8

// The sorts of packages.
const (
	// Free may do anything that its floor allows.
	Free Sort = iota
	// Pure does no IO and has no clock, goroutine, channel or dice: time, seeds and ids come in as
	// arguments.
	Pure
	// Port is Pure, except that signatures carry a context: it is what others implement.
	Port
	// Generated is not written by hand: nothing is asked of it.
	Generated
)

// Package is one line of the table.
type Package struct {
	// Path within the module.
	Path string
	// Floor that it stands on.
	Floor int
	Sort  Sort
}

// Table is every package of the module, from the bottom up.
var Table = []Package{
	{"schemas/actorlog/v1", -1, Generated},
	{"internal/seed", -1, Free},

	{"internal/capacity", 0, Pure},
	{"internal/admin", 0, Free},
	{"internal/respond", 0, Free},
	{"docs", 0, Free},
	{"internal/floors", 0, Free},
	{"internal/jsonpatch", 0, Pure},
	{"internal/socks5", 0, Free},
	{"schemas", 0, Pure},
	{"web", 0, Free},

	{"actors/actor", 1, Port},
	{"eventlog", 1, Port},
	{"gateway/recovery", 1, Pure},
	{"gateway/wire", 1, Pure},

	{"actors/actorhttp", 2, Free},
	{"audit", 2, Port},
	{"actors/machine", 2, Pure},
	{"eventlog/archive", 2, Free},
	{"eventlog/backup", 2, Free},
	{"eventlog/kafkalog", 2, Free},
	{"eventlog/logtest", 2, Free},
	{"eventlog/memlog", 2, Free},
	{"eventlog/sealed", 2, Free},
	{"examples/account", 2, Free},
	{"examples/census", 2, Free},
	{"examples/chat", 2, Free},
	{"examples/counter", 2, Free},
	{"examples/cursors", 2, Free},
	{"examples/fanout", 2, Free},
	{"examples/lobby", 2, Free},
	{"examples/metronome", 2, Free},
	{"examples/refunds", 2, Free},
	{"examples/register", 2, Free},
	{"examples/tasks", 2, Free},
	{"examples/votes", 2, Free},
	{"internal/tracecontext", 2, Free},

	{"actors/remote", 3, Free},
	{"replay/evidence", 3, Free},
	{"internal/randomlog", 3, Free},
	{"projection", 3, Port},
	{"actors/webclient", 3, Free},
	{"replay", 3, Free},

	{"actors/host", 4, Free},
	{"replay/move", 4, Free},
	{"gateway", 4, Free},
	{"replay/erase", 4, Free},
	{"replay/file", 4, Free},
	{"replay/restore", 4, Free},
	{"replay/verify", 4, Free},
	{"audit/overlog", 4, Free},
	{"projection/chsink", 4, Free},
	{"projection/projector", 4, Free},

	{"actors/actortest", 5, Free},
	{"replay/gate", 5, Free},
	{"replay/operate", 5, Free},
	{"internal/obs", 5, Free},
	{"internal/sim", 5, Free},

	{"cmd/internal/app", 6, Free},
	{"e2e/process", 6, Free},

	{"bench", 7, Free},
	{"cmd/actorlog", 7, Free},
	{"cmd/gateway", 7, Free},
	{"cmd/projector", 7, Free},
	{"cmd/worker", 7, Free},
	{"docs/snippets", 7, Free},
	{"e2e", 7, Free},
	{"e2e/bomb", 7, Free},
	{"internal/sim/bite", 7, Free},
	{"e2e/faults", 7, Free},
}

// Only is an import that is not for everybody.
type Only struct {
	// Import and everything below it. A path without a dot in its first element is of this module.
	Import string
	// By whom: packages of this module and everything below them.
	By []string
	// TestsToo: the rule binds test files as well.
	TestsToo bool
	// Why there is the rule, and what to use instead.
	Why string
}

// Onlys is the imports that are not for everybody.
var Onlys = []Only{
	{"github.com/twmb/franz-go", []string{"eventlog/kafkalog", "bench"}, true,
		"everybody else speaks to eventlog.Log; bench measures the bare client beside it"},
	{"github.com/cockroachdb/pebble", []string{"actors/host", "bench"}, true,
		"the local store is the host's cache of the log; nothing else may depend on it"},
	{"eventlog/archive", []string{"cmd"}, false,
		"only programs choose an adapter"},
	{"eventlog/sealed", []string{"cmd", "replay/erase"}, false,
		"only programs choose an adapter; replay/erase destroys its keys"},
	{"github.com/ClickHouse/ch-go", []string{"projection/chsink", "bench", "e2e"}, true,
		"everybody else writes to projection.Sink; bench measures the bare client beside it, e2e looks what is there"},
	{"github.com/gin-gonic/gin", []string{"gateway"}, true,
		"HTTP is the gateway's"},
	{"github.com/prometheus/client_golang", []string{"cmd", "eventlog/kafkalog", "internal/obs"}, true,
		"components have an EventListener; internal/obs makes metrics of what it is told, and kafkalog hands on those of its client"},
	{"go.opentelemetry.io/otel/sdk", []string{"actors/actortest", "internal/obs"}, true,
		"components make spans through the interface; internal/obs decides which are kept and where they go"},
	{"eventlog/kafkalog", []string{"cmd", "bench", "e2e", "docs/snippets"}, true,
		"only programs choose an adapter; tests use eventlog/memlog"},
	{"eventlog/memlog", []string{"actors/actortest", "internal/sim", "bench"}, false,
		"it keeps nothing: it is for tests"},
	{"eventlog/logtest", nil, false,
		"it is for the tests of adapters, and must not reach a program"},
	{"projection/chsink", []string{"cmd", "bench"}, false,
		"only programs choose where the projection goes"},
	{"internal/randomlog", []string{"bench"}, false,
		"it is for tests, and must not reach a program"},
	{"actors/actortest", nil, false,
		"it is for tests, and must not reach a program"},
	{"internal/sim", nil, false,
		"it is for its own test, and must not reach a program"},
	{"e2e/process", nil, false,
		"it is for tests, and must not reach a program"},
	{"internal/seed", nil, false,
		"it is for tests, and must not reach a program"},
	{"internal/socks5", nil, false,
		"it is for tests, and must not reach a program"},
	{"testing", []string{"actors/actortest", "e2e/process", "eventlog/logtest", "internal/seed", "internal/sim"}, false,
		"test code must not reach a program"},
	{"cmd", []string{"cmd"}, true,
		"programs are run, not imported"},
}

// impure is the imports that pure packages and ports do without, and why.
var impure = map[string]string{
	"context":     "nothing in a pure package waits",
	"crypto/rand": "ids and seeds come in as arguments",
	"log":         "return what happened; the host logs it",
	"math/rand":   "dice come in as an argument",
	"net":         "IO belongs to the floors above",
	"os":          "IO belongs to the floors above",
	"runtime":     "the same inputs give the same answers in every process",
	"sync":        "nothing in a pure package runs at the same time",
	"syscall":     "IO belongs to the floors above",
	"testing":     "test code belongs into test files",
	"unsafe":      "the rules of the log must be plain to read",
}

// clocks is what pure packages and ports do not use of package time.
var clocks = map[string]bool{
	"After": true, "AfterFunc": true, "NewTicker": true, "NewTimer": true, "Now": true,
	"Since": true, "Sleep": true, "Tick": true, "Until": true,
}
