package chsink

import (
	"context"
	"errors"
	"fmt"

	"github.com/actorlog/actorlog/eventlog"
)

// ErrBehind says that a build has not caught up with the log.
var ErrBehind = errors.New("the build is behind the log: wait until it has caught up, or force it")

// maxBehind is how many records a build may be behind to count as caught up: the log goes on meanwhile.
const maxBehind = 10_000

// Log is what a projection is held against: an [eventlog.Log] is one.
type Log interface {
	eventlog.Source
	// Identity is the same as long as the log's topics are.
	Identity() string
}

// Status is a build, held against the log.
type Status struct {
	Build uint32 `json:"build"`
	// Shown says whether the views show it.
	Shown bool `json:"shown"`
	// Schema is the number of the last migration of its tables.
	Schema uint32 `json:"schema"`
	// Projected is how many records of events it has passed, Behind how many it has still to read. Neither means much where Log is another one.
	Projected int64 `json:"projected"`
	Behind    int64 `json:"behind"`
	// Log that it is filled from, held against the one that was given.
	Log StatusLog `json:"log"`
}

// StatusLog says of which log a build is.
type StatusLog string

// The logs of builds.
const (
	// NotBegun: no projector has begun.
	NotBegun StatusLog = "not begun"
	ThisLog  StatusLog = "this one"
	OtherLog StatusLog = "another one"
)

// Status lists all builds, oldest first, and how far each is behind a log.
func (db *DB) Status(ctx context.Context, l Log) ([]Status, error) {
	builds, err := db.Builds(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]Status, 0, len(builds))
	for _, b := range builds {
		s, err := db.status(ctx, l, b)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// StatusOf is Status of one build. ErrNoBuild if there is none of that number.
func (db *DB) StatusOf(ctx context.Context, l Log, build uint32) (Status, error) {
	b, err := db.find(ctx, build)
	if err != nil {
		return Status{}, err
	}
	return db.status(ctx, l, b)
}

func (db *DB) status(ctx context.Context, l Log, b Build) (Status, error) {
	places, err := db.Places(ctx, b.Number)
	if err != nil {
		return Status{}, err
	}
	next := make(map[int32]int64, len(places))
	for _, p := range places {
		next[p.Shard] = p.Next
	}
	s := Status{Build: b.Number, Shown: b.Current, Schema: b.Schema, Log: OtherLog}
	switch b.Log {
	case "":
		s.Log = NotBegun
	case l.Identity():
		s.Log = ThisLog
	}
	for shard := range l.Partitions() {
		start, end, err := l.Bounds(ctx, eventlog.Events, shard)
		if err != nil {
			return Status{}, fmt.Errorf("asking for the end of events[%d]: %w", shard, err)
		}
		s.Projected += next[shard]
		s.Behind += max(end-max(next[shard], start), 0)
	}
	return s, nil
}

// SwitchTo is Switch, but refuses a build of another log (ErrOtherLog) and one that is far behind this one (ErrBehind).
func (db *DB) SwitchTo(ctx context.Context, l Log, build uint32) error {
	s, err := db.StatusOf(ctx, l, build)
	switch {
	case err != nil:
		return err
	case s.Log == OtherLog:
		return fmt.Errorf("%w: build %d", ErrOtherLog, build)
	case s.Behind > maxBehind:
		return fmt.Errorf("%w: build %d, by %d records", ErrBehind, build, s.Behind)
	}
	return db.Switch(ctx, build)
}
