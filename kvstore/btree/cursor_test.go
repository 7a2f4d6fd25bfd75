package btree

import (
	"bytes"
	"sort"
	"testing"

	"kivaloo/kvstore/page"
)

// expect makes sure that the cursor stands at keys[i], or nowhere beyond them.
func expect(t *testing.T, c *Cursor, keys []string, i int, what string) {
	t.Helper()
	if i < 0 || i >= len(keys) {
		if c.Valid() {
			t.Fatalf("%s: at %q, want none", what, c.Key())
		}
		return
	}
	if !c.Valid() {
		t.Fatalf("%s: nowhere, want %q", what, keys[i])
	}
	if got := string(append([]byte{c.Space()}, c.Key()...)); got != keys[i] {
		t.Fatalf("%s: at %.80q, want %.80q", what, got, keys[i])
	}
}

// must is for a call in a condition of a test.
func must(t testing.TB, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}

func TestCursorAgreesWithMap(t *testing.T) {
	for _, size := range pageSizes {
		w := newWorld(t, newSeed())
		w.opts.PageBytes = size
		for range 8 {
			w.merge(w.randomChanges(500, 2))
			w.walkAtRandom(t, 2000)
		}
	}
}

// walkAtRandom moves one cursor in all ways, in random order.
func (w *world) walkAtRandom(t *testing.T, moves int) {
	keys := w.model.keys()
	c, at := NewCursor(w.log, w.tree), -1
	must(t, c.Seek(nil))
	at = 0
	for range moves {
		key := w.randomKey()
		switch move := w.r.IntN(8); {
		case move == 0:
			must(t, c.Seek(key))
			at = sort.SearchStrings(keys, string(key))
			expect(t, c, keys, at, "seek")
		case move == 1:
			must(t, c.SeekBefore(key))
			at = sort.SearchStrings(keys, string(key)) - 1
			expect(t, c, keys, at, "seek before")
		case move == 2 && at < len(keys) && at >= 0:
			// As a listing skips what has a prefix.
			key = append([]byte(keys[at]), 0xff)
			must(t, c.Seek(key))
			at = sort.SearchStrings(keys, string(key))
			expect(t, c, keys, at, "seek forward")
		case move < 6:
			must(t, c.Next())
			at = min(at+1, len(keys))
			expect(t, c, keys, at, "next")
		default:
			must(t, c.Prev())
			at = max(at-1, -1)
			expect(t, c, keys, at, "prev")
		}
	}
}

func TestCursorWalksBothWays(t *testing.T) {
	w := newWorld(t, newSeed())
	w.opts.PageBytes = 512
	w.merge(w.randomChanges(3000, 0))
	keys := w.model.keys()
	c := NewCursor(w.log, w.tree)
	must(t, c.Seek(nil))
	for i := range keys {
		expect(t, c, keys, i, "forward")
		want := w.model[keys[i]]
		if e := c.Entry(); !equalEntries(&e, &want) {
			t.Fatalf("%s, want %s", brief(e), brief(want))
		}
		must(t, c.Next())
	}
	expect(t, c, keys, len(keys), "at the end")
	must(t, c.SeekBefore(nil))
	for i := len(keys) - 1; i >= -1; i-- {
		expect(t, c, keys, i, "backward")
		must(t, c.Prev())
	}
}

func TestCursorLeafByLeaf(t *testing.T) {
	w := newWorld(t, 1)
	w.merge(sequential(page.SpaceUser, 0, 5000))
	c, n := NewCursor(w.log, w.tree), 0
	for must(t, c.Seek([]byte{0})); c.Valid(); must(t, c.NextLeaf()) {
		p, i := c.Leaf()
		if i != 0 {
			t.Fatalf("at entry %d of a leaf", i)
		}
		n += p.Count()
	}
	if n != 5000 {
		t.Fatalf("%d entries", n)
	}
}

func TestCursorOfNothing(t *testing.T) {
	var zero Cursor
	for _, c := range []*Cursor{&zero, NewCursor(newMemLog(), Tree{})} {
		for _, move := range []func() error{
			c.Next, c.Prev, c.NextLeaf,
			func() error { return c.Seek(nil) }, func() error { return c.SeekBefore(nil) },
			func() error { return c.Seek([]byte("\x00a")) },
		} {
			if err := move(); err != nil || c.Valid() {
				t.Fatalf("%v, %v", err, c.Valid())
			}
		}
	}
}

// Skipping to a near key must not begin at the root again.
func TestSeekForwardReadsFewPages(t *testing.T) {
	w := newWorld(t, 1)
	w.merge(sequential(page.SpaceUser, 0, 20_000))
	list := sequential(page.SpaceUser, 0, 20_000)
	c := NewCursor(w.log, w.tree)
	must(t, c.Seek(list[0].Key))
	leaves := 20_000 / c.path[0].page.Count()
	before := w.log.reads
	for i := range list {
		must(t, c.Seek(list[i].Key))
		if !c.Valid() || !bytes.Equal(c.Key(), list[i].Key[1:]) {
			t.Fatalf("seek %d", i)
		}
	}
	if reads := w.log.reads - before; reads > leaves*5/4 {
		t.Fatalf("%d pages read for a walk over %d leaves", reads, leaves)
	}
}

func TestGetAgreesWithMap(t *testing.T) {
	for _, size := range pageSizes {
		w := newWorld(t, newSeed())
		w.opts.PageBytes = size
		for range 4 {
			w.merge(w.randomChanges(800, 1))
			for range 2000 {
				key := w.randomKey()
				want, hit := w.model[string(key)]
				p, i, found, err := Get(w.log, w.tree, key)
				if err != nil || found != hit {
					t.Fatalf("%q: %v, %v, want %v", key, found, err, hit)
				}
				if !found {
					continue
				}
				if e := p.Entry(i); !equalEntries(&e, &want) {
					t.Fatalf("%s, want %s", brief(e), brief(want))
				}
			}
		}
	}
}

func TestGetBatchAgreesWithGet(t *testing.T) {
	w := newWorld(t, newSeed())
	w.opts.PageBytes = 512
	for range 3 {
		var keys [][]byte
		for range w.r.IntN(100) {
			keys = append(keys, w.randomKey())
		}
		hits := make([]Hit, len(keys))
		GetBatch(w.log, w.tree, keys, hits)
		for i, key := range keys {
			p, at, found, err := Get(w.log, w.tree, key)
			if err != nil || hits[i] != (Hit{Page: p, Index: at}) || found != (p != nil) {
				t.Fatalf("%q: %+v, want %v %d", key, hits[i], p, at)
			}
		}
		w.merge(w.randomChanges(1000, 0))
	}
}

func TestGetAllocatesNothing(t *testing.T) {
	w := newWorld(t, 1)
	w.merge(sequential(page.SpaceUser, 0, 20_000))
	key := sequential(page.SpaceUser, 13_141, 1)[0].Key
	keys, hits := [][]byte{key, key, key}, make([]Hit, 3)
	c := NewCursor(w.log, w.tree)
	n := testing.AllocsPerRun(100, func() {
		if GetBatch(w.log, w.tree, keys, hits); hits[2].Page == nil {
			t.Fatal(hits[2])
		}
		if _, _, found, err := Get(w.log, w.tree, key); !found || err != nil {
			t.Fatal(found, err)
		}
		c.Reset(w.log, w.tree)
		if err := c.Seek(key); err != nil || !c.Valid() {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
