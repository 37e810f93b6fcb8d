package kafkalog

import (
	"context"
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// sessions expels silent members from the classic groups of the embedded broker. kfake does that itself, but differs from Kafka twice: a
// member whose connection ends while it waits for its JoinGroup to be answered is never missed, and keeps what the others
// give to it; and one that waits longer than its session is expelled, and never answered. So kfake is asked for the longest sessions it
// has, and this looks after them.
//
// All members of a group have the timeout that the last one to join asked for.
type sessions struct {
	cluster *kfake.Cluster
	client  *kgo.Client

	mu     sync.Mutex
	groups map[string]*groupSessions
	// parked is the connections of clients that are there, and wait for their JoinGroup to be answered.
	parked map[*memberConn]*kmsg.JoinGroupRequest
}

type groupSessions struct {
	timeout time.Duration
	// seen is when members were last heard of.
	seen map[string]time.Time
}

const sessionTick = 50 * time.Millisecond

func newSessions() *sessions {
	return &sessions{groups: make(map[string]*groupSessions), parked: make(map[*memberConn]*kmsg.JoinGroupRequest)}
}

// keep begins, and returns what ends it.
func (s *sessions) keep(cluster *kfake.Cluster, addr string) (stop func()) {
	s.cluster = cluster
	watch := func(key kmsg.Key, see func(kmsg.Request)) {
		cluster.ControlKey(int16(key), func(r kmsg.Request) (kmsg.Response, error, bool) {
			s.mu.Lock()
			defer s.mu.Unlock()
			see(r)
			return nil, nil, false
		})
	}
	watch(kmsg.JoinGroup, func(r kmsg.Request) { s.join(r.(*kmsg.JoinGroupRequest)) })
	watch(kmsg.SyncGroup, func(r kmsg.Request) { s.see(r.(*kmsg.SyncGroupRequest).Group, r.(*kmsg.SyncGroupRequest).MemberID) })
	watch(kmsg.Heartbeat, func(r kmsg.Request) { s.see(r.(*kmsg.HeartbeatRequest).Group, r.(*kmsg.HeartbeatRequest).MemberID) })
	watch(kmsg.ConsumerGroupHeartbeat, func(r kmsg.Request) { delete(s.groups, r.(*kmsg.ConsumerGroupHeartbeatRequest).Group) })

	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.run(ctx, addr) })
	return func() {
		cancel()
		wg.Wait()
	}
}

func (s *sessions) group(name string) *groupSessions {
	g := s.groups[name]
	if g == nil {
		g = &groupSessions{timeout: DefaultSessionTimeout, seen: make(map[string]time.Time)}
		s.groups[name] = g
	}
	return g
}

func (s *sessions) join(r *kmsg.JoinGroupRequest) {
	timeout := time.Duration(r.SessionTimeoutMillis) * time.Millisecond
	if timeout < minSessionTimeout || timeout > maxSessionTimeout {
		return // it is refused
	}
	g := s.group(r.Group)
	g.timeout = timeout
	if r.MemberID == "" && r.InstanceID == nil {
		return // it is told its id, and comes again
	}
	r.SessionTimeoutMillis = int32(maxSessionTimeout.Milliseconds())
	if r.MemberID != "" {
		g.seen[r.MemberID] = time.Now()
	}
}

func (s *sessions) see(group, member string) {
	s.group(group).seen[member] = time.Now()
}

func (s *sessions) run(ctx context.Context, addr string) {
	defer func() {
		if s.client != nil {
			s.client.Close()
		}
	}()
	ticker := time.NewTicker(sessionTick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		s.mu.Lock()
		var names []string
		for name := range s.groups {
			names = append(names, name)
		}
		s.mu.Unlock()
		for _, name := range names {
			// Not under the lock, which the cluster's goroutine takes.
			if info := s.cluster.GroupInfo(name); info != nil {
				s.expel(ctx, addr, name, s.silent(info))
			}
		}
	}
}

// silent are the members of a group whose sessions are over.
func (s *sessions) silent(info *kfake.GroupInfo) (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[info.Group]
	if g == nil {
		return nil
	}
	now := time.Now()
	is := make(map[string]bool, len(info.Members))
	for _, m := range info.Members {
		is[m.MemberID] = true
		// One that was not heard of is a member since before a restart, or a static one, whose id is in the answer only.
		if _, known := g.seen[m.MemberID]; !known || s.waits(info.Group, &m) {
			g.seen[m.MemberID] = now
		}
		if now.Sub(g.seen[m.MemberID]) > g.timeout {
			ids = append(ids, m.MemberID)
		}
	}
	for id, seen := range g.seen {
		if !is[id] && now.Sub(seen) > g.timeout {
			delete(g.seen, id)
		}
	}
	if len(g.seen) == 0 {
		delete(s.groups, info.Group)
	}
	return ids
}

// waits says whether a member is there and waits for its JoinGroup to be answered. s.mu is held.
func (s *sessions) waits(group string, m *kfake.GroupMember) bool {
	for _, r := range s.parked {
		same := r.MemberID == m.MemberID || (r.MemberID == "" && r.InstanceID != nil && m.InstanceID != nil && *r.InstanceID == *m.InstanceID)
		if same && r.Group == group {
			return true
		}
	}
	return false
}

// expel has members leave.
func (s *sessions) expel(ctx context.Context, addr, group string, ids []string) {
	if len(ids) == 0 {
		return
	}
	if s.client == nil {
		client, err := kgo.NewClient(kgo.SeedBrokers(addr))
		if err != nil {
			return // at the next tick
		}
		s.client = client
	}
	r := kmsg.NewPtrLeaveGroupRequest()
	r.Group = group
	for _, id := range ids {
		m := kmsg.NewLeaveGroupRequestMember()
		m.MemberID = id
		r.Members = append(r.Members, m)
	}
	_, _ = r.RequestWith(ctx, s.client) // or at the next tick
}

// listener is ln, and takes note of who waits.
func (s *sessions) listener(ln net.Listener) net.Listener { return memberListener{ln, s} }

type memberListener struct {
	net.Listener
	s *sessions
}

func (l memberListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &memberConn{Conn: conn, s: l.s}, nil
}

// memberConn is one connection. One goroutine reads, another one writes, as kfake does.
type memberConn struct {
	net.Conn
	s *sessions
	// request is as much as is needed of the one that is being read, and left what is still to come of it. Of the goroutine that reads.
	request []byte
	left    int
	waits   atomic.Bool
}

// Read implements net.Conn.
func (c *memberConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.scan(p[:n])
	if err != nil {
		c.s.park(c, nil)
	}
	return n, err
}

// Write implements net.Conn.
func (c *memberConn) Write(p []byte) (int, error) {
	c.s.park(c, nil)
	return c.Conn.Write(p)
}

// scan looks for requests to join. A request begins with its size, 4 bytes, and its key, 2 bytes.
func (c *memberConn) scan(p []byte) {
	const size, head = 4, 6
	for len(p) > 0 {
		if len(c.request) < head {
			n := min(head-len(c.request), len(p))
			c.request, p = append(c.request, p[:n]...), p[n:]
			if len(c.request) == head {
				c.left = int(binary.BigEndian.Uint32(c.request)) - (head - size)
			}
			continue
		}
		joins := binary.BigEndian.Uint16(c.request[size:]) == uint16(kmsg.JoinGroup)
		n := min(max(c.left, 0), len(p))
		if joins {
			c.request = append(c.request, p[:n]...)
		}
		if c.left, p = c.left-n, p[n:]; c.left > 0 {
			continue
		}
		if r := joinRequest(c.request[size:]); joins && r != nil {
			c.s.park(c, r)
		}
		c.request = c.request[:0]
	}
}

// joinRequest reads a JoinGroup with its header; nil if it is none.
func joinRequest(b []byte) *kmsg.JoinGroupRequest {
	r := kbin.Reader{Src: b}
	_, version, _, _ := r.Int16(), r.Int16(), r.Int32(), r.NullableString()
	join := kmsg.NewPtrJoinGroupRequest()
	join.SetVersion(version)
	if join.IsFlexible() {
		kmsg.SkipTags(&r)
	}
	if join.ReadFrom(r.Src) != nil {
		return nil
	}
	return join
}

// park notes for what a connection waits, nil for nothing.
func (s *sessions) park(c *memberConn, r *kmsg.JoinGroupRequest) {
	if !c.waits.Swap(r != nil) && r == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r == nil {
		delete(s.parked, c)
		return
	}
	s.parked[c] = r
}
