package main

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
)

func TestBar(t *testing.T) {
	t.Parallel()
	half := replay.Progress{Partition: 3, From: 100, At: 600, To: 1100}
	t.Run("OnTerminals", func(t *testing.T) {
		t.Parallel()
		var out bytes.Buffer
		b := bar{w: &out, begun: time.Now().Add(-time.Second)}
		b.show(half)
		require.Contains(t, out.String(), "scanning shard 3 [###############...............]  50% of 1000 events")
		b.clear()
		require.Equal(t, "\r\x1b[K", out.String()[out.Len()-4:], "it leaves nothing behind")
	})
	t.Run("NotAtOnce", func(t *testing.T) {
		t.Parallel()
		var out bytes.Buffer
		b := bar{w: &out, begun: time.Now()}
		b.show(half)
		require.Empty(t, out.String(), "what is quick needs none")
	})
	t.Run("NotWhileFollowing", func(t *testing.T) {
		t.Parallel()
		var out bytes.Buffer
		b := bar{w: &out, begun: time.Now().Add(-time.Second)}
		b.show(replay.Progress{At: 10, To: replay.Follow})
		require.Empty(t, out.String())
	})
	t.Run("NotInFiles", func(t *testing.T) {
		t.Parallel()
		f, err := os.Create(t.TempDir() + "/stderr")
		require.NoError(t, err)
		defer f.Close()
		b := newBar(f)
		b.begun = time.Now().Add(-time.Second)
		b.show(half)
		b.clear()
		info, err := f.Stat()
		require.NoError(t, err)
		require.Zero(t, info.Size())
	})
}

func TestWhom(t *testing.T) {
	t.Parallel()
	hash := schemas.HashOf("default", "counter", schemas.Key{"org", "42"})
	for name, w := range map[string]whom{
		"Key": {Kind: "counter", Key: []string{"org", "42"}, Namespace: "default"},
		"ID":  {Kind: schemas.ActorID{Hash: hash, Generation: 2}.String(), Namespace: "default"},
	} {
		got, err := w.hash()
		require.NoError(t, err)
		require.Equal(t, hash, got, name)
	}
	_, err := (whom{Kind: "counter", Key: []string{string(make([]byte, 200))}}).hash()
	require.ErrorContains(t, err, "part 0 of the key")
}
