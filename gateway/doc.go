// Package gateway is the edge: it turns HTTP requests and WebSocket sessions into actions
// in the log, and outcomes into answers, events and streams.
//
// It owns sockets, rooms, limits, and how failures look from outside. It refuses to run
// user code, to know workers, and to keep anything that a restart would lose: connections are in their actors' state, the log is
// behind [remote.Client], the bytes of the RivetKit protocol are in gateway/wire, and what a
// returning subscriber still has to get is decided in gateway/recovery.
//
// # Faces
//
// The RivetKit client protocol: /metadata, /actors, /gateway/... with actions, queues, connections, raw requests and raw
// sockets. Errors have the status, group and code that the published clients act on.
//
// Plain HTTP, for curl, backends and EventSource:
//
//	POST   /actors/{kind}/{key...}/actions/{name}  run an action; the body is its one input as JSON, no body is no
//	                                               argument; the answer is the bare result, 204 if there is none.
//	                                               The actor is created on first use, unless ?create=false
//	POST   /actors/{kind}/{key...}/queues/{name}   put a message, the body, into a queue (202); ?wait=true waits until it is
//	                                               completed (200), at most ?timeout= milliseconds
//	GET    /actors/{kind}/{key...}/state           the state, as JSON
//	GET    /actors/{kind}/{key...}/events          the broadcasts, as server-sent events, or on a WebSocket
//	GET    /actors/{kind}/{key...}                 the actor: id, key, generation, time of creation
//	PUT    /actors/{kind}/{key...}                 create it unless it lives; the body is the input (201, or 200)
//	POST   /actors/{kind}/{key...}                 create it; 409 if it lives
//	DELETE /actors/{kind}/{key...}                 destroy it
//
// Each segment after the kind is a part of the key, percent-decoded: %2F is a slash within a
// part, an empty segment is an empty part, no segment is the empty key. A key that ends in
// "state", "events", "actions/x" or "queues/x" is written with a letter escaped: %73tate. ?namespace=
// defaults to "default". Answers carry Actorlog-Actor (the id) and Actorlog-Position
// ("partition:offset" of the outcome), and Idempotent-Replayed: true when the outcome is that
// of an earlier request with the same Idempotency-Key.
//
// For its actor, every call of a client is a connection that lasts as long as the call: it passes the connection hooks with
// the parameters in Actorlog-Params (JSON), or X-Rivet-Conn-Params (the same as Latin-1). Looking up and creating are not
// for the actor.
//
// Operations: /healthz (the process runs), /readyz (the brokers answer, the tail has caught up), and
// for operators alone /admin/... and /debug/pprof/ (see Config.AdminTokens). docs/openapi.yaml, served at /openapi.yaml, has all
// plain routes; a test compares it with those that there are.
//
// # Web pages
//
// What a page may use is decided by [Origins], before anything is appended. The kind of a request is in its
// URL; where it is in the body, the handler asks (checkKind), and where there is an id only, the actor is looked
// up first (checkID).
//
// # Events over HTTP
//
// A stream first sends
//
//	event: actorlog.ready
//	data: {"position":"3:17","recovered":true}
//
// where position is where live events begin, and recovered says whether everything after
// Last-Event-ID (or ?lastEventId=) follows; it is false when there was none, and when those events
// are gone. Then every broadcast, in order, with id, event name and the JSON array of its arguments:
//
//	id: 3:19
//	event: count
//	data: [4]
//
// The id is the position of the outcome, with ".1", ".2", ... for the second and later
// broadcasts of one outcome, or ".end" for "all of it". ?event=name, repeatable, passes on only
// those. Events to one connection only are not for streams. The actor is asked (Subscribe): its hooks may refuse the stream, which may have its
// parameters in ?params= for want of headers, and events with a rule about who may have them come only if they are asked for by
// name. The actor need not exist, and the stream goes on through its lives: each is asked before the first event of it is passed
// on. While it does not live nobody can be asked, so what ended lives have sent is not read back then (recovered is false). A reader that is
// too slow is cut off and resumes from its last id. A client that accepts text/event-stream
// is told to come back later in a short stream (event actorlog.unavailable), for EventSource
// gives up for good at any other status than 200.
//
// With an upgrade the same stream is JSON messages on a socket: see docs/http-api.md for them and for its close codes.
//
//	-> {"subscribe":["count"],"after":"3:17"}
//	<- {"subscribed":["count"],"position":"3:20","recovered":true,"id":"3:17"}
//	<- {"event":"count","args":[4],"id":"3:19"}
//
// # Sessions
//
// A session is a socket, of /connect or raw. It is there for one connection of its actor: part of the actor's state, through
// sleep, crashes and moves of the actor. Subscriptions are the session's own, but for guarded events, for which the actor is asked.
//
// One room per actor with sessions, one watch per room:
//
//	events[p] -> remote.Client -> room.outcome -> session.send -> buffer -> melody -> socket
//
// The left part runs on the goroutine that reads the log, so nothing there blocks: a full
// buffer ends that session (guard.slow_consumer; the client reconnects) and no other.
//
// A session is opening, open, and ending:
//
//	upgrade -> opening --Connect answered--> open --disconnected, peer too slow, bad message, drain--> ending --> farewell
//	              \--refused--------------------------------------------------------------------------^
//
// The farewell is the Disconnect that tells the actor. It is appended when the socket is gone, unless the actor ended the
// connection itself or with its life, and tried until it is answered, because nobody else ends the connection of a gateway that
// lives. If it is not known whether the connection was opened, it is ended all the same: the log keeps the order. Gateways
// that die leave it to the workers, by their leases; if the workers were wrong, the client is told to connect again.
//
// A socket of .../events is a session too, without a connection, room and farewell: its stream has a watch of its own.
//
// An upgrade is never refused by HTTP status, but by close reason: clients decide by the
// reason whether to come back. Refusals that a client must not repeat are delayed, because
// some repeat them at once and for ever.
//
// # Retries
//
// Published clients silently repeat a call that is answered with certain codes (wire.RetriedCall).
// So those are used only if the action certainly is not and will not be in the log. If that is not known,
// the answer is actorlog.outcome_unknown: a repeat is safe with an Idempotency-Key only.
package gateway
