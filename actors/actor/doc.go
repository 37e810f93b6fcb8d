// Package actor is what users of actorlog import to define actors and to call them.
//
// An actor is a kind and a key, with a state of the kind's type. Its actions run one
// at a time, in the order of the log. An action changes the state in place, broadcasts,
// and returns a result; all of it becomes one record, and nothing leaves before that
// record is committed. If the action returns an error, panics or runs past its timeout,
// none of it happened, except that the log says so.
//
//	type Counter struct{ Count int64 }
//
//	var (
//		Kind      = actor.New[Counter]("counter")
//		Increment = actor.Action[int64, int64](Kind, "increment")
//		Changed   = actor.Event[int64](Kind, "count")
//	)
//
//	func Register(r *actor.Registry) { actor.On(r, Increment, (*Counter).increment) }
//
//	func (s *Counter) increment(c *actor.Ctx, by int64) (int64, error) {
//		s.Count += by
//		c.Broadcast(Changed.With(s.Count))
//		return s.Count, nil
//	}
//
// The descriptors (Kind, Increment, Changed) are the contract: callers link them without
// the rules, and a wrong argument does not compile. Names on the wire are the strings
// given here, never Go identifiers.
//
// # What an action may do
//
// Its result must depend only on the state, the arguments and the [Ctx]: time comes from
// [Ctx.Now], dice from [Ctx.Rand], ids from [Ctx.NewID], so that a replay of the log gives
// the same. State is plain data that encoding/json keeps: what JSON does not carry
// (unexported fields, functions, channels) does not survive a sleep. Actions of one actor
// never interleave, not even while one waits: a slow one delays its own actor and no other.
//
// An action asks other actors through [Ctx.Client] and [ActionOf.Send], and the world outside of the log through recorded
// steps ([Run]), so that each of these takes effect once, even if the worker dies and the action is run again. It has itself called
// later with [Ctx.After], [Ctx.At], [Ctx.Every] and [Ctx.Cron].
//
// # Besides actions
//
// A kind may have rules for its life ([CreateState], [OnCreate], [OnWake], [OnSleep], [OnDestroy], [OnStateChange],
// [OnBeforeActionResponse]), for connections ([OnBeforeConnect], [CreateConnState], [OnConnect], [OnDisconnect], [CanSubscribe]), queues ([Accept],
// [CanPublish]) with a loop that works through them ([OnRun]), raw HTTP requests and sockets ([OnRequest], [OnWebSocket]), and older
// versions of its state ([StateVersion], [Upcast]). All of them run as part of some action, one at a time, and what they do is
// recorded with it; only loops run beside.
package actor
