// Package votes is the pattern "sharding with fan-in": a poll so popular that one actor could not take all of its
// votes. They go to 16 shards, chosen by the voter's name, and the shards tell the poll their counts now and then.
//
// Use it when one thing is changed by everybody at once, and the changes need not see each other: votes, likes, page
// views, stock of which there is plenty. An actor runs one action at a time, so one that everybody waits for is a
// bottleneck that no worker can take away; sixteen are in sixteen places. Do not use it when every change must see the total
// (the last seat of a train), or when a few hundred changes a second are enough: one actor does that, and its total is never late.
//
// How it keeps right:
//
//   - One vote per voter, by design. A voter's name decides the shard, and the shard keeps who voted for what. Who votes twice has
//     changed his mind or has lost an answer; both are one vote. No idempotency key is needed, and none runs out.
//   - A shard sends its whole counts, not what was added. The poll keeps the latest of each, and adding those up is right whatever was lost
//     or came twice before.
//   - A shard reports once a second while votes come, and is silent otherwise: nobody is woken for nothing, and the poll gets 16 messages
//     a second, however many people vote.
//   - To close, the poll asks all shards, and each answers with its last counts: the result is final when the last one has answered.
//
// A shard's state has one entry per voter and is written with each vote, so a shard should stay below some ten thousand voters: for
// more of them, take more shards. Their number is part of where votes are, so it cannot change while a poll is open.
//
// # By hand
//
//	actorlog dev
//	curl $URL/actors/poll/lunch/actions/open -d '["pizza", "soup"]'
//	curl $URL/actors/pollShard/lunch/8/actions/vote -d '["ann", "pizza"]'   # a wrong shard is refused, and says which is right
//	curl $URL/actors/poll/lunch/actions/result -X POST
//	curl $URL/actors/poll/lunch/actions/close -X POST
//	curl -N $URL/actors/poll/lunch/events
//
// URL is http://127.0.0.1:6420. A Go program calls [Cast], which finds the shard.
package votes

import (
	"context"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
)

const (
	// Shards of a poll.
	Shards = 16
	// ReportEvery is how old the total may be.
	ReportEvery = time.Second
	// MaxOptions of a poll.
	MaxOptions = 20
)

// Counts of votes by option.
type Counts map[string]int64

// Result of a poll. While it is open, it is at most about [ReportEvery] old.
type Result struct {
	Counts Counts `json:"counts"`
	Total  int64  `json:"total"`
	// Final: the poll is closed and every vote is counted.
	Final bool `json:"final"`
}

// Poll is where the counts come together: everything that survives of it.
type Poll struct {
	Options []string `json:"options"`
	Closed  bool     `json:"closed"`
	// ByShard is the latest counts of each.
	ByShard [Shards]Counts `json:"byShard"`
	// Final says which shards have sent their last.
	Final [Shards]bool `json:"final"`
}

// Shard is a part of the voters: everything that survives of it.
type Shard struct {
	// Votes by voter.
	Votes   map[string]string `json:"votes"`
	Counts  Counts            `json:"counts"`
	Options []string          `json:"options"` // none before the poll is open
	Closed  bool              `json:"closed"`
	// Unreported: the counts are not what the poll has.
	Unreported bool `json:"unreported"`
}

// Ballot is one vote: shard.vote("ann", "pizza") from JavaScript.
type Ballot struct {
	actor.Positional
	Voter  string `json:"voter"`
	Option string `json:"option"`
}

// The contract. A shard has the poll's key and its number.
var (
	Kind      = actor.New[Poll]("poll")
	Open      = actor.Action[[]string, actor.None](Kind, "open") // the options
	Close     = actor.Action[actor.None, actor.None](Kind, "close")
	Get       = actor.Action[actor.None, Result](Kind, "result")
	Changed   = actor.Event[Result](Kind, "result")
	ShardKind = actor.New[Shard]("pollShard")
	Vote      = actor.Action[Ballot, actor.None](ShardKind, "vote")
)

// What polls and shards tell each other, and schedules a shard.
var (
	opened = actor.Action[[]string, actor.None](ShardKind, "opened")
	closed = actor.Action[actor.None, actor.None](ShardKind, "closed")
	tell   = actor.Action[actor.None, actor.None](ShardKind, "tell")
	merge  = actor.Action[counted, actor.None](Kind, "merge")
)

type counted struct {
	Counts Counts `json:"counts"`
	Final  bool   `json:"final"`
}

// ShardOf is the shard of a voter, the same for ever.
func ShardOf(voter string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(voter)) // never fails
	return int(h.Sum32() % Shards)
}

// Cast votes, or changes the vote. It may be repeated without thinking: the last one counts.
func Cast(ctx context.Context, c actor.Caller, poll, voter, option string) error {
	_, err := Vote.Call(ctx, ShardKind.GetOrCreate(c, poll, strconv.Itoa(ShardOf(voter))), Ballot{Voter: voter, Option: option})
	return err
}

// Register puts the rules of both kinds into a worker's registry.
func Register(r *actor.Registry) {
	actor.CreateState(r, Kind, func(c *actor.Ctx, _ actor.None) (Poll, error) {
		if len(c.Key()) != 1 {
			return Poll{}, actor.UserError("bad_key", "a poll has a key of one part")
		}
		return Poll{Options: []string{}}, nil
	})
	actor.On(r, Open, (*Poll).open)
	actor.On(r, Close, (*Poll).close)
	actor.On(r, Get, func(s *Poll, _ *actor.Ctx, _ actor.None) (Result, error) { return s.result(), nil })
	actor.On(r, merge, (*Poll).merge)

	actor.CreateState(r, ShardKind, func(c *actor.Ctx, _ actor.None) (Shard, error) {
		if key := c.Key(); len(key) != 2 || number(key[1]) < 0 {
			return Shard{}, actor.UserError("bad_key", "a shard has the key of its poll, and a number")
		}
		return Shard{Votes: map[string]string{}, Counts: Counts{}}, nil
	})
	actor.On(r, Vote, (*Shard).vote)
	actor.On(r, opened, (*Shard).opened)
	actor.On(r, closed, (*Shard).closed)
	actor.On(r, tell, (*Shard).tell)
}

// number of a shard, -1 if it is none.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n >= Shards || strconv.Itoa(n) != text {
		return -1
	}
	return n
}

// --- the poll ---------------------------------------------------------------

func (s *Poll) open(c *actor.Ctx, options []string) (none actor.None, err error) {
	if len(s.Options) > 0 {
		return none, actor.UserError("already_open", "the options of a poll cannot be changed")
	}
	if len(options) < 2 || len(options) > MaxOptions || slices.Contains(options, "") {
		return none, actor.UserError("bad_options", "a poll has 2 to 20 options").With(map[string]int{"options": len(options)})
	}
	s.Options = options
	for n := range Shards {
		opened.Send(c, shard(c, n), options)
	}
	return none, nil
}

func (s *Poll) close(c *actor.Ctx, _ actor.None) (none actor.None, err error) {
	if len(s.Options) == 0 {
		return none, actor.UserError("not_open", "the poll is not open")
	}
	if s.Closed {
		return none, nil
	}
	s.Closed = true
	for n := range Shards {
		closed.Send(c, shard(c, n), actor.None{})
	}
	return none, nil
}

// merge is the fan-in.
func (s *Poll) merge(c *actor.Ctx, m counted) (none actor.None, err error) {
	by := c.Caller().Actor
	if by == nil || by.Kind != ShardKind.Name() || by.Namespace != c.Namespace() || by.Key[0] != c.Key()[0] {
		return none, actor.ErrForbidden.Messagef("Only shards of the poll may do this.")
	}
	n := number(by.Key[1])
	s.ByShard[n], s.Final[n] = m.Counts, m.Final
	c.Broadcast(Changed.With(s.result()))
	return none, nil
}

func (s *Poll) result() Result {
	r := Result{Counts: Counts{}, Final: !slices.Contains(s.Final[:], false)}
	for _, option := range s.Options {
		r.Counts[option] = 0
	}
	for _, counts := range s.ByShard {
		for option, n := range counts {
			r.Counts[option] += n
			r.Total += n
		}
	}
	return r
}

func shard(c *actor.Ctx, n int) actor.Handle[Shard] {
	return ShardKind.GetOrCreate(c.Client(), c.Key()[0], strconv.Itoa(n))
}

// --- a shard ----------------------------------------------------------------

func (s *Shard) vote(c *actor.Ctx, b Ballot) (none actor.None, err error) {
	switch {
	case b.Voter == "" || len(b.Voter) > 100:
		return none, actor.UserError("bad_voter", "a voter has a name of 1 to 100 bytes")
	case strconv.Itoa(ShardOf(b.Voter)) != c.Key()[1]: // or he could vote on each of them
		return none, actor.UserError("wrong_shard", "this voter votes on another shard").With(map[string]int{"shard": ShardOf(b.Voter)})
	case len(s.Options) == 0:
		return none, actor.UserError("not_open", "the poll is not open")
	case s.Closed:
		return none, actor.UserError("closed", "the poll is closed")
	case !slices.Contains(s.Options, b.Option):
		return none, actor.UserError("no_option", "there is no such option").With(map[string][]string{"options": s.Options})
	}
	before, again := s.Votes[b.Voter]
	if again && before == b.Option {
		return none, nil
	}
	if again {
		s.Counts[before]--
	}
	s.Votes[b.Voter] = b.Option
	s.Counts[b.Option]++
	s.Unreported = true
	if _, running := c.Schedule("tell"); !running {
		c.Every(ReportEvery, tell.With(actor.None{}), actor.ScheduleID("tell"))
	}
	return none, nil
}

// tell runs every second, until a second without votes.
func (s *Shard) tell(c *actor.Ctx, _ actor.None) (none actor.None, err error) {
	if !s.Unreported {
		c.Cancel("tell")
		return none, nil
	}
	s.report(c)
	return none, nil
}

func (s *Shard) report(c *actor.Ctx) {
	s.Unreported = false
	merge.Send(c, Kind.Get(c.Client(), c.Key()[0]), counted{Counts: s.Counts, Final: s.Closed})
}

func (s *Shard) opened(c *actor.Ctx, options []string) (none actor.None, err error) {
	if err := fromPoll(c); err != nil {
		return none, err
	}
	s.Options = options
	return none, nil
}

func (s *Shard) closed(c *actor.Ctx, _ actor.None) (none actor.None, err error) {
	if err := fromPoll(c); err != nil {
		return none, err
	}
	s.Closed = true
	c.Cancel("tell")
	s.report(c)
	return none, nil
}

func fromPoll(c *actor.Ctx) error {
	by := c.Caller().Actor
	if by == nil || by.Kind != Kind.Name() || by.Namespace != c.Namespace() || by.Key[0] != c.Key()[0] {
		return actor.ErrForbidden.Messagef("Only the poll may do this.")
	}
	return nil
}
