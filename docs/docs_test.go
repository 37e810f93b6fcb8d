// Package docs_test holds the pages to the code: what a page shows is compiled and run, what it links to is there, and the
// tests that features.md names exist.
package docs_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var rewrite = flag.Bool("rewrite", false, "fill the Go blocks of the pages in from their snippets")

// A block of Go in a page names the snippet that it shows, in its info string:
//
//	```go name=cart
//
// and the snippet stands in docs/snippets between two comments, at any indentation:
//
//	// snippet: cart
//	// end snippet
//
// A snippet is compiled with its package, and the tests there run what shows behaviour.
var (
	block = regexp.MustCompile("(?ms)^```go([^\\n]*)\\n(.*?)^```$")
	named = regexp.MustCompile(`^ name=([a-z0-9-]+)$`)
)

func TestSnippets(t *testing.T) {
	t.Parallel()
	snippets := readSnippets(t)
	shown := make(map[string]bool)
	for _, page := range pages(t, ".") {
		text := readFile(t, page)
		filled := block.ReplaceAllStringFunc(text, func(b string) string {
			m := block.FindStringSubmatch(b)
			name := named.FindStringSubmatch(m[1])
			require.NotNil(t, name, "%s: a block of Go names no snippet: ```go%s", page, m[1])
			want, ok := snippets[name[1]]
			require.True(t, ok, "%s: docs/snippets has no snippet %q", page, name[1])
			shown[name[1]] = true
			if !*rewrite {
				require.Equal(t, want, m[2], "%s: %s is not as in docs/snippets; `go test ./docs -args -rewrite` fills it in", page, name[1])
			}
			return "```go name=" + name[1] + "\n" + want + "```"
		})
		if *rewrite && filled != text {
			require.NoError(t, os.WriteFile(page, []byte(filled), 0o644))
		}
	}
	for name := range snippets {
		require.True(t, shown[name], "no page shows snippet %q", name)
	}
}

// readSnippets returns the code of every snippet by name.
func readSnippets(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("snippets/*.go")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	all := make(map[string]string)
	for _, file := range files {
		name, lines := "", []string(nil)
		for line := range strings.Lines(readFile(t, file)) {
			trimmed := strings.TrimSpace(line)
			begins, isBegin := strings.CutPrefix(trimmed, "// snippet: ")
			switch {
			case isBegin:
				require.Empty(t, name, "%s: snippet %q has no end", file, name)
				require.NotContains(t, all, begins, "%s: two snippets have one name", file)
				name, lines = begins, nil
			case trimmed == "// end snippet":
				require.NotEmpty(t, name, "%s: a snippet ends that has not begun", file)
				all[name], name = dedent(lines), ""
			case name != "":
				lines = append(lines, line)
			}
		}
		require.Empty(t, name, "%s: snippet %q has no end", file, name)
	}
	return all
}

// dedent takes away the tabs that all lines begin with, and empty lines at the ends.
func dedent(lines []string) string {
	empty := func(line string) bool { return line == "\n" }
	for len(lines) > 0 && empty(lines[0]) {
		lines = lines[1:]
	}
	for len(lines) > 0 && empty(lines[len(lines)-1]) {
		lines = lines[:len(lines)-1]
	}
	depth := 100
	for _, line := range lines {
		if text := strings.TrimLeft(line, "\t"); text != "\n" {
			depth = min(depth, len(line)-len(text))
		}
	}
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(line[min(depth, len(line)-1):])
	}
	return b.String()
}

var (
	link    = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	code    = regexp.MustCompile("(?ms)^```.*?^```$|`[^`\n]*`")
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// Links to files of the project, and to headings of pages, lead somewhere.
func TestLinks(t *testing.T) {
	t.Parallel()
	all := pages(t, ".")
	for _, page := range append(all, "../README.md") {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(readFile(t, page), ""), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || notYet[page+" -> "+target] {
				continue
			}
			to := page
			if target != "" {
				to = filepath.Join(filepath.Dir(page), target)
				_, err := os.Stat(to)
				require.NoError(t, err, "%s links to %s", page, m[1])
			}
			if anchor != "" {
				require.Contains(t, anchors(t, to), anchor, "%s links to %s", page, m[1])
			}
		}
	}
	// A page that nothing links to is found by nobody.
	index := readFile(t, "README.md")
	for _, page := range all {
		if page != "README.md" {
			require.Contains(t, index, "("+page+")", "docs/README.md does not link to %s", page)
		}
	}
}

// anchors is the headings of a page, as GitHub links to them.
func anchors(t *testing.T, page string) []string {
	t.Helper()
	var all []string
	text := regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(readFile(t, page), "")
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		slug := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		slug = strings.ReplaceAll(slug, " ", "-")
		for n := 1; slices.Contains(all, slug); n++ {
			slug = fmt.Sprintf("%s-%d", slug, n)
		}
		all = append(all, slug)
	}
	return all
}

func pages(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.md"))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	return names
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(b)
}

// notYet is links to files that are not here yet, as "page -> target". It is to be empty.
var notYet = map[string]bool{}
