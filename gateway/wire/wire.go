package wire

import (
	"encoding/json"

	"github.com/actorlog/actorlog/schemas"
)

// MaxDepth bounds the nesting of values, in both directions.
const MaxDepth = 256

// MaxConnParams bounds the bytes of connection parameters, as JSON before any escaping.
const MaxConnParams = 4096

// Encoding is how a client writes messages: its user chose it at createClient.
type Encoding uint8

// The encodings. The zero value is JSON, which is also what a request without any
// announcement means.
const (
	JSON Encoding = iota
	CBOR
	BARE
)

// Format is what there is to know about the other side's bytes. It is comparable:
// equal Formats get equal bytes, so a broadcast is encoded once per Format.
type Format struct {
	Encoding Encoding
	// Version of the protocol that the client speaks: 2 is rivetkit 2.0, 3 is 2.1 and
	// 2.2, 4 is 2.3 and later. 0 is not known: sockets get version 2 layouts, and values
	// in the form that most versions understand (see the package comment). Get it from
	// [ClientVersion]; BARE messages of the client say it too.
	Version uint16
}

// ActionRequest is the body of POST .../action/{name}.
type ActionRequest struct {
	// Args is a JSON array, the list of arguments.
	Args json.RawMessage
}

// QueueRequest is the body of POST .../queue/{name}.
type QueueRequest struct {
	// Body is the message; empty if the client sent none.
	Body json.RawMessage
	// Name of the queue, when the body repeats it. The name in the path counts.
	Name string
	// Wait says that the answer comes when a consumer has completed the message.
	Wait bool
	// TimeoutMS bounds the wait, in milliseconds, if HasTimeout.
	TimeoutMS  uint64
	HasTimeout bool
}

// MessageKind says what a client wants on its socket.
type MessageKind uint8

// The messages of a client.
const (
	// MessageAction is ActionRequest: run action Name with Args, answer with ID.
	MessageAction MessageKind = iota + 1
	// MessageSubscription is SubscriptionRequest: Subscribe to event Name, or no longer.
	MessageSubscription
)

// ClientMessage is one message of a client on its /connect socket.
type ClientMessage struct {
	Kind MessageKind
	// ID of an action: to be echoed in the answer.
	ID uint64
	// Name of the action or event.
	Name string
	// Args is a JSON array, the list of arguments of an action.
	Args json.RawMessage
	// Subscribe: true to begin, false to end.
	Subscribe bool
	// IdempotencyKey is an extra of ours in JSON and CBOR ActionRequests: field
	// idempotencyKey. Empty when absent.
	IdempotencyKey string
}

// ActorRef tells a client which actor an error is about.
type ActorRef struct {
	ID         string
	Generation uint64
	// Key is the canonical text of the key; empty means not known.
	Key string
}

// DecodeActionRequest reads the body of an HTTP action call. f is the encoding of the
// request and, if known from its User-Agent ([UserAgentVersion]), the version. answer
// is the Format to answer in: with the version that a BARE request announced. The
// result does not share memory with body. Errors are [*Error].
//
// Args that are null become the empty list, and anything that is not an array becomes
// the only argument.
func DecodeActionRequest(f Format, body []byte) (req ActionRequest, answer Format, err error) {
	return decodeActionRequest(f, body)
}

// DecodeQueueRequest reads the body of an HTTP queue send; otherwise as [DecodeActionRequest].
func DecodeQueueRequest(f Format, body []byte) (req QueueRequest, answer Format, err error) {
	return decodeQueueRequest(f, body)
}

// DecodeClientMessage reads one message of a /connect socket. next is f with the
// version that a BARE message announced; using it from then on gives that client the
// layouts of its version (so errors that name the actor). The result does not share memory
// with data. Errors are [*Error] with which the socket is to be closed.
func DecodeClientMessage(f Format, data []byte) (msg ClientMessage, next Format, err error) {
	return decodeClientMessage(f, data)
}

// AppendActionResponse appends the body of the answer to an HTTP action call to dst.
// output is JSON text; empty means undefined (an action that returns nothing), which is
// CBOR undefined, in JSON ["$Undefined",0] for clients known to be 2.3 or later and null
// for all others (the only thing that all understand; older ones hang on the tag). It fails if output is not valid compat text.
func AppendActionResponse(dst []byte, f Format, output []byte) ([]byte, error) {
	return appendActionResponse(dst, f, output)
}

// AppendQueueResponse appends the body of the answer to an HTTP queue send. status is
// "completed" or "timedOut"; response is JSON text, or empty for none.
func AppendQueueResponse(dst []byte, f Format, status string, response []byte) ([]byte, error) {
	return appendQueueResponse(dst, f, status, response)
}

// AppendErrorBody appends the body of an HTTP error in the request's encoding. actor may
// be nil. Every client accepts JSON bodies with content-type application/json whatever its
// encoding: pass Format{} for them. It cannot fail: metadata that is no valid compat text is left out.
func AppendErrorBody(dst []byte, f Format, e *Error, actor *ActorRef) []byte {
	return appendErrorBody(dst, f, e, actor)
}

// AppendInit appends the first message of a socket.
func AppendInit(dst []byte, f Format, actorID, connID string) []byte {
	return appendInit(dst, f, actorID, connID)
}

// AppendEvent appends an Event message. args is a JSON array, the list of arguments;
// empty means no arguments. It fails if args is not an array of valid compat text.
func AppendEvent(dst []byte, f Format, name string, args []byte) ([]byte, error) {
	return appendEvent(dst, f, name, args)
}

// AppendActionResult appends an ActionResponse message: the answer to ActionRequest id.
// output as for [AppendActionResponse].
func AppendActionResult(dst []byte, f Format, id uint64, output []byte) ([]byte, error) {
	return appendActionResult(dst, f, id, output)
}

// AppendErrorFrame appends an Error message. actionID is that of the action that failed,
// or nil if the error is about the connection, which is to be closed after it. actor may be nil.
func AppendErrorFrame(dst []byte, f Format, e *Error, actionID *uint64, actor *ActorRef) []byte {
	return appendErrorFrame(dst, f, e, actionID, actor)
}

// Subprotocols is what a client announced in Sec-WebSocket-Protocol. Unknown entries are ignored.
type Subprotocols struct {
	// Rivet: the client offered "rivet", which is then the one to select.
	Rivet bool
	// Encoding announced, JSON if none was.
	Encoding Encoding
	// EncodingKnown is false if an encoding was announced that does not exist: accept, then
	// close with code 1003 and reason actor.unsupported_websocket_encoding.
	EncodingKnown bool
	// ConnParams is JSON text, empty if there were none.
	ConnParams json.RawMessage
	// SkipReadyWait: deliver even if the actor is starting.
	SkipReadyWait bool
	// Target ("actor"), Actor and Token route a socket without a gateway path; see [ParseHeaderRoute].
	Target, Actor, Token string
	// IdempotencyKey is an entry of ours: actorlog_idempotency_key.<percent-encoded>.
	IdempotencyKey string
}

// ParseSubprotocols reads the values of all Sec-WebSocket-Protocol headers of a
// request, each a list separated by commas with or without spaces. The error says that
// parameters are not percent-encoded JSON of at most [MaxConnParams] bytes; everything else of p is set even then, so that the
// socket can be accepted and closed with the error's reason.
func ParseSubprotocols(headers []string) (p Subprotocols, err error) {
	return parseSubprotocols(headers)
}

// DecodeConnParams reads the header x-rivet-conn-params: JSON text whose bytes are
// Latin-1, at most [MaxConnParams] of them. Empty gives empty.
func DecodeConnParams(header string) (json.RawMessage, error) { return decodeConnParams(header) }

// TailKind is what a gateway URL asks of the actor.
type TailKind uint8

// The tails.
const (
	// TailNone is an empty tail, or one that nobody answers.
	TailNone TailKind = iota
	// TailAction is /action/{name}.
	TailAction
	// TailQueue is /queue/{name}.
	TailQueue
	// TailRequest is /request or /request/{path}: raw HTTP.
	TailRequest
	// TailConnect is /connect: the socket of a connection.
	TailConnect
	// TailWebSocket is /websocket or /websocket/{path}: a raw socket.
	TailWebSocket
)

// GatewayRequest is a parsed gateway URL.
type GatewayRequest struct {
	// ByID says which form it was: ActorID and Token are set, or Namespace, Name, Key,
	// Create and the rest.
	ByID    bool
	ActorID string
	// Token of the client, empty if none.
	Token string

	Namespace string
	// Name is the actor's kind.
	Name string
	Key  schemas.Key
	// Create: create the actor if it does not exist (getOrCreate).
	Create bool
	// Input for the creation, JSON text; empty if none.
	Input       json.RawMessage
	Pool        string
	Region      string
	CrashPolicy string

	SkipReadyWait bool

	Tail TailKind
	// TailName is the decoded name of the action or queue.
	TailName string
	// TailPath is the whole tail, escaped as it was sent: "/request/a%20b". For
	// TailRequest and TailWebSocket see [GatewayRequest.UserPath].
	TailPath string
	// Query is the user's own query, byte for byte, without the parameters of the protocol.
	Query string
}

// ParseGatewayPath parses a URL below /gateway/. escapedPath is the path as it was sent
// (url.URL.EscapedPath) without the server's own prefix, beginning with "/gateway/";
// rawQuery is what follows "?". Errors are [*Error] with the codes of the real gateway
// (guard.query_...), or guard.invalid_path if this is not a gateway URL at all: see [IsGatewayPath].
func ParseGatewayPath(escapedPath, rawQuery string) (GatewayRequest, error) {
	return parseGatewayPath(escapedPath, rawQuery)
}

// IsGatewayPath says whether ParseGatewayPath is the one to ask.
func IsGatewayPath(escapedPath string) bool { return isGatewayPath(escapedPath) }

// ParseHeaderRoute parses the form without a gateway path: x-rivet-target "actor",
// x-rivet-actor and x-rivet-token, or the sub-protocols that mean the same, decide the actor, and
// the path is the tail. HTTP allows /request... only, sockets /connect and /websocket...;
// everything else is guard.invalid_path.
func ParseHeaderRoute(socket bool, escapedPath, rawQuery, target, actor, token string) (GatewayRequest, error) {
	return parseHeaderRoute(socket, escapedPath, rawQuery, target, actor, token)
}

// UserPath is the path that the client's program asked for with a raw request or socket, escaped as it was
// sent, always beginning with "/". Of a request it is what the actor sees; of a socket, the actor sees TailPath.
func (r *GatewayRequest) UserPath() string { return r.userPath() }

// ActorsRequest is the body of PUT and POST /actors.
type ActorsRequest struct {
	Name string
	Key  schemas.Key
	// Input for the creation, JSON text; empty if none.
	Input       json.RawMessage
	Pool        string
	CrashPolicy string
	Datacenter  string
}

// DecodeActorsRequest reads the body of PUT and POST /actors. The input in it is base64
// of CBOR; f.Version decides how tags in it are read, its Encoding does not matter.
// Unknown fields are ignored. Errors are [*Error].
func DecodeActorsRequest(f Format, body []byte) (ActorsRequest, error) {
	return decodeActorsRequest(f, body)
}

// ActorsQuery is the query of /actors, in all its methods.
type ActorsQuery struct {
	Namespace string
	// Name and Key of GET ?name=&key=; HasName tells ?name= from no name.
	Name    string
	HasName bool
	Key     schemas.Key
	// IDs of GET ?actor_ids=a,b.
	IDs []string
}

// ParseActorsQuery reads the query of /actors. Unknown parameters are ignored.
func ParseActorsQuery(rawQuery string) (ActorsQuery, error) { return parseActorsQuery(rawQuery) }

// Actor is what /actors tells about one. Times are Unix milliseconds; 0 is null.
type Actor struct {
	ID        string
	Name      string
	Key       schemas.Key
	Namespace string
	// Pool and CrashPolicy default to "default" and "sleep".
	Pool, CrashPolicy                                    string
	CreateTS, StartTS, ConnectableTS, SleepTS, DestroyTS int64
	// Error is JSON text shown to users when the actor cannot start; empty for none.
	Error json.RawMessage
}

// AppendActor appends the answer to POST /actors: {"actor":{...}}.
func AppendActor(dst []byte, a *Actor) []byte { return appendActorAnswer(dst, a, nil) }

// AppendActorEnsured appends the answer to PUT /actors: {"actor":{...},"created":...}.
func AppendActorEnsured(dst []byte, a *Actor, created bool) []byte {
	return appendActorAnswer(dst, a, &created)
}

// AppendActorList appends the answer to GET /actors. An empty list means not found.
func AppendActorList(dst []byte, actors []Actor) []byte { return appendActorList(dst, actors) }

// UserAgentVersion is the protocol version of the RivetKit client that sent the header
// User-Agent, for [Format.Version]; 0 if it is somebody else. Sockets and browsers do not
// send it: where there is a gateway URL, use [ClientVersion].
func UserAgentVersion(userAgent string) uint16 { return userAgentVersion(userAgent) }

// ClientVersion is the best guess at the protocol version of a client before its first
// BARE message: what its User-Agent says, or else 4 if its URL has the query form, which
// exists since 2.3, or else 0. r may be nil.
func ClientVersion(userAgent string, r *GatewayRequest) uint16 {
	if v := userAgentVersion(userAgent); v != 0 {
		return v
	}
	if r != nil && !r.ByID && r.Name != "" {
		return maxVersion
	}
	return 0
}

// ParseEncoding reads the header x-rivet-encoding, or what follows "rivet_encoding." in
// a sub-protocol. Empty is JSON and known; unknown is JSON and not known.
func ParseEncoding(name string) (enc Encoding, known bool) { return parseEncoding(name) }

// String is the name on the wire: "json", "cbor", "bare".
func (e Encoding) String() string {
	switch e {
	case CBOR:
		return "cbor"
	case BARE:
		return "bare"
	}
	return "json"
}

// ContentType of HTTP bodies.
func (e Encoding) ContentType() string {
	if e == JSON {
		return "application/json"
	}
	return "application/octet-stream"
}

// Text says that socket messages are text frames; otherwise they are binary.
func (e Encoding) Text() bool { return e == JSON }
