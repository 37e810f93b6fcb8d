package gateway

import (
	"fmt"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestRejections(t *testing.T) {
	t.Parallel()
	// A token per second.
	cfg := Config{MaxRejections: 60, MaxRejectDelay: 10 * time.Second, MaxDelayed: 3}
	now := time.Unix(1000, 0)
	client, neighbour := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	reject := func(t *testing.T, j *rejections, from netip.Addr, n int, at time.Time) {
		t.Helper()
		for range n {
			o, _ := j.charge(from, at)
			j.release(o)
		}
	}
	delay := func(t *testing.T, j *rejections, from netip.Addr, at time.Time) time.Duration {
		t.Helper()
		o, d, ok := j.admit(from, at)
		require.True(t, ok)
		j.release(o)
		return d.Round(time.Millisecond)
	}
	t.Run("DelayGrowsWithEveryFurtherOneUpToTheCap", func(t *testing.T) {
		t.Parallel()
		j := newRejections(&cfg)
		require.Zero(t, delay(t, j, client, now))
		reject(t, j, client, 60, now)
		require.Zero(t, delay(t, j, client, now))
		reject(t, j, client, 1, now)
		require.Equal(t, time.Second, delay(t, j, client, now))
		reject(t, j, client, 1, now)
		require.Equal(t, 2*time.Second, delay(t, j, client, now))
		reject(t, j, client, 1000, now)
		require.Equal(t, 10*time.Second, delay(t, j, client, now))
		require.Zero(t, delay(t, j, neighbour, now))
	})
	t.Run("GoesAwayByItself", func(t *testing.T) {
		t.Parallel()
		j := newRejections(&cfg)
		reject(t, j, client, 1000, now)
		require.Equal(t, 4*time.Second, delay(t, j, client, now.Add(6*time.Second)))
		require.Zero(t, delay(t, j, client, now.Add(11*time.Second)))
	})
	t.Run("OneAMinuteIsNeverDelayed", func(t *testing.T) {
		t.Parallel()
		j := newRejections(&Config{MaxRejections: 1, MaxRejectDelay: time.Minute, MaxDelayed: 1})
		for i := range 100 {
			at := now.Add(time.Duration(i) * time.Minute)
			require.Zero(t, delay(t, j, client, at))
			reject(t, j, client, 1, at)
		}
	})
	t.Run("HeldAtOnceAreBounded", func(t *testing.T) {
		t.Parallel()
		j := newRejections(&cfg)
		reject(t, j, client, 62, now)
		var held []*offender
		for range cfg.MaxDelayed - 1 {
			o, _, ok := j.admit(client, now)
			require.True(t, ok)
			held = append(held, o)
		}
		o, ok := j.charge(client, now) // one that was upgraded before
		require.True(t, ok)
		held = append(held, o)
		_, d, ok := j.admit(client, now)
		require.False(t, ok)
		require.Positive(t, d)
		_, ok = j.charge(client, now)
		require.False(t, ok)
		for _, o := range held {
			j.release(o)
		}
		require.Positive(t, delay(t, j, client, now))
	})
	t.Run("MemoryIsBounded", func(t *testing.T) {
		t.Parallel()
		j := newRejections(&cfg)
		first, _ := j.charge(client, now)
		for i := range rememberedAddresses {
			reject(t, j, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1, now)
		}
		require.Equal(t, rememberedAddresses, j.offenders.Len())
		j.release(first) // of an address that is forgotten
		require.Zero(t, first.held)
	})
	t.Run("AnIPv6ClientHasA64", func(t *testing.T) {
		t.Parallel()
		j := newRejections(&cfg)
		for i := range 100 {
			reject(t, j, netip.MustParseAddr(fmt.Sprintf("2001:db8:1:2::%x", i)), 1, now)
		}
		require.Equal(t, 10*time.Second, delay(t, j, netip.MustParseAddr("2001:db8:1:2:ffff::1"), now))
		require.Zero(t, delay(t, j, netip.MustParseAddr("2001:db8:1:3::1"), now))
	})
	t.Run("NoBound", func(t *testing.T) {
		t.Parallel()
		j := newRejections(&Config{MaxRejections: -1})
		reject(t, j, client, 1000, now)
		require.Zero(t, delay(t, j, client, now))
	})
}

func TestClientAddress(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.WarnLevel)
	g := &Gateway{cfg: Config{Logger: zap.New(core), TrustedProxies: []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32"),
	}}}
	for _, c := range []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"192.0.2.1:80", nil, "192.0.2.1"},
		{"[::ffff:192.0.2.1]:80", nil, "192.0.2.1"},
		{"[fe80::1%eth0]:80", nil, "fe80::1"},
		{"10.0.0.1:80", nil, "10.0.0.1"},
		{"10.0.0.1:80", []string{"192.0.2.9"}, "192.0.2.9"},
		{"[2001:db8::1]:80", []string{"192.0.2.9"}, "192.0.2.9"},
		{"10.0.0.1:80", []string{"192.0.2.9:4711"}, "192.0.2.9"},
		{"10.0.0.1:80", []string{"[2001:db9::9]:4711"}, "2001:db9::9"},
		{"10.0.0.1:80", []string{"2001:db9::9"}, "2001:db9::9"},
		// What stands before the last address that is no proxy's is the client's own invention.
		{"10.0.0.1:80", []string{"203.0.113.7, 192.0.2.9, 10.0.0.2"}, "192.0.2.9"},
		{"10.0.0.1:80", []string{"203.0.113.7", "192.0.2.9,10.0.0.2"}, "192.0.2.9"},
		{"10.0.0.1:80", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"10.0.0.1:80", []string{"192.0.2.9, unknown"}, "10.0.0.1"},
		{"10.0.0.1:80", []string{"192.0.2.9, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"10.0.0.1:80", []string{""}, "10.0.0.1"},
		{"192.0.2.1:80", []string{"203.0.113.7"}, "192.0.2.1"},
		{"@", []string{"203.0.113.7"}, "invalid IP"},
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.forwarded}}
		require.Equal(t, c.want, g.clientAddress(r).String(), "%v", c)
		require.Equal(t, c.want, g.clientAddress(r).String(), "%v", c)
	}
	require.Equal(t, 1, logs.Len(), "said once")
	require.Contains(t, logs.All()[0].Message, "--trust-proxy")
}
