package actor_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Berlin skips from 2:00 to 3:00 on 29 March 2026, and has the hour from 2:00 to 3:00 twice on 25 October.
func TestCronThroughChangesOfTheClock(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		expression, after string
		want              []string // UTC
	}{
		"a time that is left out waits for the next day": {
			"30 2 * * *", "2026-03-27T12:00:00Z", []string{"2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"},
		},
		"a time after the change is an hour sooner": {
			"30 3 * * *", "2026-03-27T12:00:00Z", []string{"2026-03-28T02:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T01:30:00Z"},
		},
		"every hour is every hour in spring": {
			"0 * * * *", "2026-03-28T23:30:00Z", []string{"2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"},
		},
		"a time that comes twice": {
			"30 2 * * *", "2026-10-24T12:00:00Z", []string{"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"},
		},
		"every hour is every hour in autumn": {
			"0 * * * *", "2026-10-24T23:30:00Z", []string{"2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"},
		},
		"midnight stays midnight": {
			"@daily", "2026-10-24T12:00:00Z", []string{"2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at, err := time.Parse(time.RFC3339, test.after)
			require.NoError(t, err)
			var got []string
			for range test.want {
				ms, err := actor.NextTime(&actorlogv1.Schedule{Cron: test.expression, TimeZone: "Europe/Berlin"}, at.UnixMilli())
				require.NoError(t, err)
				at = time.UnixMilli(ms)
				got = append(got, at.UTC().Format(time.RFC3339))
			}
			require.Equal(t, test.want, got)
		})
	}
}
