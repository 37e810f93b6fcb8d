package machine_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/internal/seed"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

func TestFence(t *testing.T) {
	t.Parallel()
	claim := func(renews ...int64) *actorlogv1.Claim {
		c := new(actorlogv1.Claim)
		if len(renews) > 0 {
			c.RenewsEpoch = proto.Int64(renews[0])
		}
		return c
	}

	t.Run("nothing counts before the first claim", func(t *testing.T) {
		t.Parallel()
		f := machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
		require.Equal(t, machine.NoEpoch, f.Epoch())
		for _, epoch := range []int64{machine.NoEpoch, 0, 1} {
			require.False(t, f.Admits(epoch, schemas.NoPlace))
		}
	})
	t.Run("the epoch is the claim's offset", func(t *testing.T) {
		t.Parallel()
		f := machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
		require.EqualValues(t, 0, f.Claim(0, claim()))
		require.True(t, f.Admits(0, schemas.NoPlace))
		require.EqualValues(t, 7, f.Claim(7, claim()))
		require.True(t, f.Admits(7, schemas.NoPlace))
		require.False(t, f.Admits(0, schemas.NoPlace))
		require.False(t, f.Admits(8, schemas.NoPlace))
	})
	t.Run("a renewal brings no epoch back", func(t *testing.T) {
		t.Parallel()
		f := machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
		f.Claim(0, claim())
		f.Claim(7, claim())
		require.EqualValues(t, 0, f.Claim(9, claim(0)))
		require.EqualValues(t, 7, f.Epoch())
		require.EqualValues(t, 7, f.Claim(10, claim(7)))
		require.True(t, f.Admits(7, schemas.NoPlace))
		require.False(t, f.Admits(0, schemas.NoPlace))
	})
	t.Run("a renewal tells a reader who starts in the middle", func(t *testing.T) {
		t.Parallel()
		f := machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
		require.False(t, f.Admits(7, schemas.NoPlace))
		f.Claim(500, claim(7))
		require.True(t, f.Admits(7, schemas.NoPlace))
	})
	t.Run("nobody renews a claim that is not made yet", func(t *testing.T) {
		t.Parallel()
		f := machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
		f.Claim(0, claim())
		f.Claim(5, claim(6))
		require.EqualValues(t, 0, f.Epoch())
		require.False(t, f.Admits(6, schemas.NoPlace))
	})
	t.Run("what follows on a record that was lost is void", func(t *testing.T) {
		t.Parallel()
		f := machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
		f.Claim(10, claim())
		require.True(t, f.Admits(10, 11))
		require.True(t, f.Admits(10, 12), "wherever it stands: somebody else may have written before it")
		require.False(t, f.Admits(10, 14), "13 was lost")
		require.False(t, f.Admits(10, 15))
		require.False(t, f.Admits(10, 12), "a copy")
		require.True(t, f.Certain())
		f.Claim(20, claim())
		require.False(t, f.Admits(10, 13))
		require.True(t, f.Admits(20, 21))

		f = machine.NewFence(10, 0, 12) // from a checkpoint
		require.False(t, f.Admits(10, 12))
		require.False(t, f.Admits(10, 14))
		require.True(t, f.Admits(10, 13))
	})
	t.Run("who starts in the middle waits until a renewal says that nothing was lost before", func(t *testing.T) {
		t.Parallel()
		renewal := func(place, confirmed int64) *actorlogv1.Claim {
			c := claim(10)
			c.Place, c.Confirmed = proto.Int64(place), proto.Int64(confirmed)
			return c
		}
		f := machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
		f.Claim(500, renewal(500, 490)) // 491 to 499 were under way: one of them may be lost
		require.False(t, f.Certain())
		require.False(t, f.Admits(10, 501))
		require.False(t, f.Admits(10, 502))
		f.Claim(503, renewal(503, 499))
		require.True(t, f.Certain())
		require.True(t, f.Admits(10, 504))

		f = machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
		f.Claim(500, renewal(500, 490))
		f.Admits(10, 501)
		f.Admits(10, 503) // 502 was lost
		f.Claim(504, renewal(504, 501))
		require.False(t, f.Certain(), "its writer will never confirm 502")
		f.Claim(510, claim())
		require.True(t, f.Admits(510, 511))
	})
	t.Run("a claim of an older version is void", func(t *testing.T) {
		t.Parallel()
		of2 := func(version uint64, renews ...int64) *actorlogv1.Claim {
			c := claim(renews...)
			c.Version = version
			return c
		}
		f := machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
		f.Claim(0, of2(2))
		f.Claim(7, of2(1))
		require.EqualValues(t, 0, f.Epoch())
		require.EqualValues(t, 2, f.Version())
		require.False(t, f.Admits(7, schemas.NoPlace))
		f.Claim(9, of2(3))
		require.True(t, f.Admits(9, schemas.NoPlace))

		// A reader who starts in the middle may meet the void claim first; the owner's renewal, whose epoch is lower, sets it right.
		f = machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
		f.Claim(7, of2(1))
		require.True(t, f.Admits(7, schemas.NoPlace))
		f.Claim(10, of2(2, 0))
		require.True(t, f.Admits(0, schemas.NoPlace))
		require.False(t, f.Admits(7, schemas.NoPlace))

		f = machine.NewFence(4, 2, schemas.NoPlace)
		f.Claim(12, of2(1))
		require.EqualValues(t, 4, f.Epoch())
	})
	t.Run("from a checkpoint", func(t *testing.T) {
		t.Parallel()
		f := machine.NewFence(7, 0, schemas.NoPlace)
		require.True(t, f.Admits(7, schemas.NoPlace))
		f.Claim(9, claim(3))
		require.True(t, f.Admits(7, schemas.NoPlace))
	})
}

// All readers agree on what counts, wherever they begin, over any interleaving of owners and of
// zombies who do not know that they were replaced:
//
//   - one from the beginning, against a dumb model that knows who the owner is;
//   - one from a checkpoint, that is a place and the epoch in force there;
//   - one from anywhere, who reads back ReadBack and knows nothing.
//
// The last needs that owners renew their claim within RenewEvery offsets, whoever wrote them.
func TestFence_AllReadersAgree(t *testing.T) {
	t.Parallel()
	seed := seed.New(t)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 20 {
		checkFence(t, r)
	}
}

func checkFence(t *testing.T, r *rand.Rand) {
	t.Helper()
	type written struct {
		claim   *actorlogv1.Claim
		outcome *actorlogv1.Outcome
		counts  bool
	}
	var log []written
	var zombies []int64 // epochs
	owner, said := machine.NoEpoch, int64(0)
	churn := 1 + r.IntN(1500) // how seldom the owner changes
	for range 3000 + r.IntN(4000) {
		at := int64(len(log))
		switch {
		case owner == machine.NoEpoch || r.IntN(churn) == 0:
			if owner != machine.NoEpoch {
				zombies = append(zombies, owner)
			} else if r.IntN(2) == 0 && len(log) < 3000 {
				// Somebody writes without a claim.
				log = append(log, written{outcome: &actorlogv1.Outcome{Epoch: int64(r.IntN(10)) - 1}})
				continue
			}
			owner, said = at, at
			log = append(log, written{claim: new(actorlogv1.Claim)})
		case at-said >= machine.RenewEvery-1 || r.IntN(400) == 0:
			said = at
			log = append(log, written{claim: &actorlogv1.Claim{RenewsEpoch: proto.Int64(owner)}})
		case len(zombies) > 0 && r.IntN(3) == 0:
			z := zombies[r.IntN(len(zombies))]
			if r.IntN(20) == 0 {
				log = append(log, written{claim: &actorlogv1.Claim{RenewsEpoch: proto.Int64(z)}})
			} else {
				log = append(log, written{outcome: &actorlogv1.Outcome{Epoch: z}})
			}
		case r.IntN(100) == 0:
			// A forger who guesses epochs to come.
			log = append(log, written{claim: &actorlogv1.Claim{RenewsEpoch: proto.Int64(at + 1 + int64(r.IntN(5)))}})
		default:
			log = append(log, written{outcome: &actorlogv1.Outcome{Epoch: owner}, counts: true})
		}
	}
	read := func(f machine.Fence, from, judgeFrom int) {
		for i := from; i < len(log); i++ {
			before := f.Epoch()
			if log[i].claim != nil {
				f.Claim(int64(i), log[i].claim)
			} else if i >= judgeFrom {
				// require for each of millions would take seconds.
				if log[i].counts != f.Admits(log[i].outcome.Epoch, schemas.NoPlace) {
					require.Fail(t, "a reader disagrees", "at %d, read from %d", i, from)
				}
			}
			if f.Epoch() < before {
				require.Fail(t, "the epoch went back", "at %d", i)
			}
		}
	}
	read(machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace), 0, 0)
	for range 10 {
		start := r.IntN(len(log))
		read(machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace), max(0, start-machine.ReadBack), start)

		f := machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
		for i := range start {
			if log[i].claim != nil {
				f.Claim(int64(i), log[i].claim)
			}
		}
		read(machine.NewFence(f.Epoch(), 0, schemas.NoPlace), start, start)
	}
}
