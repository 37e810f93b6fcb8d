// Package web is a browser client without dependencies (static/actorlog.js), and pages that show the
// example actors with it.
package web

import (
	"embed"
	"io/fs"
	"net/http"
	"strings"
)

//go:embed static
var embedded embed.FS

// prefix of the paths of all pages but the index, and of what they load.
const prefix = "/examples/"

// Handler serves the pages below /examples/, and their index at / to whoever accepts HTML.
// All other requests are next's.
func Handler(next http.Handler) http.Handler {
	static, err := fs.Sub(embedded, "static")
	if err != nil {
		panic(err) // the name is not valid: no build of the program works
	}
	files := http.FileServerFS(static)
	below := http.StripPrefix(strings.TrimSuffix(prefix, "/"), files)
	// No ServeMux: it would redirect paths with an empty part, which are keys to the gateway.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			next.ServeHTTP(w, r)
		case strings.HasPrefix(r.URL.Path, prefix):
			setHeaders(w.Header())
			below.ServeHTTP(w, r)
		case r.URL.Path == "/" && strings.Contains(r.Header.Get("Accept"), "text/html"):
			setHeaders(w.Header())
			files.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func setHeaders(h http.Header) {
	h.Set("Cache-Control", "no-cache") // the next build may have others
	h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Vary", "Accept")
	h.Set("X-Content-Type-Options", "nosniff")
}
