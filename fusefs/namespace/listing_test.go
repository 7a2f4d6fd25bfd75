package namespace

import (
	"flag"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// vocabulary holds what the names are made of, and lengths near every bound.
var vocabulary = []string{
	"a", "b", "/", "/", "%", "25", "00", "2E", ".", "+", "%.", "%25.", "%+", "\x00",
	"!", "0", "\xff", "x", "5", "2",
	strings.Repeat("a", 1014), strings.Repeat("a", 1018), strings.Repeat("a", 1021),
	strings.Repeat("\x00", 338), strings.Repeat("25", 508), strings.Repeat("%", 1017),
}

const (
	endOfKey   = 0xfe // ends a key without a value
	endOfValue = 0xff // ends a key with a value
)

// expand turns bytes into a string over the vocabulary, so that a fuzzer that
// changes single bytes meets the bounds.
func expand(program []byte) string {
	var b strings.Builder
	for _, op := range program {
		if word := vocabulary[int(op)%len(vocabulary)]; b.Len()+len(word) <= 3*KeyBytesMax {
			b.WriteString(word)
		}
	}
	return b.String()
}

// expandKeys turns bytes into the pairs of a store.
func expandKeys(program []byte) map[string]string {
	values := map[string]string{}
	for len(program) > 0 && len(values) < 64 {
		end := slices.IndexFunc(program, func(op byte) bool { return op >= endOfKey })
		value := ""
		if end < 0 {
			end = len(program)
		} else if program[end] == endOfValue {
			value = "value"
		}
		key := expand(program[:end])
		values[key[:min(len(key), KeyBytesMax)]] = value
		program = program[min(end+1, len(program)):]
	}
	return values
}

// A tree walks all that the mount would show of a model and collects where it
// met each key.
type tree struct {
	*testing.T
	m     *model
	paths map[string]string
}

func walk(t *testing.T, values map[string]string) map[string]string {
	t.Helper()
	tr := &tree{t, newModel(values), map[string]string{}}
	tr.walk(Dir{}, "")
	for _, key := range tr.m.keys {
		if _, ok := tr.paths[key]; !ok {
			t.Fatalf("key %q is nowhere among %q", key, tr.m.keys)
		}
	}
	if len(tr.paths) != len(values) {
		t.Fatalf("%d paths of %d keys", len(tr.paths), len(values))
	}
	return tr.paths
}

func (t *tree) walk(d Dir, path string) {
	var entries []entry
	names := map[string]bool{}
	t.m.list(d, nil, func(e entry) bool {
		t.checkEntry(d, e)
		if names[e.name] {
			t.Fatalf("%q is listed twice in %q", e.name, path)
		}
		if n := len(entries); n > 0 && entries[n-1].key >= e.key {
			t.Fatalf("%q sorts at %q, not after %q", e.name, e.key, entries[n-1].key)
		}
		names[e.name] = true
		entries = append(entries, e)
		return true
	})
	if len(entries) == 0 && d.Cut != "" {
		t.Fatalf("the virtual directory %q is empty", path)
	}
	t.checkResume(d, entries)
	for _, e := range entries {
		t.checkNeighbours(d, names, e.name)
		t.descend(d, path+e.name, e)
	}
}

// checkEntry checks that the name is one, and that it finds the entry again.
func (t *tree) checkEntry(d Dir, e entry) {
	if !isName(e.name) || len(e.name) > NameBytesMax {
		t.Fatalf("%q of key %q is not a name", e.name, e.key)
	}
	got, err := t.m.find(d, e.name)
	if err != nil {
		t.Fatalf("find(%q) of key %q: %v", e.name, e.key, err)
	}
	if kind := e.kind; got.Kind != kind && !(kind == Main && e.isDir && got.Kind == Folder) {
		t.Fatalf("find(%q) of key %q is a %d, listed as %d", e.name, e.key, got.Kind, kind)
	}
	if got.Component != e.component {
		t.Fatalf("find(%q) = component %q, listed for %q", e.name, got.Component, e.component)
	}
	if !t.m.exists(d, got) {
		t.Fatalf("%q is listed and does not exist", e.name)
	}
}

// checkResume checks that a listing can go on at every entry.
func (t *tree) checkResume(d Dir, entries []entry) {
	for i, e := range entries {
		rest := entries[i+1:]
		t.m.list(d, e.next, func(got entry) bool {
			if len(rest) == 0 || got.name != rest[0].name || got.key != rest[0].key {
				t.Fatalf("the listing after %q goes on with %q at %q", e.name, got.name, got.key)
			}
			rest = rest[1:]
			return len(rest) > 0
		})
		if len(rest) > 0 {
			t.Fatalf("the listing after %q lacks %q", e.name, rest[0].name)
		}
	}
}

// checkNeighbours tries names that look like a listed one: what they find and
// exists must be listed as well, under just that name.
func (t *tree) checkNeighbours(d Dir, listed map[string]bool, name string) {
	tries := []string{
		name + "%.", name + "%25.", strings.TrimSuffix(name, "%."), encode(name), decode(name),
		strings.Replace(name, "%25", "%", 1), strings.Replace(name, "%", "%25", 1),
		name + "%+", strings.TrimSuffix(name, cutMark), "%", "%.", "%25.", "%+",
		strings.Replace(name, "%00", "\x00", 1), strings.ToLower(name),
	}
	for _, try := range tries {
		got, err := t.m.find(d, try)
		if err == nil && t.m.exists(d, got) && !listed[try] {
			t.Fatalf("%q finds %+v and is not listed", try, got)
		}
	}
}

// descend records the key of an entry, or goes down into it.
func (t *tree) descend(d Dir, path string, e entry) {
	switch {
	case e.kind == Virtual:
		got, _ := t.m.find(d, e.name)
		t.walk(Dir{Prefix: d.Prefix, Cut: got.Cut}, path+"/")
	case e.isDir:
		marker := d.AppendPrefix(nil, e.component)
		if t.m.hasKey(marker) && t.m.values[string(marker)] == "" {
			t.record(string(marker), path+"/")
		}
		t.walk(Dir{Prefix: marker}, path+"/")
	default:
		t.record(e.key, path)
	}
}

func (t *tree) record(key, path string) {
	if was, ok := t.paths[key]; ok {
		t.Fatalf("key %q is at %q and at %q", key, was, path)
	}
	if _, ok := t.m.values[key]; !ok {
		t.Fatalf("%q shows a key %q that is not there", path, key)
	}
	t.paths[key] = path
}

func FuzzListing(f *testing.F) {
	f.Add([]byte{0, 2, 1, endOfKey, 0, endOfKey, 0, 14, endOfKey, 0, 10, endOfValue})
	f.Add([]byte{2, endOfKey, 2, 2, endOfValue, endOfKey, 4, endOfKey, 10, endOfKey})
	f.Add([]byte{22, 10, endOfKey, 22, 4, endOfKey, 22, 4, 2, endOfKey, 22, 0, 0, 0, 0, 0, 0, endOfKey})
	f.Add([]byte{23, 23, 13, 13, endOfKey, 4, 24, 24, 5, 5, 6, endOfKey, 4, 24, 24, 0, endOfValue})
	f.Add([]byte{21, 13, 0, 0, 0, 0, 0, endOfKey, 21, 0, 0, 0, 0, 0, 0, 0, endOfKey, 21, 4, 6, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) > 512 {
			return
		}
		walk(t, expandKeys(program))
	})
}

var seedFlag = flag.Uint64("seed", 0, "replay the random trees of this seed")

func TestRandomTrees(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("replay with -seed=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		walk(t, expandKeys(randomProgram(rnd)))
	}
}

// randomProgram mutates few stems, so that keys collide in what they look like.
func randomProgram(rnd *rand.Rand) []byte {
	var program, stem []byte
	for range 1 + rnd.IntN(12) {
		if len(stem) == 0 || rnd.IntN(3) == 0 {
			stem = randomWords(rnd, 3)
		}
		program = append(program, stem...)
		program = append(program, randomWords(rnd, 4)...)
		program = append(program, endOfKey+byte(rnd.IntN(2)))
	}
	return program
}

func randomWords(rnd *rand.Rand, wordsMax int) []byte {
	words := make([]byte, rnd.IntN(wordsMax+1))
	for i := range words {
		words[i] = byte(rnd.IntN(len(vocabulary)))
	}
	return words
}
