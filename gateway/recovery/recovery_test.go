package recovery_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/gateway/recovery"
	"github.com/actorlog/actorlog/schemas"
)

func at(offset int64) schemas.Position { return schemas.Position{Partition: 3, Offset: offset} }

func TestCursor(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]recovery.Cursor{
		"3:0":                   {Position: at(0)},
		"3:17":                  {Position: at(17)},
		"3:17.1":                {Position: at(17), Index: 1},
		"3:17.2147483646":       {Position: at(17), Index: recovery.End - 1},
		"3:17.end":              recovery.After(at(17)),
		"3:9223372036854775807": {Position: at(1<<63 - 1)},
	} {
		got, err := recovery.Parse(text, 3)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
		require.Equal(t, text, got.String())
	}
	for _, text := range []string{
		"", ":", "3", "3:", ":17", "3:-1", "-3:17", "3:17.", "3:17.0", "3:17.01", "3:17.-1", "3:17.x", "3:17.End",
		"3:17.2147483647", "3:17.99999999999", "03:17", "3:017", " 3:17", "3:17 ", "3:17.1.1", "4:17", "3:9223372036854775808",
		"2147483648:1", "\x00", "3:17\n", "3:1e3",
	} {
		_, err := recovery.Parse(text, 3)
		require.ErrorIs(t, err, recovery.ErrCursor, "%q", text)
	}
}

func TestResume(t *testing.T) {
	t.Parallel()
	t.Run("FreshStartsLive", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, recovery.Plan{Start: recovery.After(at(9))}, recovery.Fresh(at(9)))
	})
	t.Run("RereadsAnOutcomeThatMayHoldMore", func(t *testing.T) {
		t.Parallel()
		p := recovery.Resume(recovery.Cursor{Position: at(5), Index: 1}, at(9), at(9))
		require.Equal(t, recovery.Plan{
			Start: recovery.Cursor{Position: at(5), Index: 1}, Recovered: true, History: true, From: at(4), To: at(9),
		}, p)
	})
	t.Run("FromTheFirstOffset", func(t *testing.T) {
		t.Parallel()
		p := recovery.Resume(recovery.Cursor{Position: at(0)}, at(0), at(0))
		require.True(t, p.History)
		require.Equal(t, at(-1), p.From)
	})
	t.Run("NothingMissedReadsNothing", func(t *testing.T) {
		t.Parallel()
		p := recovery.Resume(recovery.After(at(9)), at(9), at(9))
		require.True(t, p.Recovered)
		require.False(t, p.History)
	})
	t.Run("WatchBehindTheCursor", func(t *testing.T) {
		t.Parallel()
		// Another gateway was ahead of this one. What the watch shows again is not passed on.
		p := recovery.Resume(recovery.After(at(9)), at(9), at(7))
		require.True(t, p.Recovered)
		require.False(t, p.History)
		m := recovery.NewMerger(p.Start)
		require.Equal(t, 2, m.Take(at(8), 2))
		require.Equal(t, 2, m.Take(at(9), 2))
		require.Equal(t, 0, m.Take(at(10), 2))
	})
	t.Run("CursorOfAnotherLogIsToldPlainly", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, recovery.Fresh(at(9)), recovery.Resume(recovery.After(at(100)), at(9), at(9)))
	})
}

// A subscriber that goes away after any broadcast and comes back, as often as it likes,
// while outcomes are written and its watch and its history overlap or not, gets every
// broadcast once and in order.
func TestMergerExactlyOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 1))
		type outcome struct{ offset, broadcasts int }
		var log []outcome // of this actor; others' outcomes are the holes between offsets
		var want, got []string
		end := 0
		write := func() {
			for range rng.IntN(3) {
				end += rng.IntN(3)
				o := outcome{end, rng.IntN(4)}
				end++
				log = append(log, o)
				for i := range o.broadcasts {
					want = append(want, fmt.Sprintf("%d/%d", o.offset, i))
				}
			}
		}
		cursor := recovery.After(at(-1))
		for round := range 11 {
			write()
			known := at(int64(end) - 1)
			write()
			live := at(int64(end) - 1)
			plan := recovery.Resume(cursor, known, live)
			require.True(t, plan.Recovered, "seed %d", seed)
			m := recovery.NewMerger(plan.Start)
			write()
			budget := rng.IntN(6) // the connection breaks after that many broadcasts
			if round == 10 {
				budget = len(want) // the last one holds
			}
			take := func(o outcome) {
				for i := m.Take(at(int64(o.offset)), o.broadcasts); i < o.broadcasts && budget > 0; i++ {
					budget--
					cursor = recovery.Cursor{Position: at(int64(o.offset)), Index: i}
					got = append(got, fmt.Sprintf("%d/%d", o.offset, i))
				}
			}
			if plan.History {
				for _, o := range log {
					if int64(o.offset) > plan.From.Offset && int64(o.offset) <= plan.To.Offset {
						take(o)
					}
				}
			}
			overlap := int64(rng.IntN(3)) // what history has shown may be in the buffer too
			for _, o := range log {
				if int64(o.offset) > live.Offset-overlap {
					take(o)
				}
			}
			if cursor.Position.Offset >= 0 { // what the subscriber keeps is the text
				lastID := cursor.String()
				var err error
				cursor, err = recovery.Parse(lastID, 3)
				require.NoError(t, err)
			}
		}
		require.Equal(t, want, got, "seed %d", seed)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"3:17", "3:17.1", "3:17.end", "", "3:17.0", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := recovery.Parse(text, 3); err == nil && c.String() != text {
			t.Fatalf("%q and %q are the same cursor", text, c)
		}
	})
}
