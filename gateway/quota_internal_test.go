package gateway

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/schemas"
)

func TestQuotas(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	at := func(address string) identity { return identity{address: netip.MustParseAddr(address)} }
	client, neighbour := at("192.0.2.1"), at("192.0.2.2")
	one, other := schemas.HashOf("default", "counter", schemas.Key{"one"}), schemas.HashOf("default", "counter", schemas.Key{"other"})
	in := func(t *testing.T, q *quotas, from identity, to schemas.Hash, when time.Time) place {
		t.Helper()
		p, over := q.take(from, to, when)
		require.Nil(t, over)
		return p
	}
	out := func(t *testing.T, q *quotas, from identity, to schemas.Hash, when time.Time) exceeded {
		t.Helper()
		p, over := q.take(from, to, when)
		require.NotNil(t, over)
		p.release() // of nobody's
		return *over
	}
	t.Run("NoneWithoutBounds", func(t *testing.T) {
		t.Parallel()
		q := newQuotas(&Config{MaxActorUnderWay: -1})
		require.Nil(t, q)
		in(t, q, client, one, now).release()
		require.Zero(t, q.reserve(client, one, now))
	})
	t.Run("RateIsOfAnAddressToAnActor", func(t *testing.T) {
		t.Parallel()
		q := newQuotas(&Config{RateLimit: 60})
		for range 60 {
			in(t, q, client, one, now)
		}
		require.Equal(t, exceeded{after: time.Second}, out(t, q, client, one, now))
		require.Equal(t, exceeded{after: 250 * time.Millisecond}, out(t, q, client, one, now.Add(750*time.Millisecond)))
		in(t, q, neighbour, one, now)
		in(t, q, client, other, now)
		// What was refused has cost nothing.
		in(t, q, client, one, now.Add(time.Second))
		out(t, q, client, one, now.Add(time.Second))
	})
	t.Run("RateOfAnAddressToAllActors", func(t *testing.T) {
		t.Parallel()
		q := newQuotas(&Config{CallerRateLimit: 2})
		in(t, q, client, one, now)
		in(t, q, client, other, now)
		require.Equal(t, exceeded{after: 30 * time.Second}, out(t, q, client, one, now))
		in(t, q, neighbour, one, now)
	})
	t.Run("RateOfAllAddressesToAnActor", func(t *testing.T) {
		t.Parallel()
		q := newQuotas(&Config{ActorRateLimit: 2})
		in(t, q, client, one, now)
		in(t, q, identity{}, one, now) // without an address
		out(t, q, neighbour, one, now)
		in(t, q, neighbour, other, now)
	})
	t.Run("UnderWay", func(t *testing.T) {
		t.Parallel()
		q := newQuotas(&Config{MaxUnderWay: 2, MaxActorUnderWay: 3})
		first := in(t, q, client, one, now)
		in(t, q, client, one, now)
		require.Equal(t, exceeded{after: time.Second}, out(t, q, client, one, now.Add(time.Hour)))
		in(t, q, client, other, now)
		in(t, q, neighbour, one, now)
		require.Equal(t, exceeded{actor: true, after: time.Second}, out(t, q, neighbour, one, now))
		first.release()
		in(t, q, client, one, now)
	})
	t.Run("IPv6CountsByItsNetwork", func(t *testing.T) {
		t.Parallel()
		q := newQuotas(&Config{RateLimit: 1})
		in(t, q, at("2001:db8::1"), one, now)
		out(t, q, at("2001:db8::2"), one, now)
		in(t, q, at("2001:db8:0:1::1"), one, now)
	})
	t.Run("WhatCannotBeRefusedWaitsLongerEachTime", func(t *testing.T) {
		t.Parallel()
		q := newQuotas(&Config{RateLimit: 60})
		for range 60 {
			require.Zero(t, q.reserve(client, one, now))
		}
		require.Equal(t, time.Second, q.reserve(client, one, now))
		require.Equal(t, 2*time.Second, q.reserve(client, one, now))
		require.Zero(t, q.reserve(client, one, now.Add(3*time.Second)))
	})
	t.Run("MemoryIsBounded", func(t *testing.T) {
		t.Parallel()
		q := newQuotas(&Config{RateLimit: 1, MaxUnderWay: 1})
		first := in(t, q, client, one, now)
		address := netip.MustParseAddr("10.0.0.0")
		for range rememberedUses {
			in(t, q, identity{address: address}, one, now)
			address = address.Next()
		}
		require.Equal(t, rememberedUses, q.uses.Len())
		first.release() // of a use that was forgotten
		in(t, q, client, one, now)
	})
}
