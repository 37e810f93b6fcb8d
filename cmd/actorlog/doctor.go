package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/kafkalog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

type doctorCmd struct {
	onTopics
	Role   string `help:"Check the rights of this user as those of a program: gateway, worker, projector or operator." enum:"gateway,worker,projector,operator" default:"operator"`
	MaxLag int64  `help:"How many unanswered actions of a shard are too many." default:"10000"`
}

// skewTolerated is how far clocks may be apart.
const skewTolerated = 2 * time.Second

// claimOld is the age of a claim after which its owner, which renews it every hour, is taken for gone.
const claimOld = 2 * time.Hour

// errUnwell is what doctor ends with when something is wrong.
var errUnwell = errors.New("something is wrong: see above")

// checkup prints what is found, and counts what is wrong.
type checkup struct {
	w     io.Writer
	wrong int
}

func (c *checkup) ok(format string, args ...any) { fmt.Fprintf(c.w, "ok    "+format+"\n", args...) }

func (c *checkup) note(format string, args ...any) { fmt.Fprintf(c.w, "note  "+format+"\n", args...) }

// bad says what is wrong, and what to do.
func (c *checkup) bad(do, format string, args ...any) {
	c.wrong++
	fmt.Fprintf(c.w, "WRONG "+format+"\n      do: %s\n", append(args, do)...)
}

// Run implements the command.
func (c *doctorCmd) Run(ctx context.Context, log *zap.Logger) error {
	check := &checkup{w: os.Stdout}
	cluster, cfg, err := c.Inspect(ctx, c.Topics, log)
	if err != nil {
		return err
	}
	check.brokers(cluster)
	whole := check.topics(cluster)
	check.rights(cluster, cfg, kafkalog.Role(c.Role))
	check.clocks(cluster, time.Now())
	if whole {
		if err := c.shards(ctx, check, log); err != nil {
			check.bad("mend what is said above first", "the shards cannot be looked at: %v", err)
		}
	}
	if check.wrong > 0 {
		return errUnwell
	}
	fmt.Println("All is well.")
	return nil
}

func (c *checkup) brokers(cluster *kafkalog.Cluster) {
	for _, b := range cluster.Brokers {
		switch {
		case b.Err != nil:
			c.bad("start it, or look whether its advertised address can be reached from here", "broker %d at %s does not answer: %v", b.ID, b.Address, b.Err)
		case b.RoundTrip > 100*time.Millisecond:
			c.note("broker %d at %s takes %v for a round trip: every action waits for several", b.ID, b.Address, b.RoundTrip.Round(time.Millisecond))
		default:
			c.ok("broker %d at %s: %s, %v for a round trip", b.ID, b.Address, b.Version, b.RoundTrip.Round(10*time.Microsecond))
		}
	}
}

// topics says whether there are all.
func (c *checkup) topics(cluster *kafkalog.Cluster) (whole bool) {
	whole = true
	counts := make(map[int]bool)
	for _, t := range cluster.Topics {
		if t.Err != nil {
			whole = false
			c.bad("actorlog topics make, with a user who may create topics; or look whether --prefix is right", "topic %s: %v", t.Name, t.Err)
			continue
		}
		if t.Role != eventlog.Gateways {
			counts[t.Partitions] = true
		}
		c.ok("topic %s: %d partitions, %d replicas", t.Name, t.Partitions, t.Replicas)
		if len(t.Leaderless) > 0 {
			whole = false
			c.bad("start the brokers that have them", "partitions %v of %s have no leader", t.Leaderless, t.Name)
		}
		if len(t.Lagging) > 0 {
			c.bad("start the broker that is missing, or see what its disk does", "partitions %v of %s have replicas that are not in sync", t.Lagging, t.Name)
		}
		for _, w := range t.Warnings {
			c.bad("alter the topic's configuration", "topic %s: %s", t.Name, w)
		}
		if t.Role == eventlog.Events && t.Replicas == 1 {
			c.note("topic %s has one replica: it is lost with its broker's disk", t.Name)
		}
	}
	if len(counts) > 1 {
		whole = false
		c.bad("all must have as many: make those of another prefix, and move there", "actions, events and snapshots do not have the same number of partitions")
	}
	return whole
}

func (c *checkup) rights(cluster *kafkalog.Cluster, cfg kafkalog.Config, role kafkalog.Role) {
	if !slices.ContainsFunc(cluster.Topics, func(t kafkalog.TopicInfo) bool { return t.Told }) {
		c.note("the brokers do not tell what this user may do")
		return
	}
	missing := cluster.MissingRights(cfg, role)
	for _, r := range missing {
		c.bad("actorlog topics acls --role "+string(role)+" prints the commands", "as %s, this user lacks %s", role, r)
	}
	if len(missing) == 0 {
		c.ok("this user may do what the %s must", role)
	}
}

func (c *checkup) clocks(cluster *kafkalog.Cluster, now time.Time) {
	var latest time.Time
	for _, t := range cluster.Topics {
		if t.Newest.After(latest) {
			latest = t.Newest
		}
	}
	switch ahead := latest.Sub(now); {
	case latest.IsZero():
		c.note("clocks cannot be compared: nothing was written yet, or the brokers do not tell")
	case ahead > skewTolerated:
		c.bad("have all machines follow the same time servers", "a record was written %v after now: the clock of its writer is ahead of this machine's", ahead.Round(time.Millisecond))
	default:
		c.ok("no clock of a writer is ahead of this machine's; the last record is of %s", latest.UTC().Format(time.RFC3339))
	}
}

// shards looks at who owns them, with which code, and how far they are behind.
func (c *doctorCmd) shards(ctx context.Context, check *checkup, log *zap.Logger) error {
	l, err := c.OpenExisting(ctx, c.Topics, log)
	if err != nil {
		return err
	}
	defer l.Close()
	versions := make(map[string][]string) // of code, and who runs it
	unclaimed, behind := 0, false
	for p := range l.Partitions() {
		claim, answered, err := lastOf(ctx, l, p)
		if err != nil {
			return err
		}
		start, end, err := l.Bounds(ctx, eventlog.Actions, p)
		if err != nil {
			return err
		}
		if claim == nil {
			unclaimed++
			continue
		}
		who := versions[claim.CodeVersion]
		if !slices.Contains(who, claim.Worker) {
			versions[claim.CodeVersion] = append(who, claim.Worker)
		}
		if age := time.Since(time.UnixMilli(claim.TimeUnixMs)); age > claimOld {
			check.bad("start a worker", "shard %d: its owner %s has not renewed its claim for %v", p, claim.Worker, age.Round(time.Minute))
		} else if claim.Released {
			check.bad("start a worker", "shard %d has no owner: %s gave it away and nobody took it", p, claim.Worker)
		}
		if lag := end - 1 - max(answered, start-1); lag > c.MaxLag {
			behind = true
			check.bad("add workers, or see ops/runbooks/ActorlogShardLag.md", "shard %d: %d actions after the last that was answered", p, lag)
		}
	}
	if unclaimed > 0 {
		check.bad("start a worker", "%d of %d shards were never claimed", unclaimed, l.Partitions())
	}
	if !behind {
		check.ok("no shard is behind by more than %d actions", c.MaxLag)
	}
	for version, who := range versions {
		slices.Sort(who)
		check.ok("code %s: %s", version, strings.Join(who, ", "))
	}
	if len(versions) > 1 {
		check.note("workers run %d versions of the code: a deployment that is not finished?", len(versions))
	}
	return nil
}

// lastOf is the last claim of a shard, nil if there is none, and the latest action that was answered, as far as the last records tell.
func lastOf(ctx context.Context, l eventlog.Source, p int32) (claim *actorlogv1.Claim, answered int64, err error) {
	start, end, err := l.Bounds(ctx, eventlog.Events, p)
	if err != nil {
		return nil, 0, err
	}
	answered = -1
	for back := int64(machine.ReadBack); ; back *= 8 {
		from := max(start, end-back)
		err := eventlog.Scan(ctx, l, eventlog.Events, p, from, end, func(r *eventlog.Record) error {
			switch t := schemas.Type(r.Header(schemas.HeaderType)); t {
			case schemas.TypeClaim:
				if c, err := schemas.DecodeAs[*actorlogv1.Claim](t, r.Value); err == nil {
					claim = c
				}
			case schemas.TypeOutcome:
				if o, err := schemas.DecodeAs[*actorlogv1.Outcome](t, r.Value); err == nil {
					answered = max(answered, o.Ref)
				}
			}
			return nil
		})
		if err != nil || claim != nil || from == start {
			return claim, answered, err
		}
	}
}

// replaceRole puts the name of a program into the name of its user.
func replaceRole(user, role string) string { return strings.ReplaceAll(user, "{role}", role) }
