package verify

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Config of a verification.
type Config struct {
	// Registry is the code at hand.
	Registry *actor.Registry
	// Kinds, when not empty, are those of the actors that [All] verifies, or takes its sample from.
	Kinds []string
	// Since leaves out what happened before: it is read, and not run. The zero time: nothing is left out.
	Since time.Time
	// Vars has CreateVars run, once for each activation, and gives what it makes to the actions. By default it does not, for such vars may reach
	// into the world, and actions that ask for them cannot be checked. Set it when the kinds' vars are harmless, such as caches.
	Vars bool
	// ActionTimeout bounds one action. Default 60 s.
	ActionTimeout time.Duration
	// MaxDifferences of one actor; after that many the rest of its history is not checked. Default 10. Negative: no bound.
	MaxDifferences int
	// Differs is told of every difference, NotChecked of every outcome that could not be checked. They may be called by several goroutines, one at a time. Default: nobody is told.
	Differs    func(*Difference)
	NotChecked func(*Unchecked)
}

func (c Config) withDefaults() Config {
	if c.ActionTimeout <= 0 {
		c.ActionTimeout = time.Minute
	}
	if c.MaxDifferences == 0 {
		c.MaxDifferences = 10
	}
	if c.Differs == nil {
		c.Differs = func(*Difference) {}
	}
	if c.NotChecked == nil {
		c.NotChecked = func(*Unchecked) {}
	}
	return c
}

// Summary is what a verification came to.
type Summary struct {
	// Actors that have outcomes which were looked at, and those of them that differ.
	Actors, ActorsDiffering int
	// Outcomes that were looked at: the sum of the following.
	Outcomes, Same, Differing, NotChecked int
	// Reasons why outcomes were not checked, with how many of each.
	Reasons map[string]int
}

func (s *Summary) add(o *Summary) {
	s.Actors += o.Actors
	s.ActorsDiffering += o.ActorsDiffering
	s.Outcomes += o.Outcomes
	s.Same += o.Same
	s.Differing += o.Differing
	s.NotChecked += o.NotChecked
	for reason, n := range o.Reasons {
		if s.Reasons == nil {
			s.Reasons = make(map[string]int)
		}
		s.Reasons[reason] += n
	}
}

// Clean says that nothing differs. What was not checked does not count.
func (s *Summary) Clean() bool { return s.Differing == 0 }

// Unchecked is an outcome that could not be checked.
type Unchecked struct {
	Place
	// Reason, the same text for what has the same reason.
	Reason string
}

// Place is an outcome, for people.
type Place struct {
	Position schemas.Position
	Actor    *actorlogv1.Actor
	ActorID  string
	// Event is the number of the actor's event, from 1, as far as its history is kept.
	Event int
	Time  time.Time
	// Action that ran: its name, or else what it was.
	Action, RequestID string
	// CodeVersion that recorded it.
	CodeVersion string
}

// Actor verifies the history of one actor, from its first event that is kept to its last.
func Actor(ctx context.Context, r *replay.Reader, hash schemas.Hash, cfg Config) (Summary, error) {
	c := newChecker(r, cfg, &lazyAnswers{r: r})
	defer c.close()
	h := c.history()
	for e, err := range r.History(ctx, hash, replay.Range{}) {
		if err == nil {
			err = h.take(ctx, e)
		}
		if err != nil {
			return Summary{}, err
		}
	}
	return h.summary, nil
}

// wants says whether an event is of an actor that All looks at. That of an actor which was asked for by its id and never lived names no kind, and is not.
func (c *Config) wants(a *actorlogv1.Actor) bool {
	return len(c.Kinds) == 0 || slices.Contains(c.Kinds, a.GetKind())
}

// All verifies the histories of all actors, or of a sample of them, if sample is not 0: other ones with another seed. It reads the log twice, and holds the actors
// that it verifies in memory, and the answers to calls.
func All(ctx context.Context, r *replay.Reader, sample int, seed uint64, cfg Config) (Summary, error) {
	answers, chosen, err := survey(ctx, r, sample, seed, cfg.wants)
	if err != nil {
		return Summary{}, err
	}
	var (
		mu    sync.Mutex
		total Summary
	)
	cfg = cfg.withDefaults()
	differs, unchecked := cfg.Differs, cfg.NotChecked
	cfg.Differs = func(d *Difference) { mu.Lock(); defer mu.Unlock(); differs(d) }
	cfg.NotChecked = func(u *Unchecked) { mu.Lock(); defer mu.Unlock(); unchecked(u) }
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for p := range r.Source().Partitions() {
		group.Go(func() error {
			c := newChecker(r, cfg, answers)
			defer c.close()
			actors := make(map[schemas.Hash]*history)
			for e, err := range r.Shard(ctx, p, replay.Range{}) {
				if err != nil {
					return err
				}
				if chosen != nil && !chosen[e.Hash] {
					continue
				}
				h := actors[e.Hash]
				if h == nil && !cfg.wants(e.Actor()) {
					continue
				}
				if h == nil {
					h = c.history()
					actors[e.Hash] = h
				}
				if err := h.take(ctx, e); err != nil {
					return err
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for _, h := range actors {
				total.add(&h.summary)
			}
			return nil
		})
	}
	return total, group.Wait()
}

// String names the outcome in one line.
func (p *Place) String() string {
	return fmt.Sprintf("%s %s, event %d at %s: %s", p.Actor.GetKind(), schemas.Key(p.Actor.GetKey()), p.Event, p.Position, p.Action)
}
