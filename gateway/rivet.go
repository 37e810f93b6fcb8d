package gateway

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/gorilla/websocket"

	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/gateway/wire"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// maxLookUps bounds the ids in one GET /actors.
const maxLookUps = 32

// actorsOverheadBytes is what the body of PUT and POST /actors may hold beside the input.
const actorsOverheadBytes = 64 << 10

// rivetLookUp is GET /actors. Who is not there is missing from the list; it is no error.
func (g *Gateway) rivetLookUp(c *gin.Context) {
	q, err := wire.ParseActorsQuery(c.Request.URL.RawQuery)
	if err != nil {
		g.fail(c, err)
		return
	}
	var wanted []address
	switch {
	case q.HasName:
		to, err := addressOf(namespaceOr(q.Namespace), q.Name, q.Key)
		if err != nil {
			g.fail(c, err)
			return
		}
		wanted = append(wanted, to)
	case len(q.IDs) > maxLookUps:
		g.fail(c, invalid("There are %d actor_ids, more than %d.", len(q.IDs), maxLookUps))
		return
	case len(q.IDs) > 0:
		for _, id := range q.IDs {
			if to, err := addressOfID(id); err == nil {
				wanted = append(wanted, to)
			}
		}
	default:
		g.fail(c, invalid("Either name and key, or actor_ids, must be given."))
		return
	}
	actors := make([]wire.Actor, 0, len(wanted))
	for _, to := range wanted {
		a, err := g.lookUp(c, to)
		var r *refused
		switch {
		case err == nil && !g.mayUse(c, a.Outcome.GetActor().GetKind()):
			// As if it were not there, for this page.
		case err == nil:
			actors = append(actors, rivetActor(a.Delivery))
		case errors.As(err, &r) && missing(r.reason):
		default:
			g.fail(c, err)
			return
		}
	}
	c.Data(http.StatusOK, wire.JSON.ContentType(), wire.AppendActorList(nil, actors))
}

func (g *Gateway) lookUp(c *gin.Context, to address) (answer, error) {
	place, err := g.takePlace(g.callerOf(c.Request), to)
	if err != nil {
		return answer{}, err
	}
	defer place.release()
	return g.ask(c.Request.Context(), to, to.resolve(nil, ""))
}

// rivetEnsure is PUT /actors: get or create.
func (g *Gateway) rivetEnsure(c *gin.Context) {
	to, req, key, err := g.rivetActorsRequest(c)
	if err != nil {
		g.fail(c, err)
		return
	}
	place, err := g.takePlace(g.callerOf(c.Request), to)
	if err != nil {
		g.fail(c, err)
		return
	}
	defer place.release()
	a, err := g.ask(c.Request.Context(), to, to.resolve(ifAbsent(req.Input), key))
	if err != nil {
		g.fail(c, err)
		return
	}
	setAnswer(c.Writer.Header(), a)
	actor := rivetActor(a.Delivery)
	c.Data(http.StatusOK, wire.JSON.ContentType(), wire.AppendActorEnsured(nil, &actor, created(a.Delivery)))
}

// rivetCreate is POST /actors: create, or fail if the key is taken.
func (g *Gateway) rivetCreate(c *gin.Context) {
	to, req, key, err := g.rivetActorsRequest(c)
	if err != nil {
		g.fail(c, err)
		return
	}
	place, err := g.takePlace(g.callerOf(c.Request), to)
	if err != nil {
		g.fail(c, err)
		return
	}
	defer place.release()
	a, err := g.do(c.Request.Context(), to, to.resolve(mustBeAbsent(req.Input), key))
	if err != nil {
		g.fail(c, err)
		return
	}
	setAnswer(c.Writer.Header(), a)
	actor := rivetActor(a.Delivery)
	c.Data(http.StatusOK, wire.JSON.ContentType(), wire.AppendActor(nil, &actor))
}

// rivetActorsRequest reads what PUT and POST /actors have in common.
func (g *Gateway) rivetActorsRequest(c *gin.Context) (to address, req wire.ActorsRequest, key string, err error) {
	r := c.Request
	q, err := wire.ParseActorsQuery(r.URL.RawQuery)
	if err != nil {
		return to, req, "", err
	}
	if key, err = idempotencyKey(r.Header); err != nil {
		return to, req, "", err
	}
	body, err := unencodedBody(r, g.cfg.MaxInputBytes/3*4+actorsOverheadBytes) // base64
	if err != nil {
		return to, req, "", err
	}
	req, err = wire.DecodeActorsRequest(wire.Format{Version: wire.UserAgentVersion(r.UserAgent())}, body)
	if err != nil {
		return to, req, "", err
	}
	if err = g.checkKind(c, req.Name); err != nil {
		return to, req, "", err
	}
	if err = g.checkInput(req.Input); err != nil {
		return to, req, "", err
	}
	to, err = addressOf(namespaceOr(q.Namespace), req.Name, req.Key)
	return to, req, key, err
}

func (g *Gateway) checkInput(input []byte) error {
	if len(input) > g.cfg.MaxInputBytes {
		return wire.Errorf(errTooLongIn.Group, errTooLongIn.Code, "The input has %d bytes, more than %d.", len(input), g.cfg.MaxInputBytes)
	}
	return nil
}

func namespaceOr(namespace string) string {
	if namespace == "" {
		return "default"
	}
	return namespace
}

func rivetActor(d *remote.Delivery) wire.Actor {
	a := d.Outcome.GetActor()
	return wire.Actor{
		ID: actorID(d.Hash, a), Name: a.GetKind(), Key: keyOf(a), Namespace: a.GetNamespace(),
		CreateTS: a.GetCreatedUnixMs(), StartTS: a.GetCreatedUnixMs(), ConnectableTS: a.GetCreatedUnixMs(),
	}
}

// rivet serves /gateway/...
func (g *Gateway) rivet(c *gin.Context) {
	route, err := wire.ParseGatewayPath(c.Request.URL.EscapedPath(), c.Request.URL.RawQuery)
	g.rivetRoute(c, route, err)
}

// rivetByHeader serves paths without an actor, which headers or sub-protocols name.
func (g *Gateway) rivetByHeader(c *gin.Context) {
	r := c.Request
	target, actor, token := r.Header.Get("X-Rivet-Target"), r.Header.Get("X-Rivet-Actor"), r.Header.Get("X-Rivet-Token")
	socket := websocket.IsWebSocketUpgrade(r)
	if socket {
		// Its error is found again, and answered, where the socket is accepted.
		p, _ := wire.ParseSubprotocols(r.Header.Values("Sec-Websocket-Protocol"))
		target, actor, token = p.Target, p.Actor, p.Token
	}
	if target == "" && actor == "" {
		named(c, "none")
		g.refuse(c, errNoRoute)
		return
	}
	route, err := wire.ParseHeaderRoute(socket, r.URL.EscapedPath(), r.URL.RawQuery, target, actor, token)
	g.rivetRoute(c, route, err)
}

// rivetRoute goes where a tail points. err is that of parsing the URL: a socket learns it by
// its close reason.
func (g *Gateway) rivetRoute(c *gin.Context, route wire.GatewayRequest, err error) {
	named(c, "/gateway/:actor/"+tailNames[route.Tail])
	if err != nil {
		g.refuse(c, err)
		return
	}
	switch route.Tail {
	case wire.TailAction, wire.TailQueue, wire.TailRequest:
		if to, _, err := g.rivetAddress(route); err == nil { // else the handler says what is wrong with it
			from := g.callerOf(c.Request)
			c.Request = calledBy(c.Request, from)
			place, err := g.takePlace(from, to)
			if err != nil {
				g.refuse(c, err)
				return
			}
			defer place.release()
		}
	}
	switch route.Tail {
	case wire.TailAction:
		g.rivetAction(c, route)
	case wire.TailConnect:
		g.rivetConnect(c, route)
	case wire.TailQueue:
		g.rivetQueue(c, route)
	case wire.TailRequest:
		g.rivetRequest(c, route)
	case wire.TailWebSocket:
		g.rivetWebSocket(c, route)
	default:
		if route.TailPath == "/inspector/state" && !websocket.IsWebSocketUpgrade(c.Request) {
			g.inspectState(c, route)
			return
		}
		g.refuse(c, errNoRoute)
	}
}

var tailNames = [...]string{
	wire.TailNone: "", wire.TailAction: "action/:name", wire.TailQueue: "queue/:name", wire.TailRequest: "request/*path",
	wire.TailConnect: "connect", wire.TailWebSocket: "websocket/*path",
}

// refuse answers with an error in the way that the request can see: a status, or a close frame.
func (g *Gateway) refuse(c *gin.Context, err error) {
	if websocket.IsWebSocketUpgrade(c.Request) {
		g.refuseSocket(c, err)
		return
	}
	g.fail(c, err)
}

// rivetAddress is the actor of a gateway URL, and how to create it if it is absent.
func (g *Gateway) rivetAddress(route wire.GatewayRequest) (address, *actorlogv1.Creation, error) {
	if route.ByID {
		to, err := addressOfID(route.ActorID)
		return to, nil, err
	}
	to, err := addressOf(namespaceOr(route.Namespace), route.Name, route.Key)
	if err != nil || !route.Create {
		return to, nil, err
	}
	return to, ifAbsent(route.Input), g.checkInput(route.Input)
}

// rivetCall is what stateless calls have in common.
type rivetCall struct {
	to             address
	creation       *actorlogv1.Creation
	idempotencyKey string
	handshake      *actorlogv1.Handshake
}

func (g *Gateway) rivetCall(r *http.Request, route wire.GatewayRequest) (call rivetCall, err error) {
	if call.to, call.creation, err = g.rivetAddress(route); err != nil {
		return call, err
	}
	if call.idempotencyKey, err = idempotencyKey(r.Header); err != nil {
		return call, err
	}
	call.handshake, err = g.handshake(r)
	return call, err
}

// rivetFormat is how the client of a call writes. An unknown encoding is JSON, as on the real server.
func (g *Gateway) rivetFormat(r *http.Request, route *wire.GatewayRequest) wire.Format {
	encoding, _ := wire.ParseEncoding(r.Header.Get("X-Rivet-Encoding"))
	return wire.Format{Encoding: encoding, Version: wire.ClientVersion(r.UserAgent(), route)}
}

// rivetPost reads what only a POST may ask, in the encoding that it announces. It returns false if the request was answered.
func (g *Gateway) rivetPost(c *gin.Context, route wire.GatewayRequest, limit int) (f wire.Format, body []byte, ok bool) {
	r := c.Request
	if websocket.IsWebSocketUpgrade(r) {
		g.refuseSocket(c, errNoRoute)
		return f, nil, false
	}
	if r.Method != http.MethodPost {
		g.failMethod(c, http.MethodPost)
		return f, nil, false
	}
	body, err := unencodedBody(r, limit)
	if err != nil {
		g.fail(c, err)
		return f, nil, false
	}
	return g.rivetFormat(r, &route), body, true
}

// rivetAction is POST .../action/{name}.
func (g *Gateway) rivetAction(c *gin.Context, route wire.GatewayRequest) {
	r := c.Request
	f, body, ok := g.rivetPost(c, route, g.cfg.MaxIncomingMessageBytes)
	if !ok {
		return
	}
	req, f, err := wire.DecodeActionRequest(f, body)
	if err != nil {
		g.fail(c, err)
		return
	}
	call, err := g.rivetCall(r, route)
	if err == nil {
		err = checkActionName(route.TailName)
	}
	if err != nil {
		g.fail(c, err)
		return
	}
	action := call.to.action(call.creation, call.idempotencyKey)
	action.Handshake = call.handshake
	action.Body = &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: route.TailName, ArgsJson: req.Args}}
	a, err := g.do(r.Context(), call.to, action)
	if err != nil {
		g.failWith(c, err, rivetStatus, f)
		return
	}
	setAnswer(c.Writer.Header(), a)
	answer, err := wire.AppendActionResponse(nil, f, a.Outcome.GetResultJson())
	if err != nil {
		g.fail(c, err)
		return
	}
	if len(answer) > g.cfg.MaxOutgoingMessageBytes {
		g.failWith(c, &refused{a, errTooLongOut}, rivetStatus, f)
		return
	}
	c.Data(http.StatusOK, f.Encoding.ContentType(), answer)
}
