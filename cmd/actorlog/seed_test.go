package main

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/refunds"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
)

// Whoever starts actorlog dev again days later, with --seed, finds what was there.
func TestSeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := actortest.New(t, refunds.Register)
		log := w.Cluster.Client()
		defer log.Close()
		events := func() (n int) {
			for _, hash := range []schemas.Hash{schemas.HashOf("default", "wallet", schemas.Key{"ann"}), schemas.HashOf("default", "purchase", schemas.Key{"lamp"})} {
				for _, err := range replay.NewReader(log, replay.Options{}).History(t.Context(), hash, replay.Range{}) {
					require.NoError(t, err)
					n++
				}
			}
			return n
		}
		require.NoError(t, seed(t.Context(), log, zap.NewNop()))
		time.Sleep(48 * time.Hour)
		require.Equal(t, 8, events(), "five of the wallet, three of the purchase")
		require.NoError(t, seed(t.Context(), log, zap.NewNop()))
		require.Equal(t, 8, events())
	})
}
