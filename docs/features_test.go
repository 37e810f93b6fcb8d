package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// proof is the name of a test on a page: `dir/of/package.TestName/Sub`.
var proof = regexp.MustCompile("`([a-z0-9/]+)\\.((?:Test|Example|Fuzz)[A-Za-z0-9_]*)(/[^`]+)?`")

// The tests that features.md and guarantees.md name exist: the function in its package, and each subtest as a text in it.
func TestProofs(t *testing.T) {
	t.Parallel()
	packages := make(map[string]*tests)
	for _, page := range []string{"features.md", "guarantees.md"} {
		proofs := proof.FindAllStringSubmatch(readFile(t, page), -1)
		require.NotEmpty(t, proofs)
		for _, m := range proofs {
			name := strings.Trim(m[0], "`")
			p := packages[m[1]]
			if p == nil {
				p = testsOf(t, filepath.Join("..", m[1]))
				packages[m[1]] = p
			}
			exists := p.functions[m[2]]
			for sub := range strings.SplitSeq(strings.TrimPrefix(m[3], "/"), "/") {
				exists = exists && (sub == "" || p.texts[sub])
			}
			require.True(t, exists, "%s names %s, which does not exist", page, name)
		}
	}
}

// tests is what the test files of a package have.
type tests struct {
	functions map[string]bool
	// texts is the string literals, as go test writes them into names of subtests.
	texts map[string]bool
}

func testsOf(t *testing.T, dir string) *tests {
	t.Helper()
	found := &tests{functions: make(map[string]bool), texts: make(map[string]bool)}
	files, err := filepath.Glob(path.Join(dir, "*_test.go"))
	require.NoError(t, err)
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				found.functions[n.Name.Name] = n.Recv == nil
			case *ast.BasicLit:
				if text, err := strconv.Unquote(n.Value); n.Kind == token.STRING && err == nil {
					found.texts[strings.ReplaceAll(text, " ", "_")] = true
				}
			}
			return true
		})
	}
	return found
}
