package remote

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// leaseEvery is how often a lease is renewed, as a part of its time.
const leaseEvery = 3

// holdLease renews the client's lease for as long as it lives, and ends it at Close: from then on workers end the connections that
// came through it.
func (c *Client) holdLease() {
	ticker := time.NewTicker(c.cfg.LeaseTTL / leaseEvery)
	defer ticker.Stop()
	for {
		c.writeLease(c.cfg.LeaseTTL)
		select {
		case <-c.ctx.Done():
			c.writeLease(0)
			return
		case <-ticker.C:
		}
	}
}

// writeLease appends a lease, or with no time, the end of one.
func (c *Client) writeLease(ttl time.Duration) {
	record := eventlog.Record{Key: []byte(c.cfg.ID), Headers: []eventlog.Header{{Key: schemas.HeaderType, Value: []byte(schemas.TypeLease)}}}
	if ttl > 0 {
		value, err := schemas.Encode(&actorlogv1.Lease{Gateway: c.cfg.ID, TimeUnixMs: time.Now().UnixMilli(), TtlMs: ttl.Milliseconds()})
		if err != nil {
			c.cfg.Logger.Error("writing the lease of this gateway", zap.Error(err))
			return
		}
		record.Value = value
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.cfg.LeaseTTL)
	written := make(chan error, 1)
	c.log.Append(ctx, eventlog.Gateways, record, func(_ int64, err error) { written <- err })
	select {
	case err := <-written:
		if err != nil {
			c.cfg.Logger.Warn("renewing the lease of this gateway; if it runs out, its connections are ended", zap.Error(err))
		}
	case <-ctx.Done():
	}
	cancel()
}
