package archive

import (
	"context"
	"net/http"

	"github.com/actorlog/actorlog/internal/respond"
)

// Handler has operators fill an archive: a POST archives what is not archived yet, as Log.Copy does. It answers a line of JSON for each shard, and a summary; an error after the first line
// is a line, too, of type error. The directory is the archive's: a client does not name one. One request is served at a time, others are answered 429. It ends when its
// client goes away, and what was told of is archived. It asks nobody who may: mount it where only operators come, as gateways do at /admin/archive.
func Handler(l *Log) http.Handler {
	var one respond.One
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leave, ok := one.Enter()
		if !ok {
			respond.Fail(w, http.StatusTooManyRequests, "history", "under_way", "this process is archiving already: try again when that is over, or end it")
			return
		}
		defer leave()
		lines := respond.NewLines(w)
		defer lines.Close()
		ctx, gone := context.WithCancelCause(r.Context())
		defer gone(nil)
		sum := struct {
			Type    string `json:"type"`
			Shards  int    `json:"shards"`
			Records int64  `json:"records"`
			Bytes   int64  `json:"bytes"`
			Written int64  `json:"written"`
			Files   int    `json:"files"`
		}{Type: "summary"}
		err := l.Copy(ctx, Options{}, func(did Copied) {
			sum.Shards++
			sum.Records, sum.Bytes, sum.Written, sum.Files = sum.Records+did.Records, sum.Bytes+did.Bytes, sum.Written+did.Written, sum.Files+did.Files
			if err := lines.Encode(struct {
				Type string `json:"type"`
				Copied
			}{"shard", did}); err != nil {
				gone(err)
			}
		})
		if err != nil {
			lines.Fail(http.StatusInternalServerError, "history", "failed", err.Error())
			return
		}
		_ = lines.Encode(sum) // the client is gone
	})
}
