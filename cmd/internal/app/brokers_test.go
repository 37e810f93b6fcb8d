package app

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/host"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/kafkalog"
	"github.com/actorlog/actorlog/eventlog/memlog"
)

type sizedLog struct {
	eventlog.Log
	most int
}

func (l sizedLog) MaxRecordBytes() int { return l.most }

// A body of a raw request, and one as large of its response, are one record.
func TestRawBodiesFitIntoRecords(t *testing.T) {
	t.Parallel()
	for most := kafkalog.DefaultMaxRecordBytes + 1; most <= 64<<20; most += 1 << 20 {
		log := sizedLog{most: most}
		require.Less(t, 2*rawBodyBytes(log)+200_000, rawRecordBytes(log), most)
		require.Less(t, rawRecordBytes(log), most)
		require.GreaterOrEqual(t, rawBodyBytes(log), 3<<20, most)
	}
	require.Equal(t, 20<<20, rawBodyBytes(sizedLog{most: DevRecordBytes}), "Rivet's")
	// By default, and where the log does not say, programs are left with their own defaults.
	for _, log := range []eventlog.Log{sizedLog{most: kafkalog.DefaultMaxRecordBytes}, memlog.NewCluster(1).Client()} {
		require.Zero(t, rawBodyBytes(log))
		require.Zero(t, rawRecordBytes(log))
	}
	require.NoError(t, host.Config{RawRecordBytes: rawRecordBytes(sizedLog{most: 64 << 20})}.Validate())
}
