package kafkalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
//
// Config.GroupProtocol does not change what a Member may rely on. With the consumer
// protocol brokers refuse a second member of the same ID instead of expelling the first, so
// Join gives up the first one's place before it joins. And a member that is cut off hears
// of its loss not after its session timeout but once it reaches the brokers again.
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

	const places = 20 // that are taken, until somebody has to give in
	for place := 1; ; place++ {
		assigned, err := l.takePart(ctx, m)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, kerr.UnreleasedInstanceID) && !assigned && place < places:
			// The other one was quicker: it heard that its place was taken, and came back before this one was there.
		default:
			return fail(err)
		}
	}
}

// takePart is one membership. It says whether it ever was given partitions.
func (l *Log) takePart(ctx context.Context, m eventlog.Member) (assigned bool, err error) {
	var (
		topic  = l.topics[eventlog.Actions].name
		group  = l.cfg.Prefix + "." + m.Group
		served = l.cfg.GroupProtocol == GroupProtocolConsumer // the brokers assign
		fatal  = make(chan error, 1)
		serve  sync.Mutex // one function of m at a time, whatever kgo does
	)
	if served {
		if err := l.takePlace(ctx, group, m.ID); err != nil {
			if ctx.Err() != nil {
				return false, nil
			}
			return false, explainGroupError(l.translate(err), l.cfg, m)
		}
	}
	var (
		held    = make(map[int32]struct{}) // guarded by serve
		leaving bool                       // guarded by serve
	)
	// take tells of partitions that are gained; drop, of those of them that are held and now lost.
	take := func(by map[string][]int32) {
		serve.Lock()
		defer serve.Unlock()
		ps := slices.Sorted(slices.Values(by[topic]))
		if len(ps) == 0 || leaving {
			return
		}
		assigned = true
		for _, p := range ps {
			held[p] = struct{}{}
		}
		if m.Assigned != nil {
			m.Assigned(ctx, ps)
		}
		l.cfg.Listener.rebalanced("assigned", ps)
	}
	dropLocked := func(what string, of []int32, f func([]int32)) {
		var ps []int32
		for _, p := range slices.Sorted(slices.Values(of)) {
			if _, ok := held[p]; ok {
				delete(held, p)
				ps = append(ps, p)
			}
		}
		if len(ps) == 0 {
			return
		}
		f(ps)
		l.cfg.Listener.rebalanced(what, ps)
	}
	drop := func(what string, by map[string][]int32, f func([]int32)) {
		serve.Lock()
		defer serve.Unlock()
		dropLocked(what, by[topic], f)
	}
	release := func(ps []int32) {
		if m.Released != nil {
			m.Released(context.WithoutCancel(ctx), ps)
		}
	}
	lose := func(ps []int32) {
		if m.Lost != nil {
			m.Lost(ps)
		}
	}
	life, end := context.WithCancel(context.Background())
	defer end()
	opts := append(l.cfg.clientOptions(),
		kgo.WithContext(life),
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topic),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(l.cfg.SessionTimeout),
		kgo.HeartbeatInterval(min(l.cfg.SessionTimeout/4, maxHeartbeat)),
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
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, by map[string][]int32) { take(by) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, by map[string][]int32) { drop("released", by, release) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, by map[string][]int32) { drop("lost", by, lose) }),
	)
	if served {
		opts = append(opts, kgo.ServerSideBalancer())
	}
	if m.ID != "" {
		opts = append(opts, kgo.InstanceID(m.ID))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return false, err
	}
	cl.PauseFetchTopics(topic)

	what, give := "released", release
	select {
	case <-ctx.Done():
	case <-l.closing.Done():
		err = eventlog.ErrClosed
	case err = <-fatal:
		what, give = "lost", lose
		err = explainGroupError(err, l.cfg, m)
	}

	// Here and not when kgo leaves: it does that only after a rebalance that is under way, for which it may have to wait for others.
	serve.Lock()
	leaving = true
	dropLocked(what, slices.Collect(maps.Keys(held)), give)
	serve.Unlock()
	if !l.leave(cl, group, served) {
		end() // or Close would wait for the group as well
	}
	if m.ID != "" && !errors.Is(err, kerr.FencedInstanceID) && !errors.Is(err, kerr.UnreleasedInstanceID) {
		leaveStatic(cl, group, m.ID, l.cfg.SessionTimeout, served)
	}
	cl.Close()
	serve.Lock()
	defer serve.Unlock()
	return assigned, err
}

// maxHeartbeat is how late a member may hear that another one joins or leaves: for so long, shards that are given away have no owner.
const maxHeartbeat = 150 * time.Millisecond

// leaveTimeout bounds how long a member waits to leave its group in peace.
const leaveTimeout = 2 * time.Second

// leave takes a member out of its group, and returns false if it could not in peace. Whoever cannot leave is expelled.
func (l *Log) leave(cl *kgo.Client, group string, served bool) bool {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	if err := cl.LeaveGroupContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	// kgo waits for the group, which may wait for this member.
	id, _ := cl.GroupMetadata()
	if id == "" || served {
		return false
	}
	ctx, cancel = context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = group, id
	member := kmsg.NewLeaveGroupRequestMember()
	member.MemberID = id
	req.Members = append(req.Members, member)
	_, _ = req.RequestWith(ctx, l.cl)
	return false
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

func leaveStatic(cl *kgo.Client, group, id string, timeout time.Duration, served bool) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	// Whoever cannot leave is expelled.
	if served {
		member, _ := cl.GroupMetadata()
		_ = leaveConsumer(ctx, cl, group, member, id, leaveForGood)
		return
	}
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = group
	member := kmsg.NewLeaveGroupRequestMember()
	member.InstanceID = kmsg.StringPtr(id)
	member.Reason = kmsg.StringPtr("clean stop")
	req.Members = append(req.Members, member)
	_, _ = req.RequestWith(ctx, cl)
}

// Epochs in which a member of the consumer protocol leaves.
const (
	leaveForGood = -1
	leaveAndKeep = -2 // its partitions, for the next member of the same instance id
)

func leaveConsumer(ctx context.Context, cl *kgo.Client, group, member, id string, epoch int32) error {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group = group
	req.MemberID = member
	req.MemberEpoch = epoch
	req.InstanceID = kmsg.StringPtr(id)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}

// takePlace makes way for a member of the consumer protocol: brokers refuse an instance id
// that another member has, though that one be dead, until its session has timed out. It also
// finds out whether the brokers speak that protocol, for kgo silently uses the classic one if
// they do not.
//
// It happens once, before joining. Should the other member be alive, it is then the one that is
// refused: two that took each other's place again and again would end both.
func (l *Log) takePlace(ctx context.Context, group, id string) error {
	ctx, cancel := l.untilClosed(ctx)
	defer cancel()
	for try := 0; ; try++ {
		err := requireConsumerProtocol(ctx, l.cl)
		var holder string
		if err == nil {
			holder, err = findStatic(ctx, l.cl, group, id)
		}
		if err == nil && holder != "" {
			err = leaveConsumer(ctx, l.cl, group, holder, id, leaveAndKeep)
		}
		switch {
		case err == nil, errors.Is(err, kerr.UnknownMemberID): // it has gone by itself
			return nil
		case !isDial(err) && !kgo.IsRetryableBrokerErr(err) && !kerr.IsRetriable(err):
			return err
		}
		if !sleep(ctx, nil, backoff(try)) {
			return ctx.Err()
		}
	}
}

// requireConsumerProtocol returns UnsupportedVersion from brokers that do not have the version of
// the protocol that kgo speaks. One that could but may not says so itself.
func requireConsumerProtocol(ctx context.Context, cl *kgo.Client) error {
	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	for _, k := range resp.ApiKeys {
		if k.ApiKey == int16(kmsg.ConsumerGroupHeartbeat) && k.MaxVersion >= 1 {
			return nil
		}
	}
	return kerr.UnsupportedVersion
}

// findStatic returns the member that has the instance id, or "".
func findStatic(ctx context.Context, cl *kgo.Client, group, id string) (member string, err error) {
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups = []string{group}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return "", err
	}
	if len(resp.Groups) != 1 {
		return "", errors.New("the broker's answer lacks the group")
	}
	g := &resp.Groups[0]
	switch err := kerr.ErrorForCode(g.ErrorCode); {
	case errors.Is(err, kerr.GroupIDNotFound): // not yet, or its members use the classic protocol
		return "", nil
	case err != nil:
		return "", err
	}
	for _, m := range g.Members {
		if id != "" && m.InstanceID != nil && *m.InstanceID == id {
			return m.MemberID, nil
		}
	}
	return "", nil
}

// groupErrors passes on what ends a membership for good. Everything else kgo tries
// again by itself, after Lost.
type groupErrors struct{ fatal chan<- error }

var _ kgo.HookGroupManageError = groupErrors{}

// OnGroupManageError implements [kgo.HookGroupManageError].
func (g groupErrors) OnGroupManageError(err error) {
	for _, final := range []error{
		kerr.FencedInstanceID, kerr.UnreleasedInstanceID, kerr.GroupAuthorizationFailed, kerr.TopicAuthorizationFailed,
		kerr.InvalidSessionTimeout, kerr.InvalidGroupID, kerr.InconsistentGroupProtocol,
		kerr.UnsupportedVersion, kerr.UnsupportedAssignor, kerr.GroupMaxSizeReached,
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
	case errors.Is(err, kerr.FencedInstanceID), errors.Is(err, kerr.UnreleasedInstanceID):
		return fmt.Errorf("%w: another member joined with the same ID %q", err, m.ID)
	case errors.Is(err, kerr.GroupAuthorizationFailed), errors.Is(err, kerr.TopicAuthorizationFailed):
		return fmt.Errorf("%w: grant Read on group %s.%s and topic %s.%s to this user", err, cfg.Prefix, m.Group, cfg.Prefix, eventlog.Actions)
	case errors.Is(err, kerr.InvalidSessionTimeout):
		return fmt.Errorf("%w: the brokers do not allow a session timeout of %s: see their group.min.session.timeout.ms and group.max.session.timeout.ms", err, cfg.SessionTimeout)
	case errors.Is(err, kerr.UnsupportedVersion) && cfg.GroupProtocol == GroupProtocolConsumer:
		return fmt.Errorf("%w: the brokers do not speak the group protocol %q: use %q", err, GroupProtocolConsumer, GroupProtocolClassic)
	case errors.Is(err, kerr.UnsupportedAssignor):
		return fmt.Errorf("%w: the brokers must have the assignor uniform among their group.consumer.assignors", err)
	case errors.Is(err, kerr.InconsistentGroupProtocol):
		return fmt.Errorf("%w: somebody else uses a group of that name for something else", err)
	}
	return err
}
