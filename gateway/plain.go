package gateway

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/gorilla/websocket"

	"github.com/actorlog/actorlog/gateway/wire"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// plainRequest is a request of the plain face whose address is valid.
type plainRequest struct {
	plainTarget
	to    address
	query url.Values
	// idempotencyKey of the client, empty if it gave none.
	idempotencyKey string
}

// plain serves everything below /actors/.
func (g *Gateway) plain(c *gin.Context) {
	target, err := parsePlainPath(strings.TrimPrefix(c.Request.URL.EscapedPath(), "/actors/"))
	named(c, target.route())
	if err != nil {
		g.failPlain(c, err)
		return
	}
	handlers := plainHandlers[target.verb]
	handler, ok := handlers[c.Request.Method]
	if !ok {
		g.failMethod(c, allowed(handlers))
		return
	}
	req, err := g.plainRequest(c, target)
	switch {
	case err != nil && target.verb == verbEvents && websocket.IsWebSocketUpgrade(c.Request):
		g.refuseSubscription(c, err)
		return
	case err != nil:
		g.failPlain(c, err)
		return
	}
	from := g.callerOf(c.Request)
	c.Request = calledBy(c.Request, from)
	place, err := g.takePlace(from, req.to)
	switch {
	case err != nil && target.verb == verbEvents:
		g.failStream(c, err)
		return
	case err != nil:
		g.failPlain(c, err)
		return
	case target.verb == verbEvents:
		place.release() // a stream lasts for as long as somebody looks: that it begins is what counts
	default:
		defer place.release()
	}
	handler(g, c, req)
}

// plainHandlers is what can be done to what a path names.
var plainHandlers = map[plainVerb]map[string]func(*Gateway, *gin.Context, plainRequest){
	verbActor: {
		http.MethodGet:    (*Gateway).plainLookUp,
		http.MethodHead:   (*Gateway).plainLookUp,
		http.MethodPut:    (*Gateway).plainEnsure,
		http.MethodPost:   (*Gateway).plainCreate,
		http.MethodDelete: (*Gateway).plainDestroy,
	},
	verbAction: {http.MethodPost: (*Gateway).plainAction},
	verbQueue:  {http.MethodPost: (*Gateway).plainQueue},
	verbState:  {http.MethodGet: (*Gateway).plainState, http.MethodHead: (*Gateway).plainState},
	verbEvents: {http.MethodGet: (*Gateway).plainEvents},
}

// allowed lists methods, in a fixed order.
func allowed[H any](handlers map[string]H) string {
	var methods []string
	for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost, http.MethodDelete} {
		if _, ok := handlers[m]; ok {
			methods = append(methods, m)
		}
	}
	return strings.Join(methods, ", ")
}

func (g *Gateway) plainRequest(c *gin.Context, target plainTarget) (plainRequest, error) {
	req := plainRequest{plainTarget: target}
	var err error
	if req.query, err = url.ParseQuery(c.Request.URL.RawQuery); err != nil {
		return req, invalid("The query is not valid: %v.", err)
	}
	namespace := "default"
	if req.query.Has("namespace") {
		namespace = req.query.Get("namespace")
	}
	if req.to, err = addressOf(namespace, target.kind, target.key); err != nil {
		return req, err
	}
	req.idempotencyKey, err = idempotencyKey(c.Request.Header)
	return req, err
}

// creation says whether an absent actor is created: unless ?create=false.
func (req plainRequest) creation() (*actorlogv1.Creation, error) {
	create, err := req.flag("create", true)
	if err != nil || !create {
		return nil, err
	}
	return ifAbsent(nil), nil
}

func (req plainRequest) flag(name string, otherwise bool) (bool, error) {
	if !req.query.Has(name) {
		return otherwise, nil
	}
	v, err := strconv.ParseBool(req.query.Get(name))
	if err != nil {
		return false, invalid("%s is neither true nor false.", name)
	}
	return v, nil
}

// plainCall appends an action as a client's, which passes the connection hooks, and waits.
func (g *Gateway) plainCall(c *gin.Context, req plainRequest, action *actorlogv1.Action,
	do func(context.Context, address, *actorlogv1.Action) (answer, error)) (a answer, err error) {
	if action.Handshake, err = g.handshake(c.Request); err != nil {
		return a, err
	}
	return do(c.Request.Context(), req.to, action)
}

func (g *Gateway) failPlain(c *gin.Context, err error) {
	g.failWith(c, err, plainStatus, wire.Format{})
}

// plainAction is POST .../actions/{name}.
func (g *Gateway) plainAction(c *gin.Context, req plainRequest) {
	creation, err := req.creation()
	if err == nil {
		err = checkActionName(req.name)
	}
	if err != nil {
		g.failPlain(c, err)
		return
	}
	input, err := jsonBody(c.Request, g.cfg.MaxIncomingMessageBytes)
	if err != nil {
		g.failPlain(c, err)
		return
	}
	action := req.to.action(creation, req.idempotencyKey)
	action.Body = &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: req.name, InputJson: input}}
	a, err := g.plainCall(c, req, action, g.do)
	if err != nil {
		g.failPlain(c, err)
		return
	}
	if len(a.Outcome.GetResultJson()) > g.cfg.MaxOutgoingMessageBytes {
		g.failPlain(c, &refused{a, errTooLongOut})
		return
	}
	plainResult(c, a)
}

// plainState is GET .../state.
func (g *Gateway) plainState(c *gin.Context, req plainRequest) {
	if !g.mayRule(c) {
		return
	}
	action := req.to.action(nil, "")
	action.Body = &actorlogv1.Action_Read{Read: new(actorlogv1.Read)}
	a, err := g.plainCall(c, req, action, g.ask)
	if err != nil {
		g.failPlain(c, err)
		return
	}
	plainResult(c, a)
}

// plainResult answers with a bare result, or 204 if there is none.
func plainResult(c *gin.Context, a answer) {
	setAnswer(c.Writer.Header(), a)
	if result := a.Outcome.GetResultJson(); len(result) > 0 {
		c.Data(http.StatusOK, wire.JSON.ContentType(), result)
		return
	}
	c.Status(http.StatusNoContent)
}

// plainLookUp is GET of the actor itself.
func (g *Gateway) plainLookUp(c *gin.Context, req plainRequest) {
	a, err := g.ask(c.Request.Context(), req.to, req.to.resolve(nil, ""))
	if err != nil {
		g.failPlain(c, err)
		return
	}
	plainActor(c, http.StatusOK, a)
}

// plainEnsure is PUT of the actor itself.
func (g *Gateway) plainEnsure(c *gin.Context, req plainRequest) {
	input, err := jsonBody(c.Request, g.cfg.MaxInputBytes)
	if err != nil {
		g.failPlain(c, err)
		return
	}
	a, err := g.ask(c.Request.Context(), req.to, req.to.resolve(ifAbsent(input), req.idempotencyKey))
	if err != nil {
		g.failPlain(c, err)
		return
	}
	status := http.StatusOK
	if created(a.Delivery) {
		status = http.StatusCreated
	}
	plainActor(c, status, a)
}

// plainCreate is POST of the actor itself.
func (g *Gateway) plainCreate(c *gin.Context, req plainRequest) {
	input, err := jsonBody(c.Request, g.cfg.MaxInputBytes)
	if err != nil {
		g.failPlain(c, err)
		return
	}
	a, err := g.do(c.Request.Context(), req.to, req.to.resolve(mustBeAbsent(input), req.idempotencyKey))
	if err != nil {
		g.failPlain(c, err)
		return
	}
	plainActor(c, http.StatusCreated, a)
}

// plainDestroy is DELETE of the actor itself.
func (g *Gateway) plainDestroy(c *gin.Context, req plainRequest) {
	if !g.mayRule(c) {
		return
	}
	action := req.to.action(nil, req.idempotencyKey)
	action.Body = &actorlogv1.Action_Destroy{Destroy: new(actorlogv1.Destroy)}
	a, err := g.plainCall(c, req, action, g.do)
	if err != nil {
		g.failPlain(c, err)
		return
	}
	setAnswer(c.Writer.Header(), a)
	c.Status(http.StatusNoContent)
}

// plainActor answers with who the actor is.
func plainActor(c *gin.Context, status int, a answer) {
	setAnswer(c.Writer.Header(), a)
	actor := a.Outcome.GetActor()
	key := keyOf(actor)
	if key == nil {
		key = []string{}
	}
	c.JSON(status, gin.H{
		"actorId":    actorID(a.Hash, actor),
		"kind":       actor.GetKind(),
		"key":        key,
		"namespace":  actor.GetNamespace(),
		"generation": actor.GetGeneration(),
		"createdAt":  time.UnixMilli(actor.GetCreatedUnixMs()).UTC().Format("2006-01-02T15:04:05.000Z07:00"),
	})
}
