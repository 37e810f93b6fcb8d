package web_test

import (
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/web"
)

// The gateway's answer, which is what requests get that are not for a page.
const banner = "the gateway"

func get(t *testing.T, method, target, accept string) (*http.Response, string) {
	t.Helper()
	h := web.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, banner) }))
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), w.Body.String()
}

const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

func TestHandler(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, method, target, accept, contains string
	}{
		{"a browser gets the index", "GET", "/", browser, "<title>actorlog</title>"},
		{"a browser gets pages", "GET", "/examples/chat/", browser, "<title>Chat - actorlog</title>"},
		{"a module is no HTML", "GET", "/examples/actorlog.js", "*/*", "export function connect"},
		{"curl gets the banner", "GET", "/", "*/*", banner},
		{"a program that accepts nothing gets the banner", "GET", "/", "", banner},
		{"a POST is the gateway's", "POST", "/", browser, banner},
		{"actors are the gateway's", "GET", "/actors/counter/org/42/state", browser, banner},
		{"empty parts of a path are the gateway's", "GET", "/actors/counter//x", browser, banner},
		{"an actor called examples is the gateway's", "GET", "/actors/examples/chat/", browser, banner},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			res, body := get(t, c.method, c.target, c.accept)
			require.Equal(t, http.StatusOK, res.StatusCode)
			require.Contains(t, body, c.contains)
		})
	}
}

func TestHandler_ModulesAreScripts(t *testing.T) {
	t.Parallel()
	res, _ := get(t, http.MethodGet, "/examples/actorlog.js", "*/*")
	require.Equal(t, "text/javascript; charset=utf-8", res.Header.Get("Content-Type"))
	res, _ = get(t, http.MethodGet, "/examples/no-such-page", browser)
	require.Equal(t, http.StatusNotFound, res.StatusCode)
}

var links = regexp.MustCompile(`(?:href|src)="([^"#]+)"|from '([^']+)'`)

// Every link on a page and every import of a module leads somewhere, and the content policy
// lets all of it in: nothing comes from elsewhere, nothing is inline.
func TestHandler_LinksLead(t *testing.T) {
	t.Parallel()
	inline := regexp.MustCompile(`<style|<script>|\sstyle=|\son[a-z]+=`)
	pages := 0
	err := fs.WalkDir(os.DirFS("static"), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !(strings.HasSuffix(path, ".html") || strings.HasSuffix(path, ".js")) {
			return err
		}
		pages++
		at, err := url.Parse("/examples/" + strings.TrimSuffix(path, "index.html"))
		require.NoError(t, err)
		res, body := get(t, http.MethodGet, at.Path, browser)
		require.Equal(t, http.StatusOK, res.StatusCode, path)
		require.NotRegexp(t, inline, body, path)
		for _, m := range links.FindAllStringSubmatch(body, -1) {
			link, err := at.Parse(m[1] + m[2])
			require.NoError(t, err)
			if link.Host != "" {
				require.True(t, strings.HasPrefix(m[0], "href"), "%s loads %s", path, link)
				continue
			}
			res, answer := get(t, http.MethodGet, link.Path, browser)
			require.Equal(t, http.StatusOK, res.StatusCode, "%s links to %s", path, link)
			require.NotEqual(t, banner, answer, "%s links to %s", path, link)
		}
		return nil
	})
	require.NoError(t, err)
	require.GreaterOrEqual(t, pages, 6)
}
