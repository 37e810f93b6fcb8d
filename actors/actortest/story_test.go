package actortest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// The stories of this package are about one kind, a stage, all of whose hooks tell the play that they ran, and do what the story says.

// stage is the state of the actors.
type stage struct {
	// Lines is the hooks and actions that ran, as far as it stands.
	Lines []string
	Props map[string]int `json:",omitempty"`
}

// ticket is the parameters of a connection, seat its state.
type (
	ticket struct{ Name string }
	seat   struct {
		Name  string
		Moved int
	}
)

var (
	stages  = actor.New[stage]("stage")
	do      = actor.Action[string, string](stages, "do")
	lines   = actor.Action[actor.None, []string](stages, "lines")
	names   = actor.Action[actor.None, []string](stages, "names")
	shout   = actor.Event[string](stages, "shout")
	secret  = actor.Event[string](stages, "secret")
	changed = actor.Event[[]string](stages, "changed")
)

// play is what happens on the stages of one world, seen from behind: hooks that ran, whatever became of them.
type play struct {
	mu    sync.Mutex
	seen  []string
	rules map[string]func(c *actor.Ctx) error
	fails []host.ActionFailed
	// opened and closed count activations by their vars.
	opened int
}

// script sets what a hook or an action does besides telling that it ran. nil: nothing.
func (p *play) script(name string, rule func(c *actor.Ctx) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules[name] = rule
}

// ran tells that a hook ran, and does what the script says.
func (p *play) ran(name string, c *actor.Ctx) error {
	p.mu.Lock()
	p.seen = append(p.seen, name)
	rule := p.rules[name]
	p.mu.Unlock()
	if rule == nil {
		return nil
	}
	return rule(c)
}

// take returns what ran since the last take.
func (p *play) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := p.seen
	p.seen = nil
	return seen
}

func (p *play) count(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, s := range p.seen {
		if s == name {
			n++
		}
	}
	return n
}

// failures is what operators were told.
func (p *play) failures() []host.ActionFailed {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.fails)
}

// hook is a hook that writes a line and follows the script.
func (p *play) hook(name string) func(s *stage, c *actor.Ctx) error {
	return func(s *stage, c *actor.Ctx) error {
		s.Lines = append(s.Lines, name)
		return p.ran(name, c)
	}
}

type vars struct{ Activation int }

// register is the kind with all hooks but OnRun.
func (p *play) register(r *actor.Registry) {
	actor.CreateState(r, stages, func(c *actor.Ctx, input string) (stage, error) {
		return stage{Lines: []string{"CreateState " + input}}, p.ran("CreateState", c)
	})
	actor.OnCreate(r, stages, func(s *stage, c *actor.Ctx, _ string) error { return p.hook("OnCreate")(s, c) })
	actor.CreateVars(r, stages, func(_ *stage, c *actor.Ctx) (*vars, error) {
		p.mu.Lock()
		p.opened++
		v := &vars{p.opened}
		p.mu.Unlock()
		return v, p.ran("CreateVars", c)
	})
	actor.OnWake(r, stages, p.hook("OnWake"))
	actor.OnSleep(r, stages, p.hook("OnSleep"))
	actor.OnDestroy(r, stages, p.hook("OnDestroy"))
	actor.OnStateChange(r, stages, func(s *stage, c *actor.Ctx) error {
		c.Broadcast(changed.With(s.Lines))
		s.Lines = append(s.Lines, "OnStateChange cannot change anything")
		return p.ran("OnStateChange", c)
	})
	actor.OnBeforeActionResponse(r, stages, func(_ *stage, c *actor.Ctx, _ *actor.ActionResponse) error {
		return p.ran("OnBeforeActionResponse", c)
	})
	actor.OnBeforeConnect(r, stages, func(_ *stage, c *actor.Ctx, _ ticket) error { return p.ran("OnBeforeConnect", c) })
	actor.CreateConnState(r, stages, func(_ *stage, c *actor.Ctx, t ticket) (seat, error) {
		return seat{Name: t.Name}, p.ran("CreateConnState", c)
	})
	actor.OnConnect(r, stages, func(s *stage, c *actor.Ctx, n *actor.Conn) error {
		return p.hook("OnConnect")(s, c)
	})
	actor.OnDisconnect(r, stages, func(s *stage, c *actor.Ctx, n *actor.Conn) error {
		s.Lines = append(s.Lines, "OnDisconnect "+actor.ConnState[seat](n).Name)
		return p.ran("OnDisconnect", c)
	})
	actor.CanSubscribe(r, stages, secret, func(_ *stage, c *actor.Ctx) (bool, error) {
		return actor.ConnState[seat](c.Conn()).Name == "ann", p.ran("CanSubscribe", c)
	})
	actor.On(r, do, func(s *stage, c *actor.Ctx, what string) (string, error) {
		s.Lines = append(s.Lines, what)
		return what, p.ran(what, c)
	})
	actor.On(r, lines, func(s *stage, c *actor.Ctx, _ actor.None) ([]string, error) { return s.Lines, nil })
	actor.On(r, names, func(_ *stage, c *actor.Ctx, _ actor.None) ([]string, error) { return namesOf(c), nil })
}

func namesOf(c *actor.Ctx) []string {
	all := []string{}
	for _, n := range c.Conns() {
		all = append(all, actor.ConnState[seat](n).Name)
	}
	return all
}

// perform runs a story in virtual time.
func perform(t *testing.T, story func(t *testing.T, w *actortest.World, p *play)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPlay()
		story(t, actortest.NewWith(t, p.config(), p.register), p)
	})
}

// bubble is virtual time.
func bubble(t *testing.T, story func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, story)
}

func newPlay() *play { return &play{rules: make(map[string]func(*actor.Ctx) error)} }

func (p *play) config() host.Config {
	return host.Config{Region: "attic", Events: host.EventListener{ActionFailed: func(f host.ActionFailed) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.fails = append(p.fails, f)
	}}}
}

func stageOf(w *actortest.World, key string) actor.Handle[stage] {
	return stages.GetOrCreate(w.Client, key).WithInput("in")
}

// asleep is longer than it takes an idle actor to leave memory.
const asleep = time.Minute

// hang is a rule that heeds no context: what it does when it comes back is nobody's.
func hang(*actor.Ctx) error {
	time.Sleep(3 * time.Minute)
	return nil
}

// history folds the outcomes of an actor that count, as any reader of the log does.
func history(t *testing.T, w *actortest.World, kind string, key ...string) ([]*actorlogv1.Outcome, machine.Actor) {
	t.Helper()
	hash := schemas.HashOf(actor.DefaultNamespace, kind, key)
	a := machine.NewActor(hash)
	var all []*actorlogv1.Outcome
	fence := machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
	for _, r := range w.Cluster.Records(eventlog.Events, hash.Shard(actortest.Shards)) {
		switch typ := schemas.Type(r.Header(schemas.HeaderType)); typ {
		case schemas.TypeClaim:
			claim, err := schemas.DecodeAs[*actorlogv1.Claim](typ, r.Value)
			require.NoError(t, err)
			fence.Claim(r.Offset, claim)
		case schemas.TypeStep:
			fence.Admits(schemas.PlaceOf(r.Value))
		case schemas.TypeOutcome:
			o, err := schemas.DecodeAs[*actorlogv1.Outcome](typ, r.Value)
			require.NoError(t, err)
			if !fence.Admits(schemas.PlaceOf(r.Value)) || !bytes.Equal(r.Key, hash[:]) {
				continue
			}
			counts, err := a.Apply(r.Offset, o)
			require.NoError(t, err)
			if counts {
				all = append(all, o)
			}
		}
	}
	return all, a
}

// holds says in which topics a text occurs.
func holds(w *actortest.World, text string) []eventlog.Topic {
	var found []eventlog.Topic
	for _, topic := range eventlog.Topics() {
		partitions := int32(actortest.Shards)
		if topic == eventlog.Gateways {
			partitions = 1
		}
		for p := range partitions {
			for _, r := range w.Cluster.Records(topic, p) {
				if bytes.Contains(r.Value, []byte(text)) && !slices.Contains(found, topic) {
					found = append(found, topic)
				}
			}
		}
	}
	return found
}

// call is do with no other outcome than success.
func call(t *testing.T, h actor.Handle[stage], what string) {
	t.Helper()
	_, err := do.Call(t.Context(), h, what)
	require.NoError(t, err)
}

func linesOf(t *testing.T, h actor.Handle[stage]) []string {
	t.Helper()
	s, err := h.Read(t.Context())
	require.NoError(t, err)
	return s.Lines
}

// seconds rounds what passed since began.
func seconds(began time.Time) int { return int(time.Since(began).Round(time.Second) / time.Second) }

var errStage = errors.New("the trapdoor is stuck")

// mishaps is the ways in which a hook goes wrong, and what a caller is told then.
var mishaps = []struct {
	name string
	rule func(c *actor.Ctx) error
	want *actor.Error
}{
	{"error", func(*actor.Ctx) error { return errStage }, actor.ErrInternal},
	{"refusal", func(*actor.Ctx) error { return actor.UserError("closed", "no show today") }, actor.UserError("closed", "")},
	{"panic", func(*actor.Ctx) error { panic("fire!") }, actor.ErrInternal},
	{"late error", func(c *actor.Ctx) error {
		c.After(-time.Second, do.With("never"))
		return fmt.Errorf("late: %w", errStage)
	}, actor.ErrInternal},
	{"timeout", hang, actor.ErrTimedOut},
}

func decode[T any](t *testing.T, text []byte) T {
	t.Helper()
	var v T
	require.NoError(t, json.Unmarshal(text, &v))
	return v
}
