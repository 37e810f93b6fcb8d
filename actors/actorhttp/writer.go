package actorhttp

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/actorlog/actorlog/actors/actor"
)

// writer collects a response. It behaves as the writer of net/http's server where a handler can tell.
type writer struct {
	method string
	// header is the handler's, sent what it was when the status was written.
	header, sent http.Header
	status       int // 0 until it is written
	// declared is the Content-Length that the handler set, -1 if it set none. Valid once the status is written.
	declared int64
	// written counts what the handler wrote, body what of it goes out.
	written int64
	body    bytes.Buffer
	err     error
}

var _ interface {
	http.ResponseWriter
	http.Flusher
	FlushError() error
	WriteString(s string) (int, error)
} = (*writer)(nil)

// Header implements http.ResponseWriter.
func (w *writer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. The second one is ignored, and so are informational ones.
func (w *writer) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("actorhttp: WriteHeader with status %d", status))
	}
	if status < 200 && status != http.StatusSwitchingProtocols {
		return
	}
	w.status, w.sent, w.declared = status, w.header.Clone(), -1
	if text := w.sent.Get("Content-Length"); text != "" {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			w.sent.Del("Content-Length") // as net/http does
			return
		}
		w.declared = int64(n)
	}
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	if err := w.take(len(p)); err != nil {
		return 0, err
	}
	if w.method != http.MethodHead {
		w.body.Write(p)
	} else if n := 512 - w.body.Len(); n > 0 { // for the type
		w.body.Write(p[:min(n, len(p))])
	}
	return len(p), nil
}

// WriteString implements io.StringWriter.
func (w *writer) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// take counts n bytes, if they may be written.
func (w *writer) take(n int) error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if n == 0 {
		return nil
	}
	switch {
	case bodyless(w.status):
		return http.ErrBodyNotAllowed
	case w.declared >= 0 && w.written+int64(n) > w.declared:
		return http.ErrContentLength
	case w.method != http.MethodHead && w.written+int64(n) > MaxBodyBytes:
		w.err = actor.ErrTooLarge.Messagef("The response has more than %d bytes.", MaxBodyBytes)
		return w.err
	}
	w.written += int64(n)
	return nil
}

// Flush implements http.Flusher: it writes the status, and no more can be done.
func (w *writer) Flush() { _ = w.FlushError() }

// FlushError is Flush for http.ResponseController.
func (w *writer) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return nil
}

func bodyless(status int) bool {
	return status < 200 || status == http.StatusNoContent || status == http.StatusNotModified
}

// hop is the headers that are about a connection, and not about the response.
var hop = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// response is what was written.
func (w *writer) response() (*actor.Response, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	head := w.method == http.MethodHead
	switch {
	case w.err != nil:
		return nil, w.err
	case w.status == http.StatusSwitchingProtocols:
		return nil, errors.New("a raw request cannot be upgraded")
	case !head && !bodyless(w.status) && w.declared >= 0 && w.written != w.declared:
		return nil, fmt.Errorf("the handler has written %d bytes of a response whose Content-Length is %d", w.written, w.declared)
	}
	h := w.sent
	for _, name := range hop {
		h.Del(name)
	}
	_, typed := h["Content-Type"] // nil: the handler wants none
	if !typed && w.written > 0 && h.Get("Content-Encoding") == "" {
		h.Set("Content-Type", http.DetectContentType(w.body.Bytes()))
	}
	// What HEAD has not written says nothing about GET.
	if w.declared < 0 && !bodyless(w.status) && (!head || w.written > 0) {
		h.Set("Content-Length", strconv.FormatInt(w.written, 10))
	}
	out := &actor.Response{Status: w.status}
	if !head {
		out.Body = w.body.Bytes()
	}
	// In order: the same response is the same record.
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			continue
		}
		for _, value := range h[name] {
			out.Headers = append(out.Headers, actor.Header{Name: name, Value: value})
		}
	}
	return out, nil
}
