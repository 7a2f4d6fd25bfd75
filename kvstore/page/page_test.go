package page

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"

	"kivaloo/kvstore/kv"
)

// refOf is the reference that leads to a page at some place.
func refOf(data []byte) Ref {
	return Ref{Place: Place{Block: 7, Offset: 128, Bytes: uint32(Padded(len(data)))}, CRC: CRC(data)}
}

func mustSealLeaf(t testing.TB, lower, upper []byte, entries []Entry) []byte {
	t.Helper()
	data, err := SealLeaf(lower, upper, entries)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func mustOpen(t testing.TB, data []byte, level int) *Page {
	t.Helper()
	p, err := Open(data, refOf(data), level)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// internal is the internal key of an entry.
func internal(e *Entry) []byte { return append([]byte{e.Space}, e.Key...) }

// plainEntries are n entries that fit protocol v1.
func plainEntries(n int) []Entry {
	list := make([]Entry, n)
	for i := range list {
		stamp := uint64(1_700_000_000_000_000_000 + i*1000)
		list[i] = Entry{
			Key: fmt.Appendf(nil, "users/%06d", i), Value: fmt.Appendf(nil, "value %d", i),
			Birth: stamp, Modified: stamp, Version: stamp,
		}
	}
	return list
}

// sampleEntries have one of everything.
func sampleEntries() []Entry {
	return []Entry{
		{Space: 1, Key: []byte{}, Value: []byte{}, Birth: 5000, Modified: 5000, Version: 5000},
		{Space: 1, Key: []byte("a"), Value: []byte("inline"), Birth: 4000, Modified: 9000, Version: 9000, Flags: Brought},
		{Space: 1, Key: []byte("a\x00"), Value: []byte("reference"), Birth: 7000, Modified: 6000, Version: 8000, Flags: Blob},
		{Space: 1, Key: []byte("ab"), Value: []byte("body"), Meta: []byte("mode=0644"), Birth: 4000, Modified: 4000, Version: 4001, Flags: Link},
		{Space: 1, Key: bytes.Repeat([]byte("k"), 4095), Value: bytes.Repeat([]byte("v"), 2048),
			Meta: bytes.Repeat([]byte("m"), 8192), Birth: 1 << 62, Modified: 1024, Version: 1 << 61},
	}
}

func sampleChildren() []Child {
	return []Child{
		{Ref: Ref{Place: Place{Block: 1 << 40, Offset: 131008, Bytes: 64}, CRC: 1}},
		{Separator: []byte("\x00b"), Ref: Ref{Place: Place{Block: 2, Bytes: 65536}, CRC: 2}},
		{Separator: []byte("\x00bcdefg"), Ref: Ref{Place: Place{Block: 3, Offset: 64, Bytes: 8192}, CRC: 3}},
		{Separator: []byte("\x01"), Ref: Ref{Place: Place{Block: 4, Offset: 4096, Bytes: 4096}, CRC: 1<<32 - 1}},
	}
}

func equalEntries(a, b *Entry) bool {
	return a.Space == b.Space && bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) &&
		bytes.Equal(a.Meta, b.Meta) && a.Birth == b.Birth && a.Modified == b.Modified &&
		a.Version == b.Version && a.Flags == b.Flags
}

func TestLeafGivesBackItsEntries(t *testing.T) {
	for name, entries := range map[string][]Entry{
		"v1": plainEntries(80), "one of everything": sampleEntries(), "one": plainEntries(1),
	} {
		t.Run(name, func(t *testing.T) {
			data := mustSealLeaf(t, nil, nil, entries)
			p := mustOpen(t, data, 0)
			if err := p.Check(); err != nil {
				t.Fatal(err)
			}
			if p.Count() != len(entries) || p.Space() != entries[0].Space || p.Upper() != nil || len(p.Lower()) != 0 {
				t.Fatalf("count %d, space %d, fences %q %q", p.Count(), p.Space(), p.Lower(), p.Upper())
			}
			for i := range entries {
				want := &entries[i]
				if got := p.Entry(i); !equalEntries(&got, want) {
					t.Fatalf("entry %d: %+v, want %+v", i, got, *want)
				}
				v, kind := p.Value(i)
				if !bytes.Equal(v, want.Value) || kind != want.Flags&(Blob|Link) {
					t.Fatalf("value %d: %q, %x", i, v, kind)
				}
				if at, found := p.Search(internal(want)); at != i || !found {
					t.Fatalf("search for entry %d: %d, %v", i, at, found)
				}
			}
		})
	}
}

func TestInnerGivesBackItsChildren(t *testing.T) {
	children := sampleChildren()
	data, err := SealInner(3, []byte("\x00a"), []byte("\x01zz"), children)
	if err != nil {
		t.Fatal(err)
	}
	p := mustOpen(t, data, 3)
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	for i := range children {
		if p.Child(i) != children[i].Ref || !bytes.Equal(p.Separator(i), children[i].Separator) {
			t.Fatalf("child %d: %v %q", i, p.Child(i), p.Separator(i))
		}
	}
	for key, want := range map[string]int{
		"\x00a": 0, "\x00azzz": 0, "\x00b": 1, "\x00bcdef": 1, "\x00bcdefg": 2, "\x00c": 2, "\x01": 3, "\x01a": 3, "": 0,
	} {
		if got := p.Route([]byte(key)); got != want {
			t.Errorf("route %q: %d, want %d", key, got, want)
		}
	}
	if low, high := p.Bracket(0); string(low) != "\x00a" || string(high) != "\x00b" {
		t.Errorf("bracket 0: %q %q", low, high)
	}
	if low, high := p.Bracket(3); string(low) != "\x01" || string(high) != "\x01zz" {
		t.Errorf("bracket 3: %q %q", low, high)
	}
}

// A RANGE of a v1 leaf is one copy, so the cells must be what the wire says.
func TestV1CellsAreTheWireEncoding(t *testing.T) {
	entries := plainEntries(40)
	p := mustOpen(t, mustSealLeaf(t, nil, nil, entries), 0)
	if !p.V1() {
		t.Fatal("leaf is not v1")
	}
	var want []byte
	for _, e := range entries[3:40] {
		want = append(append(want, byte(len(e.Key))), e.Key...)
		want = append(append(want, byte(len(e.Value))), e.Value...)
	}
	if got := p.V1Cells(3, 40); !bytes.Equal(got, want) {
		t.Fatalf("cells %q, want %q", got, want)
	}
	if got := p.V1Cells(5, 5); len(got) != 0 {
		t.Fatalf("cells of nothing: %q", got)
	}
}

func TestLeafIsV1ExactlyIfAllPairsFit(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 256)
	for name, c := range map[string]struct {
		e    Entry
		want bool
	}{
		"255 and 255":   {Entry{Key: long[:255], Value: long[:255]}, true},
		"with metadata": {Entry{Key: long[:1], Meta: long}, true},
		"brought":       {Entry{Key: long[:1], Flags: Brought}, true},
		"long key":      {Entry{Key: long}, false},
		"long value":    {Entry{Key: long[:1], Value: long}, false},
		"blob":          {Entry{Key: long[:1], Flags: Blob}, false},
		"link":          {Entry{Key: long[:1], Flags: Link}, false},
	} {
		if p := mustOpen(t, mustSealLeaf(t, nil, nil, []Entry{c.e}), 0); p.V1() != c.want {
			t.Errorf("%s: v1 is %v", name, p.V1())
		}
	}
}

// randomKeys are sorted keys with much in common, of an alphabet that has the
// bytes that heads confuse.
func randomKeys(r *rand.Rand, n int) []string {
	set := map[string]bool{}
	prefix := strings.Repeat("p", r.IntN(6))
	for len(set) < n {
		k := []byte(prefix)
		for range r.IntN(9) {
			k = append(k, "\x00\x01a\xff"[r.IntN(4)])
		}
		set[string(k)] = true
	}
	keys := make([]string, 0, n)
	for k := range set {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func TestSearchAndRouteAgreeWithSortSearch(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		keys := randomKeys(r, 1+r.IntN(120))
		entries, children := []Entry{}, []Child{{Ref: Ref{Place: Place{Bytes: 64}}}}
		for _, k := range keys {
			entries = append(entries, Entry{Key: []byte(k)})
			children = append(children, Child{Separator: []byte("\x00" + k), Ref: Ref{Place: Place{Bytes: 64}}})
		}
		leaf := mustOpen(t, mustSealLeaf(t, nil, nil, entries), 0)
		data, err := SealInner(1, nil, nil, children)
		if err != nil {
			t.Fatal(err)
		}
		inner := mustOpen(t, data, 1)
		for _, probe := range append(randomKeys(r, 60), keys...) {
			want := sort.SearchStrings(keys, probe)
			hit := want < len(keys) && keys[want] == probe
			if got, found := leaf.Search([]byte("\x00" + probe)); got != want || found != hit {
				t.Fatalf("keys %q: search %q: %d %v, want %d %v", keys, probe, got, found, want, hit)
			}
			if hit {
				want++
			}
			if got := inner.Route([]byte("\x00" + probe)); got != want {
				t.Fatalf("separators %q: route %q: %d, want %d", keys, probe, got, want)
			}
		}
		if i, _ := leaf.Search([]byte("\x01")); i != len(keys) {
			t.Fatalf("a key of a higher keyspace is found at %d of %d", i, len(keys))
		}
	}
}

func TestEveryFlippedBitIsDetected(t *testing.T) {
	inner, err := SealInner(1, nil, nil, sampleChildren())
	if err != nil {
		t.Fatal(err)
	}
	for level, data := range [][]byte{mustSealLeaf(t, nil, nil, plainEntries(30)), inner} {
		ref := refOf(data)
		for bit := range len(data) * 8 {
			data[bit/8] ^= 1 << (bit % 8)
			if _, err := Open(data, ref, level); !errors.Is(err, kv.ErrCorrupt) {
				t.Fatalf("level %d, bit %d: %v", level, bit, err)
			}
			data[bit/8] ^= 1 << (bit % 8)
		}
	}
}

func TestAnotherPageIsNotTaken(t *testing.T) {
	data, stale := mustSealLeaf(t, nil, nil, plainEntries(30)), mustSealLeaf(t, nil, nil, plainEntries(31))
	ref := refOf(data)
	shorter := ref
	shorter.Bytes -= StepBytes
	for name, c := range map[string]struct {
		data  []byte
		ref   Ref
		level int
		says  string
	}{
		"stale":           {stale, ref, 0, "expected the page with CRC"},
		"wrong level":     {data, ref, 1, "expected a page of level 1, found level 0"},
		"wrong length":    {data, shorter, 0, "bytes were written"},
		"cut off":         {data[:len(data)-1], ref, 0, "length"},
		"nothing":         {nil, ref, 0, "too few"},
		"never written":   {make([]byte, len(data)), ref, 0, "magic"},
		"a newer version": {newer(data), refOf(newer(data)), 0, "version 2"},
	} {
		_, err := Open(c.data, c.ref, c.level)
		if !errors.Is(err, kv.ErrCorrupt) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "block 7, offset 128") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// newer is the page with another version and a right CRC.
func newer(data []byte) []byte {
	data = bytes.Clone(data)
	data[12]++
	forge(data)
	return data
}

// forge makes the CRC of data right.
func forge(data []byte) {
	crc := crc32.Checksum(data[8:], castagnoli)
	data[4], data[5], data[6], data[7] = byte(crc), byte(crc>>8), byte(crc>>16), byte(crc>>24)
}

func TestSealingRefusesWhatIsNoPage(t *testing.T) {
	e := plainEntries(3)
	swapped := []Entry{e[1], e[0]}
	mixed := []Entry{e[0], {Space: 1}}
	big := bytes.Repeat([]byte("m"), 40<<10)
	huge := []Entry{{Key: []byte("a"), Meta: big}, {Key: []byte("b"), Meta: big}}
	for name, f := range map[string]func() error{
		"no entries":       func() error { _, err := SealLeaf(nil, nil, nil); return err },
		"order":            func() error { _, err := SealLeaf(nil, nil, swapped); return err },
		"twice":            func() error { _, err := SealLeaf(nil, nil, []Entry{e[0], e[0]}); return err },
		"two keyspaces":    func() error { _, err := SealLeaf(nil, nil, mixed); return err },
		"below the fence":  func() error { _, err := SealLeaf([]byte("\x00v"), nil, e); return err },
		"at the fence":     func() error { _, err := SealLeaf(nil, internal(&e[2]), e); return err },
		"empty fence":      func() error { _, err := SealLeaf(nil, []byte{}, e); return err },
		"more than 64 KiB": func() error { _, err := SealLeaf(nil, nil, huge); return err },
		"unknown flag":     func() error { _, err := SealLeaf(nil, nil, []Entry{{Flags: 1}}); return err },
		"no children":      func() error { _, err := SealInner(1, nil, nil, nil); return err },
		"level 0":          func() error { _, err := SealInner(0, nil, nil, sampleChildren()); return err },
		"separator order":  func() error { _, err := SealInner(1, []byte("\x00b"), nil, sampleChildren()); return err },
		"no place":         func() error { _, err := SealInner(1, nil, nil, make([]Child, 2)); return err },
	} {
		if f() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The largest entry the store has must fit beside the longest fences.
func TestLargestEntryFits(t *testing.T) {
	key := bytes.Repeat([]byte("k"), 4109)
	e := Entry{Space: 1, Key: key, Value: make([]byte, 2048), Meta: make([]byte, 8192)}
	lower := internal(&e)
	upper := append(bytes.Clone(lower), 0)
	p := mustOpen(t, mustSealLeaf(t, lower, upper, []Entry{e}), 0)
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
}
