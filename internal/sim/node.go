package sim

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
)

// node is the actor of the simulation: it keeps the tokens that reached it.
type node struct {
	Tokens []string `json:"tokens"`
	// Charged is the value of the step of each token.
	Charged map[string]int `json:"charged,omitempty"`
}

// order is what an action is asked: a token, and how many others are concerned.
type order struct {
	Token string   `json:"token"`
	To    []string `json:"to,omitempty"`
	Ms    int64    `json:"ms,omitempty"`
	Times int      `json:"times,omitempty"`
}

var (
	nodeKind = actor.New[node]("node")
	note     = actor.Action[order, int](nodeKind, "note")   // note the token
	refuse   = actor.Action[order, int](nodeKind, "refuse") // note it, and fail
	fan      = actor.Action[order, int](nodeKind, "fan")    // call others, note it
	spread   = actor.Action[order, int](nodeKind, "spread") // send to others, note it
	chain    = actor.Action[order, int](nodeKind, "chain")  // send to the first, which sends to the next
	later    = actor.Action[order, int](nodeKind, "later")  // note it, and once more after a time
	often    = actor.Action[order, int](nodeKind, "often")  // note it again and again, Times times
	tick     = actor.Action[order, int](nodeKind, "tick")   // a firing of often
	pay      = actor.Action[order, int](nodeKind, "pay")    // take a step, note it
	noted    = actor.Event[string](nodeKind, "noted")
	inbox    = actor.Queue[order, int](nodeKind, "inbox")
)

// outside is the world that steps change.
type outside struct {
	mu   sync.Mutex
	runs map[string]int
	next int
	// early is the firings of schedules before their time.
	early []string
}

func (o *outside) pay(token string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.runs[token]++
	o.next++
	return o.next
}

// fired notes a firing that comes before its time.
func (o *outside) fired(c *actor.Ctx, token string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if at := c.ScheduledTime(); c.Now().Before(at) {
		o.early = append(o.early, fmt.Sprintf("%q fired at %v, and not at %v", token, c.Now(), at))
	}
}

func (s *node) note(c *actor.Ctx, token string) int {
	s.Tokens = append(s.Tokens, token)
	c.Broadcast(noted.With(token))
	return len(s.Tokens)
}

func register(world *outside) func(*actor.Registry) {
	return func(r *actor.Registry) {
		actor.On(r, note, func(s *node, c *actor.Ctx, o order) (int, error) { return s.note(c, o.Token), nil })
		actor.On(r, refuse, func(s *node, c *actor.Ctx, o order) (int, error) {
			s.note(c, o.Token)
			note.Send(c, nodeKind.GetOrCreate(c.Client(), "other"), order{Token: o.Token + "/never"})
			c.After(time.Second, note.With(order{Token: o.Token + "/never"}))
			return 0, actor.UserError("refused", "as asked")
		})
		actor.On(r, fan, func(s *node, c *actor.Ctx, o order) (int, error) {
			sum := 0
			for i, to := range o.To {
				n, err := note.Call(c, nodeKind.GetOrCreate(c.Client(), to), order{Token: o.Token + "/call" + strconv.Itoa(i)})
				if err != nil {
					return 0, fmt.Errorf("calling %s: %w", to, err)
				}
				sum += n
			}
			s.note(c, o.Token)
			return sum, nil
		})
		actor.On(r, spread, func(s *node, c *actor.Ctx, o order) (int, error) {
			for i, to := range o.To {
				note.Send(c, nodeKind.GetOrCreate(c.Client(), to), order{Token: o.Token + "/send" + strconv.Itoa(i)})
			}
			return s.note(c, o.Token), nil
		})
		actor.On(r, chain, func(s *node, c *actor.Ctx, o order) (int, error) {
			n := s.note(c, o.Token)
			if len(o.To) > 0 {
				chain.Send(c, nodeKind.GetOrCreate(c.Client(), o.To[0]), order{Token: o.Token + "/next", To: o.To[1:]})
			}
			return n, nil
		})
		actor.On(r, later, func(s *node, c *actor.Ctx, o order) (int, error) {
			c.After(time.Duration(o.Ms)*time.Millisecond, note.With(order{Token: o.Token + "/later"}))
			return s.note(c, o.Token), nil
		})
		actor.On(r, often, func(s *node, c *actor.Ctx, o order) (int, error) {
			c.Every(time.Duration(o.Ms)*time.Millisecond, tick.With(o), actor.ScheduleID(o.Token), actor.OnMissed(actor.FireAll))
			return s.note(c, o.Token), nil
		})
		actor.On(r, tick, func(s *node, c *actor.Ctx, o order) (int, error) {
			world.fired(c, o.Token)
			n := 0
			for _, token := range s.Tokens {
				if strings.HasPrefix(token, o.Token+"/tick") {
					n++
				}
			}
			if n+1 >= o.Times {
				c.Cancel(o.Token)
			}
			return s.note(c, o.Token+"/tick"+strconv.Itoa(n)), nil
		})
		actor.On(r, pay, func(s *node, c *actor.Ctx, o order) (int, error) {
			n, err := actor.Run(c, "pay", func(context.Context) (int, error) { return world.pay(o.Token), nil })
			if err != nil {
				return 0, err
			}
			if s.Charged == nil {
				s.Charged = make(map[string]int)
			}
			s.Charged[o.Token] = n
			s.note(c, o.Token)
			return n, nil
		})
		actor.OnConnect(r, nodeKind, func(s *node, c *actor.Ctx, conn *actor.Conn) error {
			if !conn.Ephemeral() {
				s.note(c, "connect "+conn.ID())
			}
			return nil
		})
		actor.OnDisconnect(r, nodeKind, func(s *node, c *actor.Ctx, conn *actor.Conn) error {
			if !conn.Ephemeral() {
				s.note(c, "disconnect "+conn.ID())
			}
			return nil
		})
		actor.Accept(r, inbox)
		actor.On(r, takeIn, func(s *node, c *actor.Ctx, m taken) (int, error) {
			inbox.Complete(c, m.ID, len(s.Tokens))
			for _, token := range s.Tokens {
				if token == m.Token { // taken twice, for it was not completed in time
					return 0, nil
				}
			}
			return s.note(c, m.Token), nil
		})
		actor.OnRun(r, nodeKind, func(l *actor.Loop) error {
			for {
				m, err := inbox.Next(l)
				if err != nil {
					return nil //nolint:nilerr // the activation is over
				}
				if _, err := takeIn.Call(l, nodeKind.Self(l), taken{ID: m.ID, Token: m.Body.Token}); err != nil {
					return nil //nolint:nilerr // the next activation takes it again
				}
			}
		})
	}
}

// taken is a message that the loop has taken.
type taken struct {
	ID    int64  `json:"id"`
	Token string `json:"token"`
}

var takeIn = actor.Action[taken, int](nodeKind, "takeIn")
