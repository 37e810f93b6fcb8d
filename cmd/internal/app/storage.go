package app

import (
	"errors"
	"time"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/archive"
	"github.com/actorlog/actorlog/eventlog/kafkalog"
)

// Storage flags: how long what is recorded lives, and where else it is.
type Storage struct {
	ActionsRetention time.Duration `help:"How long actions are kept, when the topics are made; 0 is for ever. Actions that wait longer than that are lost." default:"168h" env:"ACTORLOG_ACTIONS_RETENTION"`
	EventsRetention  time.Duration `help:"How long events, which are the history, are kept, when the topics are made; 0 is for ever." default:"0" env:"ACTORLOG_EVENTS_RETENTION"`
	Archive          string        `help:"Directory of archived events, as actorlog archive writes it: history is read from there, and goes on in the log." type:"existingdir" placeholder:"DIR" env:"ACTORLOG_ARCHIVE"`
}

// leastRetention is the shortest time for which events are kept: claims are renewed every hour, and checkpoints must come before.
const leastRetention = 24 * time.Hour

// Validate checks the flags; kong calls it.
func (s Storage) Validate() error {
	if s.ActionsRetention < 0 || s.EventsRetention < 0 {
		return errors.New("--actions-retention, --events-retention: want a time, or 0 for ever")
	}
	if s.EventsRetention > 0 && s.EventsRetention < leastRetention {
		return errors.New("--events-retention: want at least 24h: workers recover from events since their last checkpoint")
	}
	return nil
}

// EventLog is a log that its owner closes.
type EventLog interface {
	eventlog.Log
	Close()
}

func (s Storage) configure(cfg *kafkalog.Config) {
	cfg.ActionsRetention, cfg.EventsRetention = s.ActionsRetention, s.EventsRetention
	if s.ActionsRetention == 0 {
		cfg.ActionsRetention = -1
	}
}

// over puts what the flags say before the brokers.
func (s Storage) over(brokers *kafkalog.Log) (EventLog, error) {
	if s.Archive == "" {
		return brokers, nil
	}
	a, err := archive.Open(brokers, s.Archive)
	if err != nil {
		brokers.Close()
		return nil, err
	}
	return before{a, brokers}, nil
}

// before is a log before the one that is to be closed.
type before struct {
	eventlog.Log
	brokers *kafkalog.Log
}

// Close closes the brokers' log.
func (b before) Close() { b.brokers.Close() }
