package webclient

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
)

const (
	// maxAnswer bounds the answers that are read, in bytes. States are the longest.
	maxAnswer = 64 << 20
	// The pauses between attempts.
	firstPause, longestPause = 100 * time.Millisecond, 5 * time.Second
)

// request is one request, to be sent as often as needed.
type request struct {
	method string
	// path and query, escaped.
	path   string
	header http.Header
	body   []byte
	// key is the idempotency key. Without one, the request has no effect.
	key string
}

// reply is an answer of success.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// failure is an attempt that may be worth another one.
type failure struct {
	err error
	// open: the request may have an effect all the same.
	open bool
	// after is how long the gateway wants to be left alone.
	after time.Duration
}

func (f *failure) Error() string { return f.err.Error() }

// newKey makes an idempotency key: no two are alike.
func newKey() string { return rand.Text() }

// creationKey is the key of the creation that goes before the request with that key.
func creationKey(key string) string {
	sum := sha256.Sum256([]byte("creation before " + key))
	return hex.EncodeToString(sum[:16])
}

// send makes a request until it is answered. Errors are *actor.Error, ErrUnavailable, ErrUnknownOutcome and those of answers that nobody
// understands.
func (c *Client) send(ctx context.Context, req request) (reply, error) {
	var open bool
	for n := 0; ; n++ {
		answer, err := c.attempt(ctx, req)
		var f *failure
		switch {
		case err == nil:
			return answer, nil
		case errors.As(err, &f):
			open = open || f.open
		case open && errors.Is(err, actor.ErrOverloaded):
			// Refused before its turn: that says nothing about the attempt before it, which may be waiting for its own.
			f = &failure{err: errors.New(err.Error())}
		default:
			return reply{}, err
		}
		if ctx.Err() == nil {
			pause(ctx, n, f.after)
		}
		if ctx.Err() == nil {
			continue
		}
		sentinel := ErrUnavailable
		if open && req.key != "" {
			sentinel = ErrUnknownOutcome
		}
		if cause := context.Cause(ctx); !errors.Is(f.err, cause) {
			return reply{}, fmt.Errorf("%w: %w: %w", sentinel, cause, f.err)
		}
		return reply{}, fmt.Errorf("%w: %w", sentinel, f.err)
	}
}

// attempt makes a request once. An error that is a *failure may pass.
func (c *Client) attempt(ctx context.Context, req request) (reply, error) {
	resp, err := c.roundTrip(ctx, req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return reply{}, &failure{err: fmt.Errorf("reading the answer: %w", ended(ctx, err)), open: true}
	case len(body) > maxAnswer:
		return reply{}, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return reply{}, refusal(resp, body)
	}
	return reply{resp.StatusCode, resp.Header, body}, nil
}

// roundTrip returns the beginning of an answer. Errors are as those of attempt.
func (c *Client) roundTrip(ctx context.Context, req request) (*http.Response, error) {
	var sent atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }})
	r, err := http.NewRequestWithContext(traced, req.method, c.base+req.path, bytes.NewReader(req.body))
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	r.Header = req.header.Clone()
	if req.body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if req.key != "" {
		r.Header.Set("Idempotency-Key", req.key)
	}
	resp, err := c.http.Do(r)
	var certificate *tls.CertificateVerificationError
	switch {
	case err == nil:
		return resp, nil
	case errors.As(err, &certificate):
		return nil, err // it will not get better
	}
	return nil, &failure{err: ended(ctx, err), open: sent.Load()}
}

// ended replaces an error by the reason for which the context ended, if that is why.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// refusal is what an answer of failure means.
func refusal(resp *http.Response, body []byte) error {
	after := retryAfter(resp.Header)
	var e struct {
		Group, Code, Message string
		Metadata             json.RawMessage
	}
	if json.Unmarshal(body, &e) != nil || e.Group == "" || e.Code == "" {
		err := fmt.Errorf("%s %s: status %s", resp.Request.Method, resp.Request.URL.Redacted(), resp.Status)
		switch {
		case resp.StatusCode >= 500, resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusRequestTimeout:
			// Of a proxy before the gateway, which may have passed the request on.
			return &failure{err: err, open: true, after: after}
		}
		return err
	}
	err := &actor.Error{Group: e.Group, Code: e.Code, Message: e.Message, Metadata: e.Metadata}
	// A failure is no *actor.Error: to callers, one of those means that there was no effect.
	switch {
	case e.Group == "guard" && (resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusTooManyRequests):
		return &failure{err: errors.New(err.Error()), after: after}
	case e.Group == "actorlog" && e.Code == "outcome_unknown":
		return &failure{err: errors.New(err.Error()), open: true, after: after}
	}
	return err
}

func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return time.Until(at)
	}
	return 0
}

// pause waits before attempt n+2, at least for a time: longer every time, and never as long as others who wait for the same.
func pause(ctx context.Context, n int, atLeast time.Duration) {
	most := longestPause
	if n < 6 {
		most = min(most, firstPause<<n)
	}
	timer := time.NewTimer(max(atLeast, 0) + most/2 + mathrand.N(most/2))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
