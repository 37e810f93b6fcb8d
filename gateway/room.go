package gateway

import (
	"runtime/debug"
	"slices"
	"sync"

	"github.com/gorilla/websocket"
	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/gateway/wire"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// rooms holds one room per actor that has sessions.
//
// Lock order: rooms.mu, then room.mu or those of remote.Client. What runs on the goroutine
// that reads the log takes room.mu only.
type rooms struct {
	g     *Gateway
	mu    sync.Mutex
	rooms map[schemas.Hash]*room
}

func (r *rooms) init(g *Gateway) {
	r.g, r.rooms = g, make(map[schemas.Hash]*room)
}

// join makes s a member of its actor's room. From then on the room sees every outcome of
// the actor: a session that joins before its look-up is appended misses nothing after it.
func (r *rooms) join(s *session) *room {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.rooms[s.to.hash]
	if m == nil {
		m = &room{g: r.g, members: make(map[string]*session), subscribers: make(map[string]map[*session]struct{})}
		m.watch = remote.Watch{Outcome: m.outcome, Gap: m.gap}
		r.rooms[s.to.hash] = m
		r.g.client.Watch(s.to.hash, &m.watch)
	}
	m.mu.Lock()
	m.members[s.id] = s
	m.mu.Unlock()
	return m
}

// leave ends a membership; the last one closes the room.
func (r *rooms) leave(s *session, m *room) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.mu.Lock()
	delete(m.members, s.id)
	for name := range s.subscriptions {
		m.remove(s, name)
	}
	empty := len(m.members) == 0
	m.mu.Unlock()
	if empty {
		delete(r.rooms, s.to.hash)
		r.g.client.Unwatch(&m.watch)
	}
}

// room is an actor as its sessions see it.
type room struct {
	g     *Gateway
	watch remote.Watch

	mu          sync.Mutex
	members     map[string]*session              // by connection id
	subscribers map[string]map[*session]struct{} // by event name
	ended       uint32                           // latest generation that was seen to end
}

// admit tells which generation a member is connected to. It returns false if that has ended
// since.
func (m *room) admit(s *session, generation uint32) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.generation = generation
	return generation > m.ended
}

// subscribe adds or removes a subscription: what the log shows after the call is, or is not,
// passed on. It returns false if the session has too many.
func (m *room) subscribe(s *session, name string, subscribe bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.members[s.id] == nil {
		return true // it has left meanwhile
	}
	if !subscribe {
		delete(s.subscriptions, name)
		m.remove(s, name)
		return true
	}
	if _, ok := s.subscriptions[name]; !ok && len(s.subscriptions) >= m.g.cfg.MaxSubscriptions {
		return false
	}
	s.subscriptions[name] = struct{}{}
	subscribers := m.subscribers[name]
	if subscribers == nil {
		subscribers = make(map[*session]struct{})
		m.subscribers[name] = subscribers
	}
	subscribers[s] = struct{}{}
	return true
}

func (m *room) remove(s *session, name string) {
	subscribers := m.subscribers[name]
	delete(subscribers, s)
	if len(subscribers) == 0 {
		delete(m.subscribers, name)
	}
}

// outcome passes broadcasts and frames on, and notices the ends of connections and of the actor. It is called by the goroutine that
// reads the log: nothing here waits, and nothing may bring the process down.
func (m *room) outcome(d *remote.Delivery) {
	defer m.g.contain("passing on an outcome")
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(d.Outcome.Broadcasts); n > 0 || d.Span.IsValid() {
		span, sent := m.g.passOn(d), 0
		for _, b := range d.Outcome.Broadcasts {
			sent += m.broadcast(b)
		}
		m.g.passedOn(span, faceSocket, n, sent)
	}
	for _, f := range d.Outcome.Frames {
		if s := m.members[f.ConnectionId]; s != nil && s.raw {
			s.sendAs(f.Message.GetText(), f.Message.GetData())
		}
	}
	for _, o := range d.Outcome.Disconnected {
		if s := m.members[o.Id]; s != nil {
			m.disconnected(s, o, d)
		}
	}
	generation := ended(d)
	if generation == 0 {
		return
	}
	m.ended = max(m.ended, generation)
	for _, s := range m.members {
		// One that is still opening sees it when it is admitted. Or it is connected to a later life.
		if s.generation != 0 && s.generation <= generation {
			s.dismiss(parting{code: websocket.CloseNormalClosure}, m.asked(s, d))
		}
	}
}

// asked says whether an outcome answers a request that came through the session's connection.
func (m *room) asked(s *session, d *remote.Delivery) bool {
	caller := d.Outcome.GetAction().GetCaller()
	return caller.GetConnectionId() == s.id && caller.GetGateway() == m.g.client.ID()
}

// disconnected ends the session of a connection that has ended.
func (m *room) disconnected(s *session, o *actorlogv1.Disconnected, d *remote.Delivery) {
	if d.Outcome.GetAction().GetDisconnect().GetConnectionId() == s.id {
		// Neither the actor nor, while the session is here, this gateway: the workers.
		s.lose()
		return
	}
	p := parting{websocket.CloseNormalClosure, o.Reason}
	if s.raw && o.Code != 0 {
		p.code = int(o.Code)
	}
	s.dismiss(p, m.asked(s, d))
}

// broadcast sends an event to its one addressee, whether it is subscribed or not, or to all that are subscribed, and says to how many. It encodes
// it once per format.
func (m *room) broadcast(b *actorlogv1.Broadcast) (sent int) {
	if b.To != "" {
		if s := m.members[b.To]; s != nil && !s.raw {
			m.send(s, m.encode(s.format(), b))
			sent = 1
		}
		return sent
	}
	subscribers := m.subscribers[b.Name]
	if len(subscribers) == 0 {
		return 0
	}
	type encoded struct {
		format wire.Format
		frame  []byte // nil: cannot be encoded
	}
	var cache [4]encoded // sessions of one actor speak few dialects
	formats := cache[:0]
next:
	for s := range subscribers {
		if slices.Contains(b.Except, s.id) {
			continue
		}
		sent++
		f := s.format()
		for i := range formats {
			if formats[i].format == f {
				m.send(s, formats[i].frame)
				continue next
			}
		}
		frame := m.encode(f, b)
		formats = append(formats, encoded{f, frame})
		m.send(s, frame)
	}
	return sent
}

// encode makes an event; nil if it cannot be encoded.
func (m *room) encode(f wire.Format, b *actorlogv1.Broadcast) []byte {
	frame, err := wire.AppendEvent(nil, f, b.Name, b.ArgsJson)
	if err != nil {
		m.g.cfg.Logger.Error("an event cannot be encoded; it is missed", zap.Error(err), zap.String(keyEvent, b.Name))
		return nil
	}
	return frame
}

func (m *room) send(s *session, frame []byte) {
	switch {
	case frame == nil:
	case len(frame) > m.g.cfg.MaxOutgoingMessageBytes:
		s.fail(errTooLongOut)
	default:
		s.send(frame)
	}
}

// gap ends all sessions: they may have missed events, or their actor's end. They reconnect.
func (m *room) gap() {
	defer m.g.contain("ending sessions that missed events")
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.members {
		s.fail(errEventsMissed)
	}
}

// contain keeps a panic from leaving a goroutine that is not ours.
func (g *Gateway) contain(doing string) {
	if p := recover(); p != nil {
		g.cfg.Logger.Error("a panic while "+doing, zap.Any(keyReason, p), zap.ByteString(keyStack, debug.Stack()))
	}
}
