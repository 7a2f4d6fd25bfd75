package lint

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "kivaloo/"

// A layer is a folder of the module, what it may import of the others, and what
// to do when it wants more.
type layer struct {
	name   string
	allow  []string // packages, or folders with a slash at the end
	advice string
}

// layers go from the top down: each may use those below it, and mostly less. A
// folder within another comes first.
var layers = []layer{
	{"cmd", []string{"cmd/", "fusefs/", "mux/", "kvstore/", "lbs/"},
		"commands use the packages, never the tests"},
	{"fusefs", []string{"fusefs/", "kvstore/kv"},
		"the filesystem knows a kv.Store and nothing of the engine: go through kv.Store"},
	{"mux", []string{"mux/", "kvstore/kv", "kvstore/client"},
		"the mux knows a kv.Store and nothing of the engine: go through kv.Store"},
	{"kvstore", []string{"kvstore/", "lbs/"},
		"imports point downward: cmd, fusefs, mux, kvstore, lbs"},
	{"lbs", []string{"lbs/"},
		"the block store is the bottom: let the caller pass in what it needs"},
	{"tests/bench", []string{"tests/bench/", "kvstore", "cmd/kivaloo/bench/pairs"},
		"benchmarks compare the engine from outside, as a program embeds it, with the pairs that the command has"},
	{"tests", nil,
		"whole-program tests know the program only from outside: run the binary"},
}

// leaves import nothing of the module, so anybody may import them: they are the
// vocabulary that the layers share. The client and the remote block store, below
// the mux, need the wire format and the addresses.
var leaves = []string{"kvstore/kv", "mux/wire", "mux/socket", "lbs/disk"}

// suites are what every implementation of a contract is tested with: any test may
// import them, and no program.
var suites = []string{"kvstore/kvtest", "lbs/lbstest"}

// upwardInTests lists tests that need a layer above them, and why.
var upwardInTests = map[string]string{
	"kvstore/client": "mux", // a client is tested against the real server
}

func layerOf(pkg string) (layer, bool) {
	i := slices.IndexFunc(layers, func(l layer) bool { return pkg == l.name || strings.HasPrefix(pkg, l.name+"/") })
	if i < 0 {
		return layer{}, false
	}
	return layers[i], true
}

func (l layer) allows(pkg string) bool {
	return slices.ContainsFunc(l.allow, func(a string) bool {
		folder, isFolder := strings.CutSuffix(a, "/")
		return pkg == folder || isFolder && strings.HasPrefix(pkg, a)
	})
}

// mayImport says whether a file may import a package of the module, and if not,
// what to do about it.
func mayImport(s *source, pkg string) (advice string, ok bool) {
	from := s.dir()
	l, known := layerOf(from)
	switch {
	case slices.Contains(leaves, from) && !s.isTest():
		return "a leaf imports nothing of the project: move the type it needs into it", false
	case !known:
		return "packages live in cmd, fusefs, mux, kvstore, lbs and tests", false
	case s.isTest() && (slices.Contains(suites, pkg) || upwardInTests[from] == pkg):
		return "", true
	case slices.Contains(suites, pkg) && !slices.Contains(suites, from):
		return "a conformance suite is for tests: move what is needed out of it", false
	case slices.Contains(leaves, pkg) && l.name != "tests", l.allows(pkg):
		return "", true
	}
	return l.advice, false
}

func TestImportsPointDownward(t *testing.T) {
	for _, s := range sources(t) {
		for _, imp := range s.imports() {
			pkg, ours := strings.CutPrefix(imp, module)
			if !ours {
				continue
			}
			if advice, ok := mayImport(s, pkg); !ok {
				t.Errorf("%s: %s imports %s: %s", s.path, s.dir(), pkg, advice)
			}
		}
	}
}

// What the engine may use beside the standard library. Commands may use more
// where a well-kept library does it better.
var engineDependencies = []string{
	"github.com/hanwen/go-fuse/v2/",
	"golang.org/x/sys/",
	"github.com/spf13/pflag",
}

// testDependencies are for tests alone.
var testDependencies = []string{
	"github.com/google/go-cmp/",
	"github.com/rogpeppe/go-internal/",
	"go.uber.org/goleak",
	"pgregory.net/rapid",
	"github.com/anishathalye/porcupine",
}

func isForeign(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return strings.Contains(first, ".")
}

func listed(list []string, imp string) bool {
	return slices.ContainsFunc(list, func(d string) bool {
		return imp == strings.TrimSuffix(d, "/") || strings.HasPrefix(imp, d)
	})
}

func TestEngineUsesFewDependencies(t *testing.T) {
	for _, s := range sources(t) {
		top, _, _ := strings.Cut(s.path, "/")
		if top == "cmd" || top == "tests" {
			continue
		}
		for _, imp := range s.imports() {
			if !isForeign(imp) || listed(engineDependencies, imp) || s.isTest() && listed(testDependencies, imp) {
				continue
			}
			t.Errorf("%s imports %s: lbs, kvstore, mux and fusefs use go-fuse, x/sys, pflag and the standard library; "+
				"move it to cmd, or write the few lines that are needed", s.path, imp)
		}
	}
}

// TestDiskIsReachedThroughOnePackage keeps crash tests honest: a file opened
// behind lbs/disk's back would not lose its data when the test cuts the power.
func TestDiskIsReachedThroughOnePackage(t *testing.T) {
	for _, s := range sources(t) {
		top, _, _ := strings.Cut(s.path, "/")
		inside := s.dir() == "lbs/disk" || top != "lbs" && top != "kvstore"
		if inside || s.isTest() || slices.Contains(suites, s.dir()) {
			continue
		}
		if slices.Contains(s.imports(), "os") {
			t.Errorf("%s imports os: lbs and kvstore reach the disk only through lbs/disk, "+
				"so that a test can cut the power at any call", s.path)
		}
	}
}

// TestModuleReplacesNothing: what a clone builds is what was tested.
func TestModuleReplacesNothing(t *testing.T) {
	text, err := os.ReadFile(root + "/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if regexp.MustCompile(`(?m)^\s*replace\b`).Match(text) {
		t.Error("go.mod has a replace directive: use a released version")
	}
}
