package page

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// benchLeaf is a leaf of 40-byte keys and values, 8 KiB long.
func benchLeaf(b *testing.B) (*Page, [][]byte) {
	r := rand.New(rand.NewPCG(1, 1))
	entries, keys := make([]Entry, 85), [][]byte{}
	first := r.Uint64() >> 24
	for i := range entries {
		key := fmt.Appendf(nil, "%016x%024d", first+uint64(i)<<8+uint64(r.IntN(200)), r.Uint64())[:40]
		stamp := uint64(1_700_000_000_000_000_000) + r.Uint64N(1<<40)
		entries[i] = Entry{Key: key, Value: make([]byte, 40), Birth: stamp, Modified: stamp, Version: stamp}
		keys = append(keys, internal(&entries[i]))
	}
	r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return mustOpen(b, mustSealLeaf(b, nil, nil, entries), 0), keys
}

func BenchmarkSearch(b *testing.B) {
	p, keys := benchLeaf(b)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if _, found := p.Search(keys[n%len(keys)]); !found {
			b.Fatal("not found")
		}
		n++
	}
}

func BenchmarkOpen(b *testing.B) {
	p, _ := benchLeaf(b)
	ref := refOf(p.Bytes())
	b.SetBytes(int64(len(p.Bytes())))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Open(p.Bytes(), ref, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSealLeaf(b *testing.B) {
	p, _ := benchLeaf(b)
	entries := p.Entries(nil)
	b.SetBytes(int64(len(p.Bytes())))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := SealLeaf(nil, nil, entries); err != nil {
			b.Fatal(err)
		}
	}
}
