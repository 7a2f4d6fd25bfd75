// Package lint checks rules about the source that no compiler knows: who may
// import whom, how long things may be, and that the design documents name every
// file. It has tests only. A failure says what to do instead.
package lint

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// root is the module's folder, seen from this package.
const root = "../.."

// A source is one Go file of the module.
type source struct {
	path string // from the module's root, with slashes
	text []byte
	file *ast.File
	set  *token.FileSet
}

func (s *source) dir() string  { return path.Dir(s.path) }
func (s *source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// imports lists what the file imports.
func (s *source) imports() []string {
	var list []string
	for _, spec := range s.file.Imports {
		list = append(list, strings.Trim(spec.Path.Value, `"`))
	}
	return list
}

// lines counts the lines from the first to the last byte of a node.
func (s *source) lines(n ast.Node) int {
	return s.set.Position(n.End()).Line - s.set.Position(n.Pos()).Line + 1
}

// eachFile calls visit with every file of the module, by its path from the root.
func eachFile(t *testing.T, visit func(name string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		name, err := filepath.Rel(root, p)
		if err == nil && d.Type().IsRegular() {
			visit(filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

var parseOnce = sync.OnceValues(func() ([]*source, error) {
	var all []*source
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(p, ".go") {
			return err
		}
		s, err := parse(p)
		all = append(all, s)
		return err
	})
	return all, err
})

func parse(p string) (*source, error) {
	text, err := os.ReadFile(p)
	if err != nil {
		return nil, err
	}
	name, err := filepath.Rel(root, p)
	if err != nil {
		return nil, err
	}
	s := &source{path: filepath.ToSlash(name), text: text, set: token.NewFileSet()}
	s.file, err = parser.ParseFile(s.set, s.path, text, parser.ParseComments)
	return s, err
}

// sources returns every Go file of the module, parsed.
func sources(t *testing.T) []*source {
	t.Helper()
	all, err := parseOnce()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEveryFileIsFormatted(t *testing.T) {
	for _, s := range sources(t) {
		want, err := format.Source(s.text)
		if err != nil {
			t.Errorf("%s: %v", s.path, err)
		} else if !bytes.Equal(s.text, want) {
			t.Errorf("%s is not formatted: run gofmt -w %s", s.path, s.path)
		}
	}
}
