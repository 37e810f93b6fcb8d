package machine_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/internal/seed"
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
	of := func(epoch int64) *actorlogv1.Outcome { return &actorlogv1.Outcome{Epoch: epoch} }

	t.Run("nothing counts before the first claim", func(t *testing.T) {
		t.Parallel()
		f := machine.NewFence(machine.NoEpoch)
		require.Equal(t, machine.NoEpoch, f.Epoch())
		for _, epoch := range []int64{machine.NoEpoch, 0, 1} {
			require.False(t, f.Admits(of(epoch)))
		}
	})
	t.Run("the epoch is the claim's offset", func(t *testing.T) {
		t.Parallel()
		f := machine.NewFence(machine.NoEpoch)
		require.EqualValues(t, 0, f.Claim(0, claim()))
		require.True(t, f.Admits(of(0)))
		require.EqualValues(t, 7, f.Claim(7, claim()))
		require.True(t, f.Admits(of(7)))
		require.False(t, f.Admits(of(0)))
		require.False(t, f.Admits(of(8)))
	})
	t.Run("a renewal brings no epoch back", func(t *testing.T) {
		t.Parallel()
		f := machine.NewFence(machine.NoEpoch)
		f.Claim(0, claim())
		f.Claim(7, claim())
		require.EqualValues(t, 0, f.Claim(9, claim(0)))
		require.EqualValues(t, 7, f.Epoch())
		require.EqualValues(t, 7, f.Claim(10, claim(7)))
		require.True(t, f.Admits(of(7)))
		require.False(t, f.Admits(of(0)))
	})
	t.Run("a renewal tells a reader who starts in the middle", func(t *testing.T) {
		t.Parallel()
		f := machine.NewFence(machine.NoEpoch)
		require.False(t, f.Admits(of(7)))
		f.Claim(500, claim(7))
		require.True(t, f.Admits(of(7)))
	})
	t.Run("nobody renews a claim that is not made yet", func(t *testing.T) {
		t.Parallel()
		f := machine.NewFence(machine.NoEpoch)
		f.Claim(0, claim())
		f.Claim(5, claim(6))
		require.EqualValues(t, 0, f.Epoch())
		require.False(t, f.Admits(of(6)))
	})
	t.Run("from a checkpoint", func(t *testing.T) {
		t.Parallel()
		f := machine.NewFence(7)
		require.True(t, f.Admits(of(7)))
		f.Claim(9, claim(3))
		require.True(t, f.Admits(of(7)))
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
				if log[i].counts != f.Admits(log[i].outcome) {
					require.Fail(t, "a reader disagrees", "at %d, read from %d", i, from)
				}
			}
			if f.Epoch() < before {
				require.Fail(t, "the epoch went back", "at %d", i)
			}
		}
	}
	read(machine.NewFence(machine.NoEpoch), 0, 0)
	for range 10 {
		start := r.IntN(len(log))
		read(machine.NewFence(machine.NoEpoch), max(0, start-machine.ReadBack), start)

		f := machine.NewFence(machine.NoEpoch)
		for i := range start {
			if log[i].claim != nil {
				f.Claim(int64(i), log[i].claim)
			}
		}
		read(machine.NewFence(f.Epoch()), start, start)
	}
}
