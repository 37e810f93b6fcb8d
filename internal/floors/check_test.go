package floors

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const module = "github.com/actorlog/actorlog"

// source is one file of the module.
type source struct {
	dir  string // of the package, within the module
	name string // of the file, within the module
	file *ast.File
}

// read parses every Go file below root, tests and all platforms included.
func read(root string) (*token.FileSet, []source, error) {
	fset := token.NewFileSet()
	var all []source
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() {
			if name != root && (base == "testdata" || base == "node_modules" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")) {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(name, "go.mod")); name != root && err == nil {
				return filepath.SkipDir // a module of its own
			}
			return nil
		}
		if filepath.Ext(base) != ".go" {
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		s, err := parse(fset, filepath.ToSlash(rel), string(text))
		all = append(all, s)
		return err
	})
	return fset, all, err
}

func parse(fset *token.FileSet, name, text string) (source, error) {
	f, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	return source{dir: path.Dir(name), name: name, file: f}, err
}

// check returns what is wrong with the sources, sorted.
func check(fset *token.FileSet, sources []source) []string {
	c := &checker{fset: fset, table: make(map[string]Package)}
	for _, p := range Table {
		if _, twice := c.table[p.Path]; twice {
			c.complain("%s stands twice in the table of internal/floors", p.Path)
		}
		c.table[p.Path] = p
	}
	found := make(map[string]bool)
	for _, s := range sources {
		if !found[s.dir] {
			found[s.dir] = true
			if _, ok := c.table[s.dir]; !ok {
				c.complain("%s has no floor: give it one in the table of internal/floors", s.dir)
			}
		}
		c.imports(s)
		if sort := c.table[s.dir].Sort; !isTest(s) && (sort == Pure || sort == Port) {
			c.purity(s, sort)
		}
	}
	for _, p := range Table {
		if !found[p.Path] {
			c.complain("%s is in the table of internal/floors, but not in the module: remove the line", p.Path)
		}
	}
	slices.SortStableFunc(c.complaints, cmp.Compare)
	return slices.Compact(c.complaints)
}

type checker struct {
	fset       *token.FileSet
	table      map[string]Package
	complaints []string
}

func (c *checker) complain(format string, args ...any) {
	c.complaints = append(c.complaints, fmt.Sprintf(format, args...))
}

// at complains about a place in a file.
func (c *checker) at(pos token.Pos, format string, args ...any) {
	p := c.fset.Position(pos)
	c.complain("%s:%d: %s", p.Filename, p.Line, fmt.Sprintf(format, args...))
}

func isTest(s source) bool { return strings.HasSuffix(s.name, "_test.go") }

// imports checks the order of the floors, from which tests are exempt, and who may import what.
func (c *checker) imports(s source) {
	from, known := c.table[s.dir]
	for _, spec := range s.file.Imports {
		target, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic(err) // the parser has read it
		}
		local, ours := strings.CutPrefix(target, module+"/")
		for _, o := range Onlys {
			if !within(local, o.Import) || within(s.dir, o.Import) || (isTest(s) && !o.TestsToo) || slices.ContainsFunc(o.By, func(by string) bool { return within(s.dir, by) }) {
				continue
			}
			c.at(spec.Pos(), "%s is not for %s: %s", o.Import, s.dir, o.Why)
		}
		to, ok := c.table[local]
		if ours && ok && known && !isTest(s) && to.Floor >= from.Floor {
			c.at(spec.Pos(), "%s (floor %d) imports %s (floor %d): a package imports strictly lower floors only", from.Path, from.Floor, to.Path, to.Floor)
		}
	}
}

// within says whether a path is another one or lies below it.
func within(p, root string) bool { return p == root || strings.HasPrefix(p, root+"/") }

// purity checks a file of a pure package or a port.
func (c *checker) purity(s source, sort Sort) {
	// names is the package names that the file knows context and time by.
	names := make(map[string]string)
	for _, spec := range s.file.Imports {
		target, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic(err) // the parser has read it
		}
		name := path.Base(target)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if target == "time" || target == "context" {
			if name == "." {
				c.at(spec.Pos(), "%s is imported without a name in a pure package", target)
			}
			names[name] = target
		}
		for bad, why := range impure {
			if within(target, bad) && (target != "context" || sort != Port) {
				c.at(spec.Pos(), "%s is pure and imports %s: %s", s.dir, target, why)
			}
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			c.at(n.Pos(), "%s is pure and starts a goroutine", s.dir)
		case *ast.SelectStmt:
			c.at(n.Pos(), "%s is pure and has a select statement", s.dir)
		case *ast.ChanType:
			c.at(n.Pos(), "%s is pure and has a channel", s.dir)
		case *ast.SendStmt:
			c.at(n.Pos(), "%s is pure and sends to a channel", s.dir)
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				c.at(n.Pos(), "%s is pure and receives from a channel", s.dir)
			}
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			switch {
			case !ok:
			case names[x.Name] == "time" && clocks[n.Sel.Name]:
				c.at(n.Pos(), "%s is pure and uses time.%s: time comes in as an argument", s.dir, n.Sel.Name)
			case names[x.Name] == "context" && n.Sel.Name != "Context":
				c.at(n.Pos(), "%s is a port and uses context.%s: a context appears in its signatures only", s.dir, n.Sel.Name)
			}
		}
		return true
	})
}
