package sim

import (
	"fmt"
	"strings"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/eventlog"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// dump is the events of one actor's shard as far as they concern it, for whoever looks for the reason.
func (r *run) dump(key string) string {
	var b strings.Builder
	client := r.cluster.Client()
	defer client.Close()
	hash := schemas.HashOf(actor.DefaultNamespace, "node", []string{key})
	for _, record := range r.cluster.Records(eventlog.Events, hash.Shard(client.Partitions())) {
		m, err := schemas.Decode(schemas.Type(record.Header(schemas.HeaderType)), record.Value)
		if err != nil {
			continue
		}
		found, _ := schemas.ParseHash(record.Key)
		switch m := m.(type) {
		case *actorlogv1.Claim:
			fmt.Fprintf(&b, "@%d claim of %s, renews %v\n", record.Offset, m.Worker, m.RenewsEpoch)
		case *actorlogv1.Outcome:
			if found == hash {
				fmt.Fprintf(&b, "@%d ref %d epoch %d place %d %s: error %v origin %v repeats %v refused %v sends %d state %.80s patch %.200s\n",
					record.Offset, m.Ref, m.Epoch, m.GetPlace(), m.GetAction().GetRequestId(), m.GetError().GetCode(), m.GetAction().GetOrigin(), m.Repeats, m.RefusedSince, len(m.Sends), m.StateJson, m.PatchJson)
			}
		case *actorlogv1.Step:
			if found == hash {
				fmt.Fprintf(&b, "@%d step %d of ref %d epoch %d\n", record.Offset, m.Number, m.Ref, m.Epoch)
			}
		}
	}
	return b.String()
}
