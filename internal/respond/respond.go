// Package respond is how operators are answered over HTTP: JSON, errors in one form, and JSON lines as they come. It decides nothing of what is said.
package respond

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Error is the body of every answer that is an error, as gateways have it.
type Error struct {
	Group   string `json:"group"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// JSON answers with a value. That the client is gone is nobody's business.
func JSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// Fail answers with an error. One that passes says when to come back.
func Fail(w http.ResponseWriter, status int, group, code, message string) {
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	JSON(w, status, Error{group, code, message})
}

// How long a client may take for what it is sent, and after how much silence it is sent an empty line.
const (
	writeTimeout = 10 * time.Second
	heartbeat    = 15 * time.Second
)

// errOver says that nothing more is sent.
var errOver = errors.New("the answer is over")

// Lines answers with JSON values, one a line, or as server-sent events, each sent at once. An empty line, or a comment, says that more is being looked for. The answer begins with
// the first value: until then there may be an error to tell instead. It may be used by several goroutines.
type Lines struct {
	w      http.ResponseWriter
	events bool
	// patience is how long the first value is waited for.
	patience time.Duration
	control  *http.ResponseController
	stop     chan struct{}
	stopped  sync.WaitGroup

	mu sync.Mutex
	// began: the headers are sent. head is what comes first.
	began bool
	head  string
	last  time.Time
	err   error
}

// NewLines begins an answer of lines. Its owner calls Close.
func NewLines(w http.ResponseWriter) *Lines { return newLines(&Lines{w: w, patience: heartbeat}) }

// Follow begins an answer that has no end: lines, or events, whose reader comes back in a second if it loses its connection. It does not wait for its first value for long. Its
// owner calls Close.
func Follow(w http.ResponseWriter, events bool) *Lines {
	l := &Lines{w: w, events: events, patience: heartbeat / 30}
	if events {
		l.head = "retry: 1000\n\n"
	}
	return newLines(l)
}

func newLines(l *Lines) *Lines {
	l.control, l.stop, l.last = http.NewResponseController(l.w), make(chan struct{}), time.Now()
	l.stopped.Go(l.beat)
	return l
}

// beat keeps proxies from taking the silence of a long search for the end.
func (l *Lines) beat() {
	ticker := time.NewTicker(l.patience)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			l.mu.Lock()
			if !l.began || time.Since(l.last) >= heartbeat {
				_ = l.write(l.silence()) // an error is that of the next line
			}
			l.mu.Unlock()
		case <-l.stop:
			return
		}
	}
}

func (l *Lines) silence() []byte {
	if l.events {
		return []byte(":\n\n")
	}
	return []byte("\n")
}

// Close ends the answer.
func (l *Lines) Close() {
	close(l.stop)
	l.stopped.Wait()
}

// Write implements io.Writer, for whole lines. An error says that the client is gone, or does not read.
func (l *Lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.write(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// write sends bytes. l.mu is held.
func (l *Lines) write(p []byte) error {
	if l.err != nil {
		return l.err
	}
	if !l.began {
		l.began = true
		l.w.Header().Set("Content-Type", "application/x-ndjson; charset=utf-8")
		if l.events {
			l.w.Header().Set("Content-Type", "text/event-stream")
		}
		l.w.Header().Set("X-Accel-Buffering", "no") // nginx would hold lines back
	}
	// Not every connection has deadlines; then a client that stalls holds its own goroutine only.
	_ = l.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if l.head != "" {
		p, l.head = append([]byte(l.head), p...), ""
	}
	if _, l.err = l.w.Write(p); l.err == nil {
		l.err = l.control.Flush()
	}
	_ = l.control.SetWriteDeadline(time.Time{})
	l.last = time.Now()
	return l.err
}

// Encode sends a value.
func (l *Lines) Encode(v any) error { return l.Send("", v) }

// Send sends a value; of an event, id is its id, if there is one.
func (l *Lines) Send(id string, v any) error {
	b, err := l.format("", id, v)
	if err == nil {
		_, err = l.Write(b)
	}
	return err
}

func (l *Lines) format(name, id string, v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil || !l.events {
		return append(data, '\n'), err
	}
	var b []byte
	if id != "" {
		b = fmt.Appendf(b, "id: %s\n", id)
	}
	if name != "" {
		b = fmt.Appendf(b, "event: %s\n", name)
	}
	return fmt.Appendf(b, "data: %s\n\n", data), nil
}

// Fail tells an error: as the answer, or, if lines were sent already, as the last of them, whose type is error.
func (l *Lines) Fail(status int, group, code, message string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.began {
		l.err = errOver
		Fail(l.w, status, group, code, message)
		return
	}
	b, err := l.format("error", "", struct {
		Type string `json:"type"`
		Error
	}{"error", Error{group, code, message}})
	if err == nil {
		_ = l.write(b) // the client may be gone
	}
}

// One lets one request at a time do something that takes much of the process.
type One struct{ busy sync.Mutex }

// Enter says whether nobody else is at it; then leave must be called.
func (o *One) Enter() (leave func(), ok bool) {
	return o.busy.Unlock, o.busy.TryLock()
}
