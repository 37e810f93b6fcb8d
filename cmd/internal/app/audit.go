package app

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/audit"
	"github.com/actorlog/actorlog/audit/overlog"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/projection/chsink"
)

// Audit is what answers the questions of auditors: ClickHouse, where there is one that answers, and else the log. Close ends its connections.
func (c ClickHouse) Audit(l eventlog.Log, log *zap.Logger) (store audit.Store, closeStore func(), err error) {
	if !c.Given() {
		return overlog.New(l), func() {}, nil
	}
	db, err := c.Open(nil, log)
	if err != nil {
		return nil, nil, err
	}
	return overClickHouse(db, l, log), db.Close, nil
}

// overClickHouse asks the log where ClickHouse does not answer, or shows another log.
func overClickHouse(db *chsink.DB, l eventlog.Log, log *zap.Logger) audit.Store {
	shows := func(ctx context.Context) error { return db.Shows(ctx, l.Identity()) }
	return &either{first: db.Store(), shows: shows, second: overlog.New(l), log: log.Named("audit")}
}

// either asks the second where the first is not there, or is of another log.
type either struct {
	first, second audit.Store
	shows         func(context.Context) error
	log           *zap.Logger
}

func inTurn[Q, A any](e *either, ctx context.Context, q Q, ask func(audit.Store, context.Context, Q) (A, error)) (A, error) {
	var a A
	err := e.shows(ctx)
	switch {
	case err == nil:
		a, err = ask(e.first, ctx, q)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return a, audit.ErrTimeout
	}
	away := errors.Is(err, chsink.ErrUnavailable) || errors.Is(err, chsink.ErrNoProjection) || errors.Is(err, chsink.ErrOtherLog)
	if away && ctx.Err() == nil {
		e.log.Warn("asking the log instead, which takes longer", zap.Error(err))
		return ask(e.second, ctx, q)
	}
	return a, err
}

// Events implements [audit.Store].
func (e *either) Events(ctx context.Context, q audit.Events) (audit.Page[audit.Entry], error) {
	return inTurn(e, ctx, q, audit.Store.Events)
}

// Tally implements [audit.Store].
func (e *either) Tally(ctx context.Context, q audit.Tally) (audit.Page[audit.Group], error) {
	return inTurn(e, ctx, q, audit.Store.Tally)
}

// Actors implements [audit.Store].
func (e *either) Actors(ctx context.Context, q audit.Actors) (audit.Page[audit.Actor], error) {
	return inTurn(e, ctx, q, audit.Store.Actors)
}
