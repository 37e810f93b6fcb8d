package floors

import (
	"go/token"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The code of the module keeps to the table.
func TestModule(t *testing.T) {
	t.Parallel()
	fset, sources, err := read("../..")
	require.NoError(t, err)
	require.Greater(t, len(sources), len(Table), "the sources were not found")
	for _, complaint := range check(fset, sources) {
		t.Error(complaint)
	}
}

// Every rule bites: one source breaks one rule, and is told so.
func TestRules(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, file, source, want string
	}{
		{"NoFloor", "novel/novel.go", ``, "novel has no floor"},
		{"NoFloorForTests", "novel/novel_test.go", ``, "novel has no floor"},
		{"UpStairs", "actors/machine/x.go", `import _ "github.com/actorlog/actorlog/actors/host"`, "actors/machine (floor 2) imports actors/host (floor 4)"},
		{"SameFloor", "gateway/x.go", `import _ "github.com/actorlog/actorlog/actors/host"`, "strictly lower floors"},
		{"FranzGo", "gateway/x_test.go", `import _ "github.com/twmb/franz-go/pkg/kgo"`, "github.com/twmb/franz-go is not for gateway"},
		{"Pebble", "actors/remote/x.go", `import _ "github.com/cockroachdb/pebble/v2"`, "github.com/cockroachdb/pebble is not for actors/remote"},
		{"Gin", "cmd/gateway/x.go", `import _ "github.com/gin-gonic/gin"`, "gin is not for cmd/gateway"},
		{"Adapter", "gateway/x_test.go", `import _ "github.com/actorlog/actorlog/eventlog/kafkalog"`, "eventlog/kafkalog is not for gateway"},
		{"MemoryInProduction", "cmd/worker/x.go", `import _ "github.com/actorlog/actorlog/eventlog/memlog"`, "eventlog/memlog is not for cmd/worker"},
		{"TestHarnessInProduction", "cmd/worker/x.go", `import _ "github.com/actorlog/actorlog/actors/actortest"`, "actors/actortest is not for cmd/worker"},
		{"SuiteInProduction", "eventlog/kafkalog/x.go", `import _ "github.com/actorlog/actorlog/eventlog/logtest"`, "eventlog/logtest is not for eventlog/kafkalog"},
		{"TestingInProduction", "gateway/x.go", `import _ "testing"`, "testing is not for gateway"},
		{"ProgramImported", "e2e/x_test.go", `import _ "github.com/actorlog/actorlog/cmd/internal/app"`, "cmd is not for e2e"},

		{"PureContext", "schemas/x.go", `import _ "context"`, "schemas is pure and imports context"},
		{"PureDice", "actors/machine/x.go", `import _ "math/rand/v2"`, "imports math/rand/v2"},
		{"PureLog", "gateway/wire/x.go", `import _ "log/slog"`, "imports log/slog"},
		{"PureNet", "gateway/recovery/x.go", `import _ "net/http"`, "imports net/http"},
		{"PureOS", "schemas/x.go", `import _ "os"`, "imports os"},
		{"PureSync", "actors/machine/x.go", `import _ "sync/atomic"`, "imports sync/atomic"},
		{"PureClock", "actors/machine/x.go", `import "time"; var _ = time.Now`, "uses time.Now"},
		{"PureClockRenamed", "actors/machine/x.go", `import t "time"; func f() { t.Sleep(1) }`, "uses time.Sleep"},
		{"PureClockUnnamed", "actors/machine/x.go", `import . "time"; var _ = Now`, "imported without a name"},
		{"PureTicker", "gateway/wire/x.go", `import "time"; var _ = time.Tick(1)`, "uses time.Tick"},
		{"PureGoroutine", "schemas/x.go", `func f() { go f() }`, "starts a goroutine"},
		{"PureSelect", "schemas/x.go", `func f() { select {} }`, "has a select statement"},
		{"PureChannel", "schemas/x.go", `type x struct{ c chan int }`, "has a channel"},
		{"PureSend", "schemas/x.go", `func f() { x <- 1 }`, "sends to a channel"},
		{"PureReceive", "schemas/x.go", `func f() int { return <-x }`, "receives from a channel"},
		{"PortContext", "eventlog/x.go", `import "context"; var _ = context.Background()`, "uses context.Background"},
		{"PortSync", "actors/actor/x.go", `import _ "sync"`, "actors/actor is pure and imports sync"},
		{"PortClock", "actors/actor/x.go", `import "time"; var _ = time.Now()`, "uses time.Now"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, strings.Join(complaints(t, c.file, c.source), "\n"), c.want)
		})
	}
}

// What the rules allow.
func TestAllowed(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, file, source string }{
		{"AdapterInPrograms", "cmd/worker/x.go", `import _ "github.com/actorlog/actorlog/eventlog/kafkalog"`},
		{"BareClientInBench", "bench/x.go", `import _ "github.com/twmb/franz-go/pkg/kgo"`},
		{"ContextInPorts", "eventlog/x.go", `import "context"; func f(context.Context) {}`},
		{"DownStairs", "actors/host/x.go", `import _ "github.com/actorlog/actorlog/actors/machine"`},
		{"DurationsInPure", "actors/machine/x.go", `import "time"; const d = time.Second`},
		{"HarnessInTests", "examples/counter/x_test.go", `import _ "github.com/actorlog/actorlog/actors/actortest"`},
		{"IOInTestsOfPure", "schemas/x_test.go", `import ("os"; "time"); var _, _ = os.Args, time.Now()`},
		{"SyncInGenerated", "schemas/actorlog/v1/x.go", `import _ "sync"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			require.Empty(t, complaints(t, c.file, c.source))
		})
	}
}

func TestGone(t *testing.T) {
	t.Parallel()
	fset, all := lines(t)
	gone := slices.DeleteFunc(all, func(s source) bool { return s.dir == "gateway" })
	require.Equal(t, []string{"gateway is in the table of internal/floors, but not in the module: remove the line"}, check(fset, gone))
}

// lines is one empty file for each line of the table.
func lines(t *testing.T) (*token.FileSet, []source) {
	t.Helper()
	fset := token.NewFileSet()
	var all []source
	for _, p := range Table {
		s, err := parse(fset, p.Path+"/doc.go", "package p")
		require.NoError(t, err)
		all = append(all, s)
	}
	return fset, all
}

// complaints is what is said about a module with one file that is not empty.
func complaints(t *testing.T, file, text string) []string {
	t.Helper()
	fset, all := lines(t)
	s, err := parse(fset, file, "package p\n"+text)
	require.NoError(t, err)
	return check(fset, append(all, s))
}
