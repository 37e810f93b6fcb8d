package replay

import (
	"context"
	"errors"

	"github.com/actorlog/actorlog/actors/machine"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Heads is every actor of a partition after its last event, those that live no more too: from their snapshots, where there are any, and what was written
// since. It holds them all in memory. ErrGone when a snapshot cannot be read and what it was made of is not kept.
func (r *Reader) Heads(ctx context.Context, partition int32) (map[schemas.Hash]machine.Actor, error) {
	f := folds{actors: make(map[schemas.Hash]machine.Actor)}
	mark, err := r.Checkpoint(ctx, partition)
	if err != nil {
		return nil, err
	}
	if mark == nil {
		for m, err := range r.FoldShard(ctx, partition, 0, nil) {
			if err != nil {
				return nil, err
			}
			f.actors[m.Hash] = m.After
		}
		return f.actors, nil
	}
	err = r.latestSnapshots(ctx, partition, func(hash schemas.Hash, snapshot *actorlogv1.Snapshot, err error) error {
		delete(f.actors, hash)
		if err == nil && snapshot != nil {
			f.actors[hash], err = machine.Restore(hash, snapshot)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	gone := make(map[schemas.Hash]error)
	err = r.since(ctx, partition, mark, nil, func(e *Event) error {
		if _, ok := f.fold(e); ok {
			delete(gone, e.Hash)
		} else {
			gone[e.Hash] = f.gone
		}
		return nil
	})
	for _, why := range gone {
		err = errors.Join(err, why)
	}
	return f.actors, err
}
