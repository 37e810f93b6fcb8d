package memlog_test

import (
	"testing"
	"time"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/logtest"
	"github.com/actorlog/actorlog/eventlog/memlog"
)

func TestLog(t *testing.T) {
	t.Parallel()
	logtest.Exercise(t, func(*testing.T) logtest.Factory {
		const session = 500 * time.Millisecond
		c := memlog.NewCluster(logtest.Partitions)
		c.SetSessionTimeout(session)
		return logtest.Factory{
			Open: func(t *testing.T) eventlog.Log {
				l := c.Client()
				t.Cleanup(l.Close)
				return l
			},
			TooLarge: memlog.DefaultMaxRecordBytes + 1,
			Truncate: func(_ *testing.T, topic eventlog.Topic, partition int32, below int64) {
				c.Truncate(topic, partition, below)
			},
			Crash:          func(l eventlog.Log) { l.(*memlog.Log).Crash() },
			SessionTimeout: session,
		}
	})
}
