package archive

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/logtest"
	"github.com/actorlog/actorlog/eventlog/memlog"
)

type closing struct {
	*Log
	inner *memlog.Log
}

func (c closing) Close() { c.inner.Close() }

// Before an empty directory, a log is what it was.
func TestLog_Conforms(t *testing.T) {
	t.Parallel()
	logtest.Exercise(t, func(t *testing.T) logtest.Factory {
		const session = 500 * time.Millisecond
		c := memlog.NewCluster(logtest.Partitions)
		c.SetSessionTimeout(session)
		return logtest.Factory{
			Open: func(t *testing.T) eventlog.Log {
				l := c.Client()
				t.Cleanup(l.Close)
				a, err := Begin(l, t.TempDir())
				require.NoError(t, err)
				return closing{a, l}
			},
			TooLarge: memlog.DefaultMaxRecordBytes + 1,
			Truncate: func(_ *testing.T, topic eventlog.Topic, partition int32, below int64) {
				c.Truncate(topic, partition, below)
			},
			Crash:          func(l eventlog.Log) { l.(closing).inner.Crash() },
			SessionTimeout: session,
		}
	})
}
