package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/actorlog/actorlog/eventlog"
)

// Join implements [eventlog.Log] with a consumer group of the actions topic that
// shares out partitions and never fetches or commits: where to read from is in the
// events, not in the group. The group is called "<prefix>.<Member.Group>".
//
// The sharing is cooperative and sticky: a rebalance takes away only what moves.
// Member.ID becomes the group instance id. Kafka keeps the partitions of such a member
// when it leaves; since we leave on purpose only, Join then leaves in its name.
func (l *Log) Join(ctx context.Context, m eventlog.Member) error {
	fail := func(err error) error { return fmt.Errorf("taking part in group %s: %w", m.Group, err) }
	l.mu.Lock()
	switch {
	case l.closed:
		l.mu.Unlock()
		return fail(eventlog.ErrClosed)
	case l.joining:
		l.mu.Unlock()
		return fail(errors.New("this client has joined already"))
	}
	l.joining = true
	l.wg.Add(1) // Close waits for the member to leave
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.joining = false
		l.mu.Unlock()
		l.wg.Done()
	}()

	var (
		topic = l.topics[eventlog.Actions].name
		group = l.cfg.Prefix + "." + m.Group
		fatal = make(chan error, 1)
		serve sync.Mutex // one function of m at a time, whatever kgo does
	)
	tell := func(what string, by map[string][]int32, f func([]int32)) {
		ps := slices.Clone(by[topic])
		if len(ps) == 0 {
			return
		}
		slices.Sort(ps)
		serve.Lock()
		defer serve.Unlock()
		if f != nil {
			f(ps)
		}
		if l.cfg.Listener.Rebalanced != nil {
			l.cfg.Listener.Rebalanced(what, ps)
		}
	}
	opts := append(l.cfg.clientOptions(),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topic),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(l.cfg.SessionTimeout),
		kgo.HeartbeatInterval(l.cfg.SessionTimeout/4),
		kgo.RebalanceTimeout(l.cfg.RebalanceTimeout),
		kgo.RetryTimeout(l.cfg.SessionTimeout),
		// kgo gives the membership up after a few tries to reach the coordinator. Slow
		// tries make them last for a broker's restart, in which nothing need be lost:
		// the group still counts the session.
		kgo.RetryBackoffFn(func(int) time.Duration { return l.cfg.SessionTimeout / 8 }),
		kgo.DisableAutoCommit(),
		kgo.MaxConcurrentFetches(0), // none without a poll, and nobody polls
		kgo.AdjustFetchOffsetsFn(startAtZero),
		kgo.WithHooks(groupErrors{fatal}),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, by map[string][]int32) {
			tell("assigned", by, func(ps []int32) {
				if m.Assigned != nil {
					m.Assigned(ctx, ps)
				}
			})
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, by map[string][]int32) {
			tell("released", by, func(ps []int32) {
				if m.Released != nil {
					m.Released(context.WithoutCancel(ctx), ps)
				}
			})
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, by map[string][]int32) {
			tell("lost", by, func(ps []int32) {
				if m.Lost != nil {
					m.Lost(ps)
				}
			})
		}),
	)
	if m.ID != "" {
		opts = append(opts, kgo.InstanceID(m.ID))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return fail(err)
	}
	cl.PauseFetchTopics(topic)

	select {
	case <-ctx.Done():
	case <-l.closing.Done():
		err = eventlog.ErrClosed
	case err = <-fatal:
		err = explainGroupError(err, l.cfg, m)
	}

	// Calls Released for what is held.
	_ = cl.LeaveGroupContext(context.Background()) // whoever cannot leave is expelled
	if m.ID != "" && !errors.Is(err, kerr.FencedInstanceID) {
		leaveStatic(cl, group, m.ID, l.cfg.SessionTimeout)
	}
	cl.Close()
	if err != nil {
		return fail(err)
	}
	return nil
}

// startAtZero keeps the group client from looking up where to fetch from.
func startAtZero(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	for _, ps := range offsets {
		for p := range ps {
			ps[p] = kgo.NewOffset().At(0)
		}
	}
	return offsets, nil
}

func leaveStatic(cl *kgo.Client, group, id string, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = group
	member := kmsg.NewLeaveGroupRequestMember()
	member.InstanceID = kmsg.StringPtr(id)
	member.Reason = kmsg.StringPtr("clean stop")
	req.Members = append(req.Members, member)
	_, _ = req.RequestWith(ctx, cl) // whoever cannot leave is expelled
}

// groupErrors passes on what ends a membership for good. Everything else kgo tries
// again by itself, after Lost.
type groupErrors struct{ fatal chan<- error }

var _ kgo.HookGroupManageError = groupErrors{}

// OnGroupManageError implements [kgo.HookGroupManageError].
func (g groupErrors) OnGroupManageError(err error) {
	for _, final := range []error{
		kerr.FencedInstanceID, kerr.GroupAuthorizationFailed, kerr.TopicAuthorizationFailed,
		kerr.InvalidSessionTimeout, kerr.InvalidGroupID, kerr.InconsistentGroupProtocol,
		kerr.UnsupportedVersion, kerr.GroupMaxSizeReached,
	} {
		if errors.Is(err, final) {
			select {
			case g.fatal <- err:
			default:
			}
			return
		}
	}
}

func explainGroupError(err error, cfg Config, m eventlog.Member) error {
	switch {
	case errors.Is(err, kerr.FencedInstanceID):
		return fmt.Errorf("%w: another member joined with the same ID %q", err, m.ID)
	case errors.Is(err, kerr.GroupAuthorizationFailed), errors.Is(err, kerr.TopicAuthorizationFailed):
		return fmt.Errorf("%w: grant Read on group %s.%s and topic %s.%s to this user", err, cfg.Prefix, m.Group, cfg.Prefix, eventlog.Actions)
	case errors.Is(err, kerr.InvalidSessionTimeout):
		return fmt.Errorf("%w: the brokers do not allow a session timeout of %s: see their group.min.session.timeout.ms and group.max.session.timeout.ms", err, cfg.SessionTimeout)
	case errors.Is(err, kerr.InconsistentGroupProtocol):
		return fmt.Errorf("%w: somebody else uses a group of that name for something else", err)
	}
	return err
}
