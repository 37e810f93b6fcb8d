package gateway

import (
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/actorlog/actorlog/actors/remote"
	"github.com/actorlog/actorlog/audit"
	"github.com/actorlog/actorlog/docs"
	"github.com/actorlog/actorlog/projection"
	"github.com/actorlog/actorlog/replay"
	"github.com/actorlog/actorlog/replay/erase"
)

type node = map[string]any

// openAPI is the document with its references resolved.
func openAPI(t *testing.T) node {
	t.Helper()
	var doc node
	require.NoError(t, yaml.Unmarshal(docs.OpenAPI, &doc))
	require.Regexp(t, `^3\.1\.`, doc["openapi"])
	return doc
}

// at follows a reference, if it is one.
func at(t *testing.T, doc node, v any) node {
	t.Helper()
	n, ok := v.(node)
	require.True(t, ok, "%v", v)
	text, ok := n["$ref"].(string)
	if !ok {
		return n
	}
	for _, name := range strings.Split(strings.TrimPrefix(text, "#/"), "/") {
		doc, ok = doc[name].(node)
		require.True(t, ok, "%s leads nowhere", text)
	}
	return doc
}

// What the published clients use, or what is no contract.
var undescribed = regexp.MustCompile(`^(/actors|/gateway/\*rest|/connect|/websocket(/\*rest)?|/request(/\*rest)?|/devtools/mod\.js|/debug/pprof/\*name)$`)

// The document has every plain route that there is, and no other.
func TestOpenAPI_Routes(t *testing.T) {
	t.Parallel()
	template := func(path string) string {
		path = strings.ReplaceAll(path, "/*actor", "/:kind/*key")
		return regexp.MustCompile(`[:*](\w+)`).ReplaceAllString(path, "{$1}")
	}
	var served []string
	g := new(Gateway)
	g.cfg.Metrics = http.NotFoundHandler() // served where there are any
	g.cfg.Audit = struct{ audit.Store }{}
	g.cfg.Operate = func(*remote.Client) http.Handler { return http.NotFoundHandler() }
	for _, r := range g.newEngine().Routes() {
		if r.Method == http.MethodHead || undescribed.MatchString(r.Path) || r.Path == "/actors/*rest" {
			continue
		}
		served = append(served, r.Method+" "+template(r.Path))
	}
	for verb, methods := range plainHandlers {
		for method := range methods {
			if method != http.MethodHead {
				served = append(served, method+" "+template(plainTarget{verb: verb}.route()))
			}
		}
	}
	doc := openAPI(t)
	var described []string
	ids := make(map[any]bool)
	for path, operations := range doc["paths"].(node) {
		for method, v := range operations.(node) {
			described = append(described, strings.ToUpper(method)+" "+path)
			op := v.(node)
			require.False(t, ids[op["operationId"]], "two operations %v", op["operationId"])
			ids[op["operationId"]] = true
			require.Equal(t, strings.HasPrefix(path, "/admin/") || path == "/metrics", op["security"] != nil, "what takes the token: %s", path)
			require.NotEmpty(t, op["responses"])

			// Its path parameters are those of the path.
			var want, got []string
			for _, m := range regexp.MustCompile(`\{(\w+)\}`).FindAllStringSubmatch(path, -1) {
				want = append(want, m[1])
			}
			parameters, _ := op["parameters"].([]any)
			for _, p := range parameters {
				if p := at(t, doc, p); p["in"] == "path" {
					got = append(got, p["name"].(string))
				}
			}
			require.ElementsMatch(t, want, got, "%s %s", method, path)
		}
	}
	require.ElementsMatch(t, served, described)
}

// It has every parameter that the code reads from a query, and no other.
func TestOpenAPI_Parameters(t *testing.T) {
	t.Parallel()
	var files []string
	for _, served := range []string{"*.go", "../replay/gate/serve.go", "../replay/operate/*.go", "../projection/chsink/serve.go"} {
		some, err := filepath.Glob(served)
		require.NoError(t, err)
		require.NotEmpty(t, some)
		files = append(files, some...)
	}
	read := make(map[string]bool)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`(?:\bc\.(?:(?:Default)?Query|QueryArray)\(|(?:query|Query\(\))\.(?:Get|Has)\(|query\[|\.flag\(|historyPoint\(c, |\bp\.(?:text|time|duration)\(|\bp\.c\.(?:GetQuery|QueryArray)\()"(\w+)"`).FindAllSubmatch(source, -1) {
			read[string(m[1])] = true
		}
	}
	doc := openAPI(t)
	described := make(map[string]bool)
	used := make(map[string]bool)
	for _, operations := range doc["paths"].(node) {
		for _, op := range operations.(node) {
			parameters, _ := op.(node)["parameters"].([]any)
			for _, p := range parameters {
				used[p.(node)["$ref"].(string)] = true
				if p := at(t, doc, p); p["in"] == "query" {
					described[p["name"].(string)] = true
				}
			}
		}
	}
	require.Equal(t, read, described)
	for name := range doc["components"].(node)["parameters"].(node) {
		require.True(t, used["#/components/parameters/"+name], "nothing has the parameter %s", name)
	}
}

// Its schemas are the types that are answered.
func TestOpenAPI_Schemas(t *testing.T) {
	t.Parallel()
	doc := openAPI(t)
	schemas := doc["components"].(node)["schemas"].(node)
	for _, v := range []any{
		replay.Entry{}, replay.EntryActor{}, replay.EntryCaller{}, replay.EntryError{}, replay.EntryBroadcast{}, replay.EntrySchedule{}, replay.EntrySend{},
		replay.View{}, replay.ViewConnection{}, replay.ViewMessage{}, replay.Explanation{}, replay.Link{}, replay.Difference{}, replay.Change{},
		audit.Entry{}, audit.Name{}, audit.Error{}, audit.Group{}, audit.Actor{},
		erase.Report{}, erase.Done{}, erase.Kept{}, erase.Keys{}, projection.Remains{},
	} {
		of := reflect.TypeOf(v)
		called := of.Name()
		if strings.HasSuffix(of.PkgPath(), "/audit") {
			called = "Audit" + called
		}
		if strings.HasSuffix(of.PkgPath(), "/erase") {
			called = "Erasure" + called
		}
		var properties, required []string
		for i := range of.NumField() {
			name, options, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			if name == "-" {
				continue
			}
			properties = append(properties, name)
			if options == "" {
				required = append(required, name)
			}
		}
		schema, ok := schemas[called].(node)
		require.True(t, ok, "no schema %s", called)
		var got, must []string
		for name := range schema["properties"].(node) {
			got = append(got, name)
		}
		list, _ := schema["required"].([]any)
		for _, name := range list {
			must = append(must, name.(string))
		}
		require.ElementsMatch(t, properties, got, called)
		require.ElementsMatch(t, required, must, called)
	}
	var refs func(v any)
	refs = func(v any) {
		switch v := v.(type) {
		case node:
			at(t, doc, v)
			for _, child := range v {
				refs(child)
			}
		case []any:
			slices.Values(v)(func(child any) bool { refs(child); return true })
		}
	}
	refs(doc)
}
