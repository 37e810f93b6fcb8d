package gateway_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// socket is a raw client of /connect.
type socket struct {
	w    *world
	conn *websocket.Conn
	resp *http.Response
}

// dial opens a socket. The upgrade must succeed, whatever comes after it.
func (w *world) dial(target string, headers http.Header, protocols ...string) *socket {
	w.t.Helper()
	d := websocket.Dialer{Subprotocols: protocols, HandshakeTimeout: patience}
	conn, resp, err := d.Dial("ws"+strings.TrimPrefix(w.server.URL, "http")+target, headers)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = conn.Close() })
	return &socket{w, conn, resp}
}

// connect opens a JSON connection to the counter with that key, and takes its Init.
func (w *world) connect(key string) *socket {
	w.t.Helper()
	s := w.dial("/gateway/counter/connect"+getOrCreate+key, nil, "rivet", "rivet_encoding.json")
	s.init()
	return s
}

func (s *socket) init() (actorID, connID string) {
	s.w.t.Helper()
	m := s.next()
	require.Equal(s.w.t, "Init", m.tag)
	return m.val["actorId"].(string), m.val["connectionId"].(string)
}

type message struct {
	tag string
	val map[string]any
}

func (s *socket) read() (kind int, data []byte) {
	s.w.t.Helper()
	require.NoError(s.w.t, s.conn.SetReadDeadline(time.Now().Add(patience)))
	kind, data, err := s.conn.ReadMessage()
	require.NoError(s.w.t, err)
	return kind, data
}

// next reads a JSON message.
func (s *socket) next() message {
	s.w.t.Helper()
	kind, data := s.read()
	require.Equal(s.w.t, websocket.TextMessage, kind)
	return parse(s.w, data)
}

func parse(w *world, data []byte) message {
	var m struct {
		Body struct {
			Tag string
			Val map[string]any
		}
	}
	require.NoError(w.t, json.Unmarshal(data, &m), "%s", data)
	return message{m.Body.Tag, m.Body.Val}
}

// short is a message in one line: "Event count [5]", "ActionResponse 0 5", "Error 1 user.x", "Error user.x".
func (m message) short() string {
	id := func(v any) string {
		if list, ok := v.([]any); ok {
			return fmt.Sprint(list[1])
		}
		return "-"
	}
	text := func(v any) string {
		b, _ := json.Marshal(v)
		return string(b)
	}
	switch m.tag {
	case "Event":
		return fmt.Sprintf("Event %s %s", m.val["name"], text(m.val["args"]))
	case "ActionResponse":
		return fmt.Sprintf("ActionResponse %s %s", id(m.val["id"]), text(m.val["output"]))
	case "Error":
		return fmt.Sprintf("Error %s %s.%s", id(m.val["actionId"]), m.val["group"], m.val["code"])
	}
	return m.tag
}

// expect reads messages and compares them in one line each.
func (s *socket) expect(want ...string) {
	s.w.t.Helper()
	for _, w := range want {
		require.Equal(s.w.t, w, s.next().short())
	}
}

func (s *socket) text(data string) {
	s.w.t.Helper()
	require.NoError(s.w.t, s.conn.WriteMessage(websocket.TextMessage, []byte(data)))
}

func (s *socket) binary(data string) {
	s.w.t.Helper()
	require.NoError(s.w.t, s.conn.WriteMessage(websocket.BinaryMessage, []byte(data)))
}

func (s *socket) subscribe(name string) {
	s.w.t.Helper()
	s.text(fmt.Sprintf(`{"body":{"tag":"SubscriptionRequest","val":{"eventName":%q,"subscribe":true}}}`, name))
}

func (s *socket) unsubscribe(name string) {
	s.w.t.Helper()
	s.text(fmt.Sprintf(`{"body":{"tag":"SubscriptionRequest","val":{"eventName":%q,"subscribe":false}}}`, name))
}

// call sends an action; args is JSON.
func (s *socket) call(id int, name, args string) {
	s.w.t.Helper()
	s.text(fmt.Sprintf(`{"body":{"tag":"ActionRequest","val":{"id":["$BigInt","%d"],"name":%q,"args":%s}}}`, id, name, args))
}

// closed reads until the close frame, and returns it as "1011 group.code", the ray cut off
// after a check, and the messages before it.
func (s *socket) closed() (reason string, before []string) {
	s.w.t.Helper()
	for {
		require.NoError(s.w.t, s.conn.SetReadDeadline(time.Now().Add(patience)))
		kind, data, err := s.conn.ReadMessage()
		var closed *websocket.CloseError
		if errors.As(err, &closed) {
			reason, ray, _ := strings.Cut(closed.Text, "#")
			if reason != "" {
				require.Equal(s.w.t, s.resp.Header.Get("X-Rivet-Ray-Id"), ray)
			}
			return strings.TrimSpace(fmt.Sprintf("%d %s", closed.Code, reason)), before
		}
		require.NoError(s.w.t, err)
		if kind == websocket.TextMessage {
			before = append(before, parse(s.w, data).short())
		} else {
			before = append(before, fmt.Sprintf("%x", data))
		}
	}
}

// cborMessage reads a CBOR message.
func (s *socket) cborMessage() message {
	s.w.t.Helper()
	kind, data := s.read()
	require.Equal(s.w.t, websocket.BinaryMessage, kind)
	var m struct {
		Body struct {
			Tag string         `cbor:"tag"`
			Val map[string]any `cbor:"val"`
		} `cbor:"body"`
	}
	require.NoError(s.w.t, cbor.Unmarshal(data, &m))
	return message{m.Body.Tag, m.Body.Val}
}
