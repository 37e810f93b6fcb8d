package kafkalog

import (
	"net"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// connectionHooks turns kgo's hooks into an EventListener's.
type connectionHooks struct{ l EventListener }

var (
	_ kgo.HookBrokerConnect    = connectionHooks{}
	_ kgo.HookBrokerDisconnect = connectionHooks{}
)

// OnBrokerConnect implements [kgo.HookBrokerConnect].
func (h connectionHooks) OnBrokerConnect(meta kgo.BrokerMetadata, took time.Duration, _ net.Conn, err error) {
	if h.l.BrokerConnected != nil {
		h.l.BrokerConnected(addr(meta), took, err)
	}
}

// OnBrokerDisconnect implements [kgo.HookBrokerDisconnect].
func (h connectionHooks) OnBrokerDisconnect(meta kgo.BrokerMetadata, _ net.Conn) {
	if h.l.BrokerDisconnected != nil {
		h.l.BrokerDisconnected(addr(meta))
	}
}

func addr(meta kgo.BrokerMetadata) string {
	return net.JoinHostPort(meta.Host, strconv.Itoa(int(meta.Port)))
}
