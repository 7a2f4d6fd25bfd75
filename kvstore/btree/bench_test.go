package btree

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"kivaloo/kvstore/page"
)

// An arrayLog is the cheapest possible sink and source: page i is in block i. What
// is measured is the tree and not a cache.
type arrayLog struct{ pages []*page.Page }

func (l *arrayLog) Write(pages [][]byte) ([]page.Place, error) {
	places := make([]page.Place, len(pages))
	for i, data := range pages {
		places[i].Block = uint64(len(l.pages))
		l.pages = append(l.pages, page.Sealed(data))
	}
	return places, nil
}

func (l *arrayLog) Page(ref page.Ref, _ int) (*page.Page, error) { return l.pages[ref.Block], nil }

// replace is the Resolve of benchmarks.
func replace(old page.Entry, hasOld bool, c *Change) (page.Entry, bool, error) {
	e := *c.Payload.(*page.Entry)
	if hasOld {
		e.Birth = old.Birth
	}
	return e, true, nil
}

// benchKeys are n random keys of 40 bytes, in order.
func benchKeys(n int) [][]byte {
	r := rand.New(rand.NewPCG(1, 1))
	keys := make([][]byte, n)
	for i := range keys {
		keys[i] = fmt.Appendf([]byte{page.SpaceUser}, "%016x%024d", r.Uint64(), i)
	}
	slices.SortFunc(keys, bytes.Compare)
	return keys
}

func benchChanges(keys [][]byte, stamp uint64) *changeList {
	list := make([]Change, len(keys))
	value := bytes.Repeat([]byte("v"), 40)
	for i := range list {
		s := stamp + uint64(i)
		list[i] = Change{Key: keys[i], Payload: &page.Entry{Value: value, Birth: s, Modified: s, Version: s}}
	}
	return &changeList{list: list}
}

// benchTree has n pairs of 40 bytes each.
func benchTree(b *testing.B, n int) (*arrayLog, Tree, [][]byte) {
	l, keys := new(arrayLog), benchKeys(n)
	tree, _, _, err := Merge(l, l, Tree{}, benchChanges(keys, 1<<60), Options{Resolve: replace})
	must(b, err)
	return l, tree, keys
}

func BenchmarkGet(b *testing.B) {
	for _, n := range []int{1 << 14, 1 << 20} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l, tree, keys := benchTree(b, n)
			r := rand.New(rand.NewPCG(2, 2))
			r.Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				p, at, found, err := Get(l, tree, keys[i&(n-1)])
				if err != nil || !found {
					b.Fatal(found, err)
				}
				if v, _ := p.Value(at); len(v) != 40 {
					b.Fatal(len(v))
				}
			}
		})
	}
}

func BenchmarkGetBatch(b *testing.B) {
	const n = 1 << 20
	l, tree, keys := benchTree(b, n)
	r := rand.New(rand.NewPCG(2, 2))
	r.Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	hits := make([]Hit, 256)
	b.ReportAllocs()
	for i := 0; b.Loop(); i += len(hits) {
		GetBatch(l, tree, keys[i&(n-1):][:len(hits)], hits)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(hits)), "ns/get")
}

func BenchmarkCursorNext(b *testing.B) {
	l, tree, _ := benchTree(b, 1<<18)
	c := NewCursor(l, tree)
	b.ReportAllocs()
	for b.Loop() {
		if !c.Valid() {
			must(b, c.Seek(nil))
		}
		_ = c.Key()
		must(b, c.Next())
	}
}

// BenchmarkMergeUpdates merges 4096 updates of random pairs into 2^20.
func BenchmarkMergeUpdates(b *testing.B) {
	l, tree, keys := benchTree(b, 1<<20)
	r, stamp := rand.New(rand.NewPCG(2, 2)), uint64(1<<60)
	b.ReportAllocs()
	written, pages := 0, 0
	for b.Loop() {
		b.StopTimer()
		var some [][]byte
		for _, i := range r.Perm(len(keys))[:4096] {
			some = append(some, keys[i])
		}
		slices.SortFunc(some, bytes.Compare)
		stamp += 1 << 20
		changes := benchChanges(some, stamp)
		b.StartTimer()
		var stats Stats
		var err error
		tree, _, stats, err = Merge(l, l, tree, changes, Options{Resolve: replace})
		must(b, err)
		written, pages = written+stats.BytesWritten, pages+stats.PagesWritten
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/4096, "ns/update")
	b.ReportMetric(float64(written)/float64(b.N)/4096, "B-written/update")
	b.ReportMetric(float64(pages)/float64(b.N), "pages/op")
}

// BenchmarkMergeLoad merges an ascending load into an empty tree.
func BenchmarkMergeLoad(b *testing.B) {
	keys := benchKeys(1 << 17)
	b.ReportAllocs()
	for b.Loop() {
		l := new(arrayLog)
		_, _, _, err := Merge(l, l, Tree{}, benchChanges(keys, 1<<60), Options{Resolve: replace})
		must(b, err)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(keys)), "ns/pair")
}
