package file_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/examples/counter"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/replay/file"
	"github.com/actorlog/actorlog/schemas"
)

// exported is the history of a counter that was incremented by two workers, among others in its shard, and the entries of that history.
func exported(t *testing.T, o file.Options) (data []byte, want []*replay.Entry) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := actortest.New(t, counter.Register)
		for i := range int64(20) {
			for _, key := range []string{"a", "b", "c", "d", "e"} {
				_, err := counter.Increment.Call(t.Context(), counter.Kind.GetOrCreate(w.Client, key), i+1)
				require.NoError(t, err)
			}
			if i == 9 {
				w.Crash()
			}
		}
		log := w.Cluster.Client()
		defer log.Close()
		r := replay.NewReader(log, replay.Options{})
		var b bytes.Buffer
		_, err := file.Export(t.Context(), &b, r, hash, o)
		require.NoError(t, err)
		data, want = b.Bytes(), entries(t, r)
	})
	return data, want
}

var hash = schemas.HashOf(actor.DefaultNamespace, counter.Kind.Name(), []string{"a"})

func entries(t *testing.T, r *replay.Reader) (all []*replay.Entry) {
	t.Helper()
	for v, err := range r.Entries(t.Context(), hash, replay.Query{}) {
		require.NoError(t, err)
		all = append(all, v)
	}
	return all
}

func TestFile(t *testing.T) {
	t.Parallel()
	data, want := exported(t, file.Options{Log: "there", CodeVersion: "v1"})
	h, err := file.Read(bytes.NewReader(data))
	require.NoError(t, err)
	require.Equal(t, hash, h.Hash())
	require.Equal(t, "there", h.Header().Log)

	t.Run("tells the same history as the log, at the same positions", func(t *testing.T) {
		t.Parallel()
		r := replay.NewReader(h, replay.Options{})
		require.Len(t, want, 20)
		require.Equal(t, want, entries(t, r))
		for number, count := range map[int64]string{1: "1", 10: "55", 11: "66", -1: "210"} {
			a, err := r.State(t.Context(), hash, replay.Point{Number: number})
			require.NoError(t, err)
			require.JSONEq(t, `{"count":`+count+`}`, string(a.State))
		}
	})
	t.Run("that is cut off anywhere is damaged", func(t *testing.T) {
		t.Parallel()
		for n := 0; n < len(data); n += 1 + len(data)/50 {
			_, err := file.Read(bytes.NewReader(data[:n]))
			require.ErrorIs(t, err, file.ErrDamaged, n)
		}
	})
	t.Run("that was changed is damaged", func(t *testing.T) {
		t.Parallel()
		plain := unpack(t, data)
		i := bytes.Index(plain, []byte(`{"count":0}`))
		if i < 0 {
			i = bytes.Index(plain, []byte("increment"))
		}
		require.Positive(t, i)
		plain[i+2] ^= 1
		_, err := file.Read(bytes.NewReader(pack(t, plain)))
		require.ErrorIs(t, err, file.ErrDamaged)
	})
	t.Run("of something else is damaged", func(t *testing.T) {
		t.Parallel()
		for _, other := range [][]byte{nil, []byte("no"), pack(t, []byte(strings.Repeat("x", 100)))} {
			_, err := file.Read(bytes.NewReader(other))
			require.ErrorIs(t, err, file.ErrDamaged)
		}
	})
}

func TestExport_UpToAPoint(t *testing.T) {
	t.Parallel()
	data, want := exported(t, file.Options{To: replay.Point{Number: 12}})
	h, err := file.Read(bytes.NewReader(data))
	require.NoError(t, err)
	require.Equal(t, want[:12], entries(t, replay.NewReader(h, replay.Options{})))
}

func TestExport_OfNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := actortest.New(t, counter.Register)
		log := w.Cluster.Client()
		defer log.Close()
		_, err := file.Export(t.Context(), new(bytes.Buffer), replay.NewReader(log, replay.Options{}), hash, file.Options{})
		require.ErrorIs(t, err, file.ErrUnknown)
	})
}

func unpack(t *testing.T, b []byte) []byte {
	t.Helper()
	d, err := zstd.NewReader(nil)
	require.NoError(t, err)
	defer d.Close()
	plain, err := d.DecodeAll(b, nil)
	require.NoError(t, err)
	return plain
}

func pack(t *testing.T, b []byte) []byte {
	t.Helper()
	e, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	return e.EncodeAll(b, nil)
}
