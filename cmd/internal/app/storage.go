package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/archive"
	"github.com/actorlog/actorlog/eventlog/kafkalog"
	"github.com/actorlog/actorlog/eventlog/sealed"
)

// Storage flags: how long what is recorded lives, where else it is, and who can read it.
type Storage struct {
	ActionsRetention time.Duration `help:"How long actions are kept, when the topics are made; 0 is for ever. Actions that wait longer than that are lost." default:"168h" env:"ACTORLOG_ACTIONS_RETENTION"`
	EventsRetention  time.Duration `help:"How long events, which are the history, are kept, when the topics are made; 0 is for ever." default:"0" env:"ACTORLOG_EVENTS_RETENTION"`
	Archive          string        `help:"Directory of archived events, as actorlog archive writes it: history is read from there, and goes on in the log." type:"existingdir" placeholder:"DIR" env:"ACTORLOG_ARCHIVE"`
	SealKinds        []string      `help:"Kinds of actors whose records are encrypted, each actor's with a key of its own, so that it can be erased; * is all. The same for all programs." placeholder:"KIND" env:"ACTORLOG_SEAL_KINDS"`
	SealKeyFile      string        `help:"File with the master key, 32 bytes in base64 (openssl rand -base64 32), that encrypts the keys of actors; further lines are keys that were in use before. Also needed to read what is sealed. It may be given in ACTORLOG_SEAL_KEY instead." type:"existingfile" placeholder:"FILE" env:"ACTORLOG_SEAL_KEY_FILE"`
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
	if _, err := s.masters(); err != nil {
		return err
	}
	if len(s.SealKinds) > 0 && !s.seals() {
		return errors.New("--seal-kinds needs a master key: --seal-key-file, or ACTORLOG_SEAL_KEY")
	}
	return nil
}

// sealKeyEnv holds master keys, separated by commas.
const sealKeyEnv = "ACTORLOG_SEAL_KEY"

func (s Storage) seals() bool { return s.SealKeyFile != "" || os.Getenv(sealKeyEnv) != "" }

// masters reads the master keys; none if there are none.
func (s Storage) masters() (m sealed.Masters, err error) {
	switch {
	case s.SealKeyFile != "":
		text, err := os.ReadFile(s.SealKeyFile)
		if err != nil {
			return m, fmt.Errorf("--seal-key-file: %w", err)
		}
		if m, err = sealed.ParseMasters(string(text)); err != nil {
			return m, fmt.Errorf("--seal-key-file: %s: %w", s.SealKeyFile, err)
		}
	case os.Getenv(sealKeyEnv) != "":
		if m, err = sealed.ParseMasters(strings.ReplaceAll(os.Getenv(sealKeyEnv), ",", "\n")); err != nil {
			return m, fmt.Errorf("%s: %w", sealKeyEnv, err)
		}
	}
	return m, nil
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
	cfg.Keys = s.seals()
}

// over puts what the flags say before the brokers. A process may fill the archive; a command that finds nothing in it was given another directory than was meant.
func (s Storage) over(ctx context.Context, brokers *kafkalog.Log, process bool) (EventLog, error) {
	l := before{brokers, brokers}
	if s.Archive != "" {
		open := archive.Open
		if process {
			open = archive.Begin
		}
		a, err := open(brokers, s.Archive)
		if err != nil {
			brokers.Close()
			return nil, err
		}
		l.Log = a
	}
	if !s.seals() {
		return l, nil
	}
	masters, err := s.masters()
	if err == nil {
		var keyed *sealed.Log
		if keyed, err = sealed.Open(ctx, l, masters, s.SealKinds...); err == nil {
			return Sealed{keyed, l}, nil
		}
	}
	brokers.Close()
	return nil, err
}

// archiveOf is the archive that stands before a log, nil if there is none.
func archiveOf(l eventlog.Log) *archive.Log {
	switch l := l.(type) {
	case Sealed:
		return archiveOf(l.Plain)
	case before:
		return archiveOf(l.Log)
	case *archive.Log:
		return l
	}
	return nil
}

// before is a log before the one that is to be closed.
type before struct {
	eventlog.Log
	brokers *kafkalog.Log
}

// Close closes the brokers' log.
func (b before) Close() { b.brokers.Close() }

// MaxRecordBytes is the largest record that the brokers take.
func (b before) MaxRecordBytes() int { return b.brokers.MaxRecordBytes() }

// Sealed is a log whose records are sealed.
type Sealed struct {
	*sealed.Log
	// Plain is the log below: its records are as they are kept.
	Plain EventLog
}

// Close closes both.
func (s Sealed) Close() {
	s.Plain.Close()
	s.Log.Close()
}

// MaxRecordBytes is the largest record that the brokers take; sealing takes some of it.
func (s Sealed) MaxRecordBytes() int {
	const sealing = 4096
	n := maxRecordBytes(s.Plain)
	return n - min(sealing, n/8)
}
