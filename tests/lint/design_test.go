package lint

import (
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// designed are the folders whose design is written down. A Go file belongs to the
// nearest DESIGN.md above it.
var designed = []string{"lbs", "mux", "kvstore", "fusefs", "fusefs/namespace", "cmd/kivaloo", "tests"}

const codeStructure = "## Code structure"

// TestDesignNamesEveryFile: each DESIGN.md ends with a section that names the Go
// files of its folder and below, one line or a few words each, and no others.
func TestDesignNamesEveryFile(t *testing.T) {
	files := filesByDesign(t)
	for _, dir := range designed {
		if _, ok := files[dir]; !ok {
			t.Errorf("%s has no DESIGN.md", dir)
		}
	}
	for dir, want := range files {
		design := path.Join(dir, "DESIGN.md")
		text, err := os.ReadFile(path.Join(root, design))
		if err != nil {
			t.Errorf("%s: %v", design, err)
			continue
		}
		section, ok := lastSection(string(text))
		if !ok {
			t.Errorf("%s does not end with %q", design, codeStructure)
			continue
		}
		compareFiles(t, design, namedFiles(section), want)
	}
}

func compareFiles(t *testing.T, design string, named, want []string) {
	if missing := without(want, named); len(missing) > 0 {
		t.Errorf("%s does not name these in its code structure; add a line that says what each is for: %s",
			design, strings.Join(missing, " "))
	}
	if gone := without(named, want); len(gone) > 0 {
		t.Errorf("%s names these, which are not there; take the lines out: %s", design, strings.Join(gone, " "))
	}
}

func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(f string) bool { return slices.Contains(other, f) })
}

// filesByDesign lists, for each folder with a DESIGN.md, the Go files that it must
// name, relative to it.
func filesByDesign(t *testing.T) map[string][]string {
	files := map[string][]string{}
	eachFile(t, func(name string) {
		if path.Base(name) == "DESIGN.md" {
			files[path.Dir(name)] = nil
		}
	})
	for _, s := range sources(t) {
		dir := s.dir()
		for dir != "." && !hasKey(files, dir) {
			dir = path.Dir(dir)
		}
		if !hasKey(files, dir) {
			t.Errorf("%s belongs to no DESIGN.md", s.path)
			continue
		}
		files[dir] = append(files[dir], strings.TrimPrefix(s.path, dir+"/"))
	}
	return files
}

func hasKey(m map[string][]string, key string) bool {
	_, ok := m[key]
	return ok
}

// lastSection returns the text after the last heading of its level, if that is
// the code structure.
func lastSection(text string) (string, bool) {
	at := strings.LastIndex(text, "\n## ")
	if at < 0 || !strings.HasPrefix(text[at+1:], codeStructure) {
		return "", false
	}
	return text[at+1+len(codeStructure):], true
}

var pathWord = regexp.MustCompile(`[A-Za-z0-9_][A-Za-z0-9_./-]*(\.go\b|/(?:[\s|` + "`" + `]|$))`)

// namedFiles finds the paths of Go files in a text. A folder ("kv/") stands for
// the file names without a folder that follow it in the same paragraph or list.
func namedFiles(section string) []string {
	var named []string
	folder := ""
	for _, word := range pathWord.FindAllString(section, -1) {
		word = strings.Trim(word, " \t\n|`")
		switch {
		case strings.HasSuffix(word, "/"):
			folder = word
		case strings.Contains(word, "/"):
			named = append(named, word)
		default:
			named = append(named, folder+word)
		}
	}
	return named
}
