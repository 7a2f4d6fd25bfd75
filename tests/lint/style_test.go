package lint

import (
	"bufio"
	"bytes"
	"go/ast"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	// functionLinesMax: beyond it a function is a story told without paragraphs.
	functionLinesMax = 70
	// fileLinesMax: a file has one subject; beyond this it has two.
	fileLinesMax = 600
)

// TestFunctionsAndFilesAreShort. A test function may be longer where a table of
// data makes it so: its composite literals are not counted.
func TestFunctionsAndFilesAreShort(t *testing.T) {
	for _, s := range sources(t) {
		if n := bytes.Count(s.text, []byte("\n")); n > fileLinesMax {
			t.Errorf("%s has %d lines, more than %d: split it by subject", s.path, n, fileLinesMax)
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			if n := s.functionLines(f); n > functionLinesMax {
				t.Errorf("%s: %s has %d lines, more than %d: let it read like a list of what happens, each its own function",
					s.path, f.Name.Name, n, functionLinesMax)
			}
		}
	}
}

func (s *source) functionLines(f *ast.FuncDecl) int {
	n := s.lines(f)
	if !s.isTest() {
		return n
	}
	ast.Inspect(f.Body, func(node ast.Node) bool {
		if table, ok := node.(*ast.CompositeLit); ok {
			n -= s.lines(table) - 1
			return false
		}
		return true
	})
	return n
}

func TestOnlyMainExits(t *testing.T) {
	for _, s := range sources(t) {
		if s.file.Name.Name == "main" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if isExit(n) && !s.inTestMain(n) {
				t.Errorf("%s:%d ends the process: return an error, main translates it", s.path, s.set.Position(n.Pos()).Line)
			}
			return true
		})
	}
}

// isExit recognises os.Exit and log.Fatal.
func isExit(n ast.Node) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := sel.X.(*ast.Ident)
	return ok && (pkg.Name == "os" && sel.Sel.Name == "Exit" || pkg.Name == "log" && strings.HasPrefix(sel.Sel.Name, "Fatal"))
}

// inTestMain says whether a node stands in a TestMain, a test's own main.
func (s *source) inTestMain(n ast.Node) bool {
	return s.isTest() && slices.ContainsFunc(s.file.Decls, func(d ast.Decl) bool {
		f, ok := d.(*ast.FuncDecl)
		return ok && f.Name.Name == "TestMain" && f.Pos() <= n.Pos() && n.End() <= f.End()
	})
}

// TestEveryPackageSaysWhatItIs. The comment stands in a file that is no test,
// unless the package has only tests.
func TestEveryPackageSaysWhatItIs(t *testing.T) {
	said := map[string]bool{}
	hasCode := map[string]bool{}
	for _, s := range sources(t) {
		hasCode[s.dir()] = hasCode[s.dir()] || !s.isTest()
	}
	for _, s := range sources(t) {
		counts := !s.isTest() || !hasCode[s.dir()]
		said[s.dir()] = said[s.dir()] || counts && s.file.Doc != nil
	}
	for dir, ok := range said {
		if !ok {
			t.Errorf("%s has no package comment: say its contract, its invariants and who owns its state", dir)
		}
	}
}

// What must not stand in any text of the project. The words are put together
// here so that this file does not contain them.
var unwanted = []struct {
	pattern *regexp.Regexp
	advice  string
}{
	{regexp.MustCompile(`/wo` + `rk/`), "names a path of one machine: use one relative to the project"},
	{regexp.MustCompile(`/ho` + `me/[a-z]`), "names a path of one machine: use one relative to the project"},
	{regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`), "is unfinished: do it, or write it down as a limit"},
	{regexp.MustCompile(`\b[Ii]ss` + `ue #?[0-9]`), "points outside the project: say the reason itself"},
}

var textFile = regexp.MustCompile(`\.(go|md|txt|sh|mod|yml|yaml)$|^\.ci/`)

func TestTextsAreFinishedAndPortable(t *testing.T) {
	eachFile(t, func(name string) {
		if !textFile.MatchString(name) {
			return
		}
		f, err := os.Open(path.Join(root, name))
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		checkText(t, name, bufio.NewScanner(f))
	})
}

func checkText(t *testing.T, name string, lines *bufio.Scanner) {
	for n := 1; lines.Scan(); n++ {
		for _, u := range unwanted {
			if u.pattern.Match(lines.Bytes()) {
				t.Errorf("%s:%d %s", name, n, u.advice)
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}
