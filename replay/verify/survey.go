package verify

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// survey reads the log once: which actors there are that are wanted, if some are to be chosen, and what was answered to calls.
func survey(ctx context.Context, r *replay.Reader, sample int, seed uint64, wanted func(*actorlogv1.Actor) bool) (*surveyedAnswers, map[schemas.Hash]bool, error) {
	all := &surveyedAnswers{src: r.Source(), calls: make(map[caller]map[call][]answer), whole: true}
	found := make(map[schemas.Hash]bool)
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for p := range r.Source().Partitions() {
		group.Go(func() error {
			start, end, err := r.Source().Bounds(ctx, eventlog.Events, p)
			if err != nil {
				return fmt.Errorf("asking for the bounds of events[%d]: %w", p, err)
			}
			mu.Lock()
			all.whole = all.whole && start == 0
			mu.Unlock()
			fence := machine.NewFence(machine.NoEpoch, 0, schemas.NoPlace)
			return eventlog.Scan(ctx, r.Source(), eventlog.Events, p, start, end, func(rec *eventlog.Record) error {
				t := schemas.Type(rec.Header(schemas.HeaderType))
				if t == schemas.TypeClaim {
					if claim, err := schemas.DecodeAs[*actorlogv1.Claim](t, rec.Value); err == nil {
						fence.Claim(rec.Offset, claim)
					}
					return nil
				}
				hash, ok := schemas.ParseHash(rec.Key)
				if (t != schemas.TypeOutcome && t != schemas.TypeStep) || !fence.Admits(schemas.PlaceOf(rec.Value)) || !ok || t == schemas.TypeStep {
					return nil
				}
				called := hasOrigin(rec.Value)
				if sample <= 0 && !called {
					return nil
				}
				o, err := schemas.DecodeAs[*actorlogv1.Outcome](t, rec.Value)
				mu.Lock()
				defer mu.Unlock()
				if sample > 0 && (err != nil || wanted(o.Actor)) {
					found[hash] = true
				}
				if called && err == nil {
					all.take(hash, o)
				}
				return nil
			})
		})
	}
	if err := group.Wait(); err != nil || sample <= 0 {
		return all, nil, err
	}
	return all, choose(found, sample, seed), nil
}

// choose takes the n actors that come first in an order that the seed makes.
func choose(found map[schemas.Hash]bool, n int, seed uint64) map[schemas.Hash]bool {
	list := make([]schemas.Hash, 0, len(found))
	for hash := range found {
		list = append(list, hash)
	}
	rank := func(h schemas.Hash) uint64 {
		x := seed
		for _, b := range h {
			x = (x ^ uint64(b)) * 1099511628211
			x ^= x >> 29
		}
		return x
	}
	slices.SortFunc(list, func(a, b schemas.Hash) int { return cmp.Compare(rank(a), rank(b)) })
	chosen := make(map[schemas.Hash]bool, n)
	for _, hash := range list[:min(n, len(list))] {
		chosen[hash] = true
	}
	return chosen
}
