package admin_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/internal/admin"
)

const first, second = "the-first-token-of-all", "the-second-token-of-all"

func asks(authorization string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/admin", nil)
	r.Header.Set("Authorization", authorization)
	return r
}

// The new token is added, given out, and the old one is taken away: whoever has either of them is let in meanwhile.
func TestTokensAreRotated(t *testing.T) {
	t.Parallel()
	tokens, err := admin.Parse("# since May\n" + first + "\n\n" + second + "\n")
	require.NoError(t, err)
	require.Len(t, tokens, 2)
	require.True(t, tokens.Allow(asks("Bearer "+first)))
	require.True(t, tokens.Allow(asks("bearer  "+second+" ")))
	tokens, err = admin.Parse(second)
	require.NoError(t, err)
	require.False(t, tokens.Allow(asks("Bearer "+first)))
	require.True(t, tokens.Allow(asks("Bearer "+second)))
}

func TestOthersAreNotLetIn(t *testing.T) {
	t.Parallel()
	for _, given := range []string{"", "Bearer", "Bearer ", "Basic " + first, first, "Bearer " + first[1:], "Bearer " + first + "x", "Bearer " + first + " " + second} {
		require.False(t, admin.Tokens{first, second}.Allow(asks(given)), given)
	}
	require.False(t, admin.Tokens{""}.Allow(asks("Bearer ")), "the token of an empty file")
	require.False(t, admin.Tokens(nil).Allow(asks("Bearer ")))
}

func TestBadTokensAreRefusedWithoutBeingNamed(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "\n# only this\n", "short", first + "\nshort", strings.Repeat("\u00e9", 20), "two words of a token"} {
		_, err := admin.Parse(text)
		require.Error(t, err, "%q", text)
		require.NotContains(t, err.Error(), "short")
		require.NotContains(t, err.Error(), "words")
	}
}
