package actor

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// MaxSchedules is how many schedules an actor may have at a time.
const MaxSchedules = 1000

// MinEvery is the shortest time between two firings of one schedule.
const MinEvery = 10 * time.Millisecond

// Invocation is an action with its arguments. Make it with [ActionOf.With].
type Invocation struct {
	kind, name string
	args       []byte
	err        error
}

// With is the action with its input, to be scheduled.
func (a ActionOf[S, In, Out]) With(in In) Invocation {
	args, err := a.args.marshal(in)
	if err != nil {
		err = fmt.Errorf("the argument of action %s of kind %s: %w", a.name, a.kind, err)
	}
	return Invocation{kind: a.kind, name: a.name, args: args, err: err}
}

// Missed says what a schedule does about times that have passed while nobody could fire it: the workers were down,
// or the actor was busy, for more than 10 s, or past the next time as well.
type Missed uint8

// The policies.
const (
	// FireOnce fires once, however many times have passed. The default.
	FireOnce Missed = iota
	// Skip passes over all of them. A schedule of one time is over then.
	Skip
	// FireAll fires once for each of them, in order, at once.
	FireAll
)

// Retry says how often something is tried. The zero Retry is one attempt.
type Retry struct {
	// Attempts in all. 0 is one.
	Attempts int
	// Backoff is the pause before the second attempt; it doubles with each further one. Default 100 ms.
	Backoff time.Duration
	// MaxBackoff bounds the pause. Default 30 s.
	MaxBackoff time.Duration
}

func (r Retry) withDefaults() Retry {
	if r.Attempts < 1 {
		r.Attempts = 1
	}
	if r.Backoff <= 0 {
		r.Backoff = 100 * time.Millisecond
	}
	if r.MaxBackoff <= 0 {
		r.MaxBackoff = 30 * time.Second
	}
	return r
}

// Pause is the time before the next attempt, after failed ones.
func (r Retry) Pause(failed int) time.Duration {
	d := float64(r.Backoff) * math.Pow(2, float64(failed-1))
	return time.Duration(min(d, float64(r.MaxBackoff)))
}

// ScheduleOption changes a schedule that is set.
type ScheduleOption func(*actorlogv1.Schedule)

// ScheduleID names the schedule, in place of a new id. It replaces the schedule that has the id, if there is one.
func ScheduleID(id string) ScheduleOption {
	return func(s *actorlogv1.Schedule) { s.Id = id }
}

// OnMissed says what to do about times that have passed. Default FireOnce.
func OnMissed(m Missed) ScheduleOption {
	return func(s *actorlogv1.Schedule) {
		s.Missed = actorlogv1.Schedule_Missed(m) + actorlogv1.Schedule_MISSED_FIRE_ONCE
	}
}

// OnFailure has a failed firing tried again. Default: it is not.
func OnFailure(r Retry) ScheduleOption {
	return func(s *actorlogv1.Schedule) {
		r = r.withDefaults()
		s.MaxAttempts, s.BackoffMs, s.MaxBackoffMs = uint32(r.Attempts), r.Backoff.Milliseconds(), r.MaxBackoff.Milliseconds()
	}
}

// After has the actor run one of its actions after a time, and returns the schedule's id. The schedule is part of this
// action's outcome: it survives whatever the actor survives, fires at its time or after, and never twice. The
// action runs without a connection. When this action fails, nothing is scheduled.
func (c *Ctx) After(d time.Duration, run Invocation, options ...ScheduleOption) string {
	return c.At(c.Now().Add(d), run, options...)
}

// At is After with a time, in milliseconds.
func (c *Ctx) At(t time.Time, run Invocation, options ...ScheduleOption) string {
	return c.schedule(run, options, func(s *actorlogv1.Schedule) error {
		s.DueUnixMs = ceilMs(t)
		return nil
	})
}

// Every has the actor run one of its actions again and again, first after one interval. Firings do not drift: they are whole
// intervals after now. The shortest interval is MinEvery; it is counted in milliseconds.
func (c *Ctx) Every(interval time.Duration, run Invocation, options ...ScheduleOption) string {
	return c.schedule(run, options, func(s *actorlogv1.Schedule) error {
		if interval < MinEvery {
			return fmt.Errorf("an interval of %v is less than %v", interval, MinEvery)
		}
		s.EveryMs = interval.Milliseconds()
		s.DueUnixMs = c.job.TimeMs + s.EveryMs
		return nil
	})
}

// Cron has the actor run one of its actions at the times of a cron expression of five fields (minute, hour, day of
// month, month, day of week; or @daily and the like) in an IANA time zone; "" is UTC. A time that a change to summer time leaves out
// does not fire, and one that the change back repeats fires twice. An expression that comes from a user is better checked with ValidateCron first: a wrong one
// fails the action.
func (c *Ctx) Cron(expression, zone string, run Invocation, options ...ScheduleOption) string {
	return c.schedule(run, options, func(s *actorlogv1.Schedule) error {
		if zone == "" {
			zone = "UTC"
		}
		s.Cron, s.TimeZone = expression, zone
		next, err := NextTime(s, c.job.TimeMs)
		s.DueUnixMs = next
		return err
	})
}

// ValidateCron says what is wrong with a cron expression or time zone.
func ValidateCron(expression, zone string) error {
	_, err := parseCron(expression, zone)
	return err
}

func (c *Ctx) schedule(run Invocation, options []ScheduleOption, when func(*actorlogv1.Schedule) error) string {
	s := &actorlogv1.Schedule{
		Action: run.name, ArgsJson: run.args, SetUnixMs: c.job.TimeMs, Missed: actorlogv1.Schedule_MISSED_FIRE_ONCE,
	}
	for _, option := range options {
		option(s)
	}
	if s.Id == "" {
		s.Id = c.NewID()
	}
	err := errors.Join(run.err, when(s))
	switch {
	case err != nil:
	case run.kind != c.job.Kind:
		err = fmt.Errorf("it is an action of kind %q: an actor schedules its own actions", run.kind)
	case len(s.Id) > 255 || !validText(s.Id):
		err = errors.New("its id is longer than 255 bytes, or not valid UTF-8")
	}
	if err != nil {
		c.fail(fmt.Errorf("scheduling action %s of kind %s: %w", run.name, run.kind, err))
		return s.Id
	}
	s.OccurrenceUnixMs = s.DueUnixMs
	c.effects.Unscheduled = without(c.effects.Unscheduled, s.Id)
	c.effects.Scheduled = append(dropSchedule(c.effects.Scheduled, s.Id), s)
	current := c.current()
	if current[s.Id] = s; len(current) > MaxSchedules {
		c.fail(ErrScheduleLimit)
	}
	return s.Id
}

// Schedule is a schedule of the actor.
type Schedule struct {
	ID string
	// Action that it runs.
	Action string
	// Args is its positional arguments, a JSON array.
	Args []byte
	// Next time at which it fires. UTC.
	Next time.Time
	// Every is the time between two firings, 0 when it has none.
	Every time.Duration
	// Cron and TimeZone are empty when it is no cron schedule.
	Cron, TimeZone string
	// FailedAttempts since it was last due.
	FailedAttempts int
}

// Schedules lists the actor's schedules, what this action set and cancelled included, by id.
func (c *Ctx) Schedules() []Schedule {
	var all []Schedule
	current := c.current()
	for _, id := range slices.Sorted(maps.Keys(current)) {
		all = append(all, scheduleOf(current[id]))
	}
	return all
}

// Schedule finds one of the actor's schedules.
func (c *Ctx) Schedule(id string) (Schedule, bool) {
	if s := c.current()[id]; s != nil {
		return scheduleOf(s), true
	}
	return Schedule{}, false
}

// Cancel ends one of the actor's schedules, and says whether there was one.
func (c *Ctx) Cancel(id string) bool {
	current := c.current()
	if current[id] == nil {
		return false
	}
	delete(current, id)
	c.effects.Scheduled = dropSchedule(c.effects.Scheduled, id)
	c.effects.Unscheduled = append(without(c.effects.Unscheduled, id), id)
	return true
}

// ScheduledTime is the time that the running firing of a schedule stands for, which is before Now if it is late or tried
// again; the zero time when the action is no firing. UTC.
func (c *Ctx) ScheduledTime() time.Time {
	if c.job.Occurrence == 0 {
		return time.Time{}
	}
	return time.UnixMilli(c.job.Occurrence).UTC()
}

func scheduleOf(s *actorlogv1.Schedule) Schedule {
	return Schedule{
		ID: s.Id, Action: s.Action, Args: s.ArgsJson, Next: time.UnixMilli(s.DueUnixMs).UTC(),
		Every: time.Duration(s.EveryMs) * time.Millisecond, Cron: s.Cron, TimeZone: s.TimeZone, FailedAttempts: int(s.Failed),
	}
}

// current is the actor's schedules as this action leaves them.
func (c *Ctx) current() map[string]*actorlogv1.Schedule {
	if c.schedules == nil {
		c.schedules = make(map[string]*actorlogv1.Schedule, len(c.job.Schedules))
		for _, s := range c.job.Schedules {
			c.schedules[s.Id] = s
		}
		for _, id := range c.effects.Unscheduled {
			delete(c.schedules, id)
		}
		for _, s := range c.effects.Scheduled {
			c.schedules[s.Id] = s
		}
	}
	return c.schedules
}

func dropSchedule(list []*actorlogv1.Schedule, id string) []*actorlogv1.Schedule {
	kept := make([]*actorlogv1.Schedule, 0, len(list)+1)
	for _, s := range list {
		if s.Id != id {
			kept = append(kept, s)
		}
	}
	return kept
}

func without(list []string, id string) []string {
	var kept []string
	for _, s := range list {
		if s != id {
			kept = append(kept, s)
		}
	}
	return kept
}

// NextTime is the first time of a recurring schedule after a time, in Unix milliseconds. For hosts.
func NextTime(s *actorlogv1.Schedule, afterMs int64) (int64, error) {
	if s.EveryMs > 0 {
		next := s.DueUnixMs
		if s.OccurrenceUnixMs != 0 {
			next = s.OccurrenceUnixMs
		}
		if next <= afterMs {
			next += ((afterMs-next)/s.EveryMs + 1) * s.EveryMs
		}
		return next, nil
	}
	parsed, err := parseCron(s.Cron, s.TimeZone)
	if err != nil {
		return 0, err
	}
	next := parsed.Next(time.UnixMilli(afterMs))
	if next.IsZero() {
		return 0, fmt.Errorf("the cron expression %q has no time in the next five years", s.Cron)
	}
	return next.UnixMilli(), nil
}

func parseCron(expression, zone string) (cron.Schedule, error) {
	if strings.Contains(expression, "TZ=") || strings.HasPrefix(expression, "@every") {
		return nil, fmt.Errorf("the cron expression %q: the time zone is given apart from it, and intervals with Every", expression)
	}
	location, err := time.LoadLocation(zone)
	if zone == "Local" {
		err = errors.New("every worker may have another")
	}
	if err != nil {
		return nil, fmt.Errorf("the time zone %q: %w", zone, err)
	}
	parsed, err := cron.ParseStandard(expression)
	if err != nil {
		return nil, fmt.Errorf("the cron expression %q (want minute, hour, day of month, month, day of week): %w", expression, err)
	}
	if spec, ok := parsed.(*cron.SpecSchedule); ok {
		spec.Location = location
	}
	return parsed, nil
}

// ceilMs is the first millisecond that is not before t.
func ceilMs(t time.Time) int64 {
	ms := t.UnixMilli()
	if time.UnixMilli(ms).Before(t) {
		ms++
	}
	return ms
}
