package check

import (
	"context"
	"strings"

	"github.com/gorilla/websocket"
)

// socket opens a socket as the RivetKit client does, in JSON, subscribes to the messages of a chat room, and reads until ctx ends.
func socket(ctx context.Context, gateway string) {
	d := websocket.Dialer{Subprotocols: []string{"rivet", "rivet_encoding.json"}}
	conn, _, err := d.DialContext(ctx, "ws"+strings.TrimPrefix(gateway, "http")+"/gateway/chatRoom/connect?rvt-namespace=default&rvt-method=getOrCreate&rvt-key=lobby", nil)
	if err != nil {
		return
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if conn.WriteMessage(websocket.TextMessage, []byte(`{"body":{"tag":"SubscriptionRequest","val":{"eventName":"message","subscribe":true}}}`)) != nil {
		return
	}
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			return
		}
	}
}
