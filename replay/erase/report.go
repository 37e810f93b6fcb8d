package erase

import (
	"fmt"
	"time"

	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/eventlog/sealed"
	"github.com/actorlog/actorlog/projection"
)

// Report is what there is of an actor, and what was done about it. Its lists are never nil.
type Report struct {
	ActorID   string   `json:"actorId"`
	Namespace string   `json:"namespace"`
	Kind      string   `json:"kind"`
	Key       []string `json:"key"`
	// Done is nil when nothing was erased.
	Done *Done `json:"done,omitempty"`
	// Kept is what topics and local stores have, as it is kept: the latter by their directories.
	Kept []Kept `json:"kept"`
	// Keys of the actor.
	Keys Keys `json:"keys"`
	// Tables of the projection; none if there is no projection.
	Tables []projection.Remains `json:"tables"`
	// Left is why something of the actor can be read yet, for whoever is to do something about it. An erasure is complete if it is empty. Of a report without an erasure it is
	// what one would leave.
	Left []string `json:"left"`
	// Awaits is what cannot be read any more, or not without the master key, and stays on disks for a while.
	Awaits []string `json:"awaits"`
}

// Done is what an erasure did.
type Done struct {
	// Destroyed are the positions of the events that say so: one before the keys were retired, one after.
	Destroyed []string `json:"destroyed"`
	// Keys that were destroyed, and when.
	Keys int       `json:"keys"`
	Time time.Time `json:"time"`
}

// Kept is what a place has of the actor, in records.
type Kept struct {
	Place   string `json:"place"`
	Records int    `json:"records"`
	// Empty have nothing that belongs to users, Erased are sealed with a key that was destroyed, Sealed with one that lives. Plain can be read by anybody who may read the place.
	Empty  int `json:"empty"`
	Erased int `json:"erased"`
	Sealed int `json:"sealed"`
	Plain  int `json:"plain"`
	// Canary is how many of them have the text that was looked for. Elsewhere is how many entries of a local store have it that are not the actor's.
	Canary    int `json:"canary"`
	Elsewhere int `json:"elsewhere"`
	// Awaiting is how many were replaced, and await compaction.
	Awaiting int `json:"awaiting"`
}

// Keys of an actor.
type Keys struct {
	// Records of keys that stand in the topic, living ones among them, and those that await compaction.
	Records  int `json:"records"`
	Living   int `json:"living"`
	Awaiting int `json:"awaiting"`
}

func (r *Report) take(places []sealed.Place) {
	for _, p := range places {
		if p.Topic == eventlog.Keys {
			r.Keys = Keys{Records: p.Records, Living: p.Plain, Awaiting: p.Awaiting}
			continue
		}
		r.Kept = append(r.Kept, keptOf(p.Topic.String(), p))
	}
}

func keptOf(place string, p sealed.Place) Kept {
	return Kept{Place: place, Records: p.Records, Empty: p.Empty, Erased: p.Erased, Sealed: p.Sealed, Plain: p.Plain, Canary: p.Canary, Awaiting: p.Awaiting}
}

func (r *Report) left(format string, args ...any) {
	r.Left = append(r.Left, fmt.Sprintf(format, args...))
}
func (r *Report) awaits(format string, args ...any) {
	r.Awaits = append(r.Awaits, fmt.Sprintf(format, args...))
}

// records that topics have of the actor.
func (r *Report) records() int {
	n := r.Keys.Records
	for _, k := range r.Kept {
		n += k.Records
	}
	return n
}

// sealed says whether any of them ever was.
func (r *Report) sealed() bool {
	n := r.Keys.Records
	for _, k := range r.Kept {
		n += k.Sealed + k.Erased
	}
	return n > 0
}

// judge fills in what is left. stores is the number of Kept that are local stores, at the end.
func (r *Report) judge(stores int) {
	for i, k := range r.Kept {
		store := i >= len(r.Kept)-stores
		switch {
		case k.Plain > 0 && store:
			r.left("%d records in the local store in %s are not sealed: end its worker, delete the directory, which is a cache, and start it again", k.Plain, k.Place)
		case k.Plain > 0:
			r.left("%d records in %s were written before its kind was sealed, or not by us: everybody who may read the topic can read them", k.Plain, k.Place)
		}
		if k.Canary > 0 {
			r.left("the canary is in %d records of %s", k.Canary, k.Place)
		}
		if k.Elsewhere > 0 {
			r.awaits("The canary is in %d entries of other actors in %s: what has left the actor is not its own any more, and has to be erased there.", k.Elsewhere, k.Place)
		}
	}
	erased := r.Done != nil
	for _, k := range r.Kept {
		erased = erased || k.Erased > 0
	}
	switch {
	case r.Keys.Awaiting > 0:
		r.awaits("%d wrapped keys stay on the disks of the brokers until they compact the topic, which they do when something is written to its partition an hour later (never, with the embedded broker). "+
			"Until then, who has them and the master key could unseal what was sealed; actorlog rekey to a new master key ends that as well.", r.Keys.Awaiting)
	case erased:
		r.awaits("0 wrapped keys stay on the disks of the brokers.")
	}
	if r.Done == nil {
		return
	}
	for _, t := range r.Tables {
		if t.Open > 0 {
			r.left("%d rows of %s in ClickHouse have contents", t.Open, t.Table)
		}
		if t.Canary > 0 {
			r.left("the canary is in %d rows of the actor in %s in ClickHouse", t.Canary, t.Table)
		}
		if t.Elsewhere > 0 {
			r.awaits("The canary is in %d other rows of %s in ClickHouse: what has left the actor is not its own any more, and has to be erased there.", t.Elsewhere, t.Table)
		}
		if t.Detached > 0 {
			r.left("%d detached parts of %s in ClickHouse cannot be looked into: drop them (ALTER TABLE ... DROP DETACHED PART)", t.Detached, t.Table)
		}
		if t.Replaced > 0 {
			r.awaits("%d replaced parts of %s in ClickHouse cannot be queried and may have what was there; the server deletes them within %v.", t.Replaced, t.Table, time.Duration(t.ReplacedFor)*time.Second)
		}
	}
}
