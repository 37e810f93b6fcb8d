package actorhttp

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
)

// Whatever a client has made the gateway record, handlers of net/http can be asked, and what they answer is a response.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/files/a.txt?x=1", "Range", "bytes=1-2,4-", "")
	f.Add("POST", "//evil.example/../a%2fb", "Host", "a:b:c", "body")
	f.Add("HEAD", "/files/../files/./a.txt", "If-Modified-Since", "Mon, 02 Jan 2006 15:04:05 GMT", "")
	f.Add("OPTIONS", "*", "X\r\n", "\r\n", "")
	f.Add("CONNECT", "/form", "Content-Type", "multipart/form-data; boundary=a", "--a\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n--a--\r\n")
	files := fstest.MapFS{"a.txt": {Data: []byte("some bytes")}}
	f.Fuzz(func(t *testing.T, method, target, name, value, body string) {
		in, err := newRequest(nil, &actor.Request{
			Method: method, Target: target, URL: target, Headers: []actor.Header{{Name: name, Value: value}}, Body: []byte(body),
		})
		if err != nil {
			var refused *actor.Error
			require.ErrorAs(t, err, &refused)
			return
		}
		require.EqualValues(t, len(body), in.ContentLength)
		if strings.HasPrefix(target, "/") { // as all that gateways take in
			require.Empty(t, in.URL.Host)
		}
		mux := http.NewServeMux()
		mux.Handle("/files/", http.StripPrefix("/files/", http.FileServerFS(files)))
		mux.HandleFunc("POST /form/{rest...}", func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseMultipartForm(1 << 10)
			http.Redirect(w, r, r.PathValue("rest"), http.StatusFound)
		})
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(w, r.Body)
		})
		w := &writer{method: in.Method, header: make(http.Header)}
		mux.ServeHTTP(w, in)
		out, err := w.response()
		require.NoError(t, err)
		require.True(t, out.Status >= 200 && out.Status < 600, "%d", out.Status)
		for _, h := range out.Headers {
			if !strings.EqualFold(h.Name, name) {
				require.NotContains(t, h.Value, "\n")
			}
		}
	})
}
