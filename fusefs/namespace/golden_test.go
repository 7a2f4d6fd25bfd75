package namespace

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// The golden file is scenes of keys that are in a store together. A line is the
// quoted key, whether its value is empty, and the quoted path, between tabs; the
// path of a marker without a value is that of its directory.
const goldenFile = "testdata/paths.golden"

var updateFlag = flag.Bool("update", false, "rewrite the paths of "+goldenFile)

// A scene is a part of the golden file.
type scene struct {
	name   string
	keys   []string
	values map[string]string
	paths  map[string]string
}

func readScenes(t *testing.T) []scene {
	t.Helper()
	file, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	var scenes []scene
	for part := range strings.SplitSeq(strings.TrimSpace(string(file)), "\n\n") {
		lines := strings.Split(part, "\n")
		s := scene{name: lines[0], values: map[string]string{}, paths: map[string]string{}}
		for _, line := range lines[1:] {
			s.read(t, line)
		}
		scenes = append(scenes, s)
	}
	return scenes
}

func (s *scene) read(t *testing.T, line string) {
	t.Helper()
	columns := strings.Split(line, "\t")
	if len(columns) != 3 {
		t.Fatalf("golden line %q has %d columns", line, len(columns))
	}
	key, err := strconv.Unquote(columns[0])
	if err != nil {
		t.Fatalf("golden key %s: %v", columns[0], err)
	}
	path, err := strconv.Unquote(columns[2])
	if err != nil {
		t.Fatalf("golden path %s: %v", columns[2], err)
	}
	s.keys = append(s.keys, key)
	s.paths[key] = path
	s.values[key] = strings.TrimPrefix(columns[1], "empty")
}

func TestPathsAreThoseOfTheGoldenFile(t *testing.T) {
	scenes := readScenes(t)
	var updated []string
	for _, s := range scenes {
		t.Run(strings.TrimPrefix(s.name, "# "), func(t *testing.T) {
			got := walk(t, s.values)
			lines := []string{s.name}
			for _, key := range s.keys {
				if got[key] != s.paths[key] && !*updateFlag {
					t.Errorf("path of %q\n is %q\n want %q", key, got[key], s.paths[key])
				}
				value := s.values[key]
				if value == "" {
					value = "empty"
				}
				lines = append(lines, fmt.Sprintf("%q\t%s\t%q", key, value, got[key]))
			}
			updated = append(updated, strings.Join(lines, "\n"))
		})
	}
	if *updateFlag {
		text := strings.Join(updated, "\n\n") + "\n"
		if err := os.WriteFile(goldenFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
