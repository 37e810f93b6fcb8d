package app

import (
	"context"

	"go.uber.org/zap"

	"github.com/actorlog/actorlog/eventlog/kafkalog"
)

// Inspect looks at brokers and topics. It makes no topics.
func (b Brokers) Inspect(ctx context.Context, t Topics, log *zap.Logger) (*kafkalog.Cluster, kafkalog.Config, error) {
	cfg, err := b.config(t, "cli", log)
	if err != nil {
		return nil, cfg, err
	}
	c, err := kafkalog.Inspect(ctx, cfg)
	return c, cfg, err
}

// Grant gives rights to the users of programs; the flags say who gives them.
func (b Brokers) Grant(ctx context.Context, t Topics, rights []kafkalog.Right, user func(kafkalog.Role) string, log *zap.Logger) error {
	cfg, err := b.config(t, "cli", log)
	if err != nil {
		return err
	}
	return kafkalog.Grant(ctx, cfg, rights, user)
}

// Group that the workers of an application share: the default of host.Config.
const Group = "actorlog"
