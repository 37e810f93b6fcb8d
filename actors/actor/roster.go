package actor

import "slices"

// Roster tells who is there, and who comes and goes, from the connections of an actor. It keeps nothing of its own, so it is right whenever the
// connections are: through sleep and crashes of the actor, and when a gateway dies, whose connections end some seconds later.
//
// M is somebody: a name, a user's id, or a struct of such. Connections with equal values are of the same somebody, who joins with the first of them and
// leaves with the last. So nobody is reported gone who has only closed one of two windows, or who came back through another
// gateway before the connection through a dead one has ended.
//
//	var here = actor.RosterOf(Joined, Left, func(conn *actor.Conn) (string, bool) {
//		name := actor.ConnState[Member](conn).Name
//		return name, name != ""
//	})
//
//	actor.OnConnect(r, Kind, func(s *Room, c *actor.Ctx, conn *actor.Conn) error { here.Connected(c, conn); return nil })
//	actor.OnDisconnect(r, Kind, func(s *Room, c *actor.Ctx, conn *actor.Conn) error { here.Disconnected(c, conn); return nil })
//
// A Roster is a value without state: declare one for each kind that needs it. It is safe for concurrent use.
type Roster[M comparable] struct {
	joined, left EventOf[M]
	who          func(*Conn) (M, bool)
}

// RosterOf makes a Roster that broadcasts joined and left. who says whom a connection stands for, false for nobody; it must
// say the same for as long as the connection lasts, so what it looks at in the connection's state must not change. It is not asked for ephemeral connections:
// a single call is nobody's presence. It is called once for each connection whenever one begins or ends.
func RosterOf[M comparable](joined, left EventOf[M], who func(*Conn) (M, bool)) Roster[M] {
	return Roster[M]{joined: joined, left: left, who: who}
}

// Connected is for OnConnect: it broadcasts joined, to all but conn, if that is somebody who was not there.
func (r Roster[M]) Connected(c *Ctx, conn *Conn) {
	if m, ok := r.of(conn); ok && !r.hasOther(c, m, conn) {
		c.BroadcastExcept(r.joined.With(m), conn)
	}
}

// Disconnected is for OnDisconnect: it broadcasts left if conn was somebody's last connection.
func (r Roster[M]) Disconnected(c *Ctx, conn *Conn) {
	if m, ok := r.of(conn); ok && !r.hasOther(c, m, conn) {
		c.Broadcast(r.left.With(m))
	}
}

// List is who is there, each once, who has been there for longest first. It is empty, not nil, when nobody is.
func (r Roster[M]) List(c *Ctx) []M {
	list, seen := []M{}, make(map[M]struct{})
	for _, conn := range c.Conns() {
		m, ok := r.of(conn)
		if _, again := seen[m]; ok && !again {
			seen[m] = struct{}{}
			list = append(list, m)
		}
	}
	return list
}

func (r Roster[M]) of(conn *Conn) (m M, ok bool) {
	if conn.Ephemeral() {
		return m, false
	}
	return r.who(conn)
}

// hasOther says whether m has a connection besides conn. One that this action has ended counts until its OnDisconnect runs: then it is the last.
func (r Roster[M]) hasOther(c *Ctx, m M, conn *Conn) bool {
	for _, other := range slices.Concat(c.Conns(), c.dropped) {
		if found, ok := r.of(other); ok && found == m && other.ID() != conn.ID() {
			return true
		}
	}
	return false
}
