package btree

import (
	"bytes"
	"fmt"
	"maps"
	"testing"

	"kivaloo/kvstore/page"
)

// pageSizes make trees from one level to very many.
var pageSizes = []int{PageBytesMin, 512, 2048, PageBytesDefault, PageBytesMax}

func TestMergeAgreesWithMap(t *testing.T) {
	for _, size := range pageSizes {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			w, highest := newWorld(t, newSeed()), 0
			w.opts.PageBytes = size
			for range 60 {
				w.opts.WriteBytes = 1 << w.r.IntN(20)
				w.opts.BudgetBytes = w.r.IntN(3) * w.r.IntN(40000)
				w.merge(w.randomChanges(1<<w.r.IntN(10), w.r.IntN(4)))
				w.check()
				highest = max(highest, w.tree.Height)
			}
			w.dropAll()
			t.Logf("%d levels", highest)
			if highest < 4 && size <= 512 {
				t.Fatalf("no tree was higher than %d", highest)
			}
		})
	}
}

// dropAll makes the tree empty, and so no page live.
func (w *world) dropAll() {
	w.t.Helper()
	w.merge([]Change{{Key: []byte{}, End: []byte{2}, Payload: &op{}}})
	w.check()
	if w.tree != (Tree{}) || len(w.log.live) != 0 {
		w.t.Fatalf("after dropping all: %+v, %d live pages", w.tree, len(w.log.live))
	}
}

// Pages of small entries share wherever they can.
func TestMergeLeavesNoPageTooSmall(t *testing.T) {
	for _, size := range []int{512, 2048} {
		w := newWorld(t, newSeed())
		w.opts.PageBytes, w.small = size, true
		for range 60 {
			old := maps.Clone(w.log.live)
			w.merge(w.randomChanges(1<<w.r.IntN(11), w.r.IntN(4)))
			w.checkShape(old)
		}
		w.check()
	}
}

// checkShape makes sure that pages are neither too long nor too short, as far as
// the last merge has written them: old are the pages that it has not.
func (w *world) checkShape(old map[page.Ref]bool) {
	w.t.Helper()
	must(w.t, Check(w.log, w.tree, func(ref page.Ref, level int, p *page.Page, err error) error {
		if err != nil || old[ref] {
			return err
		}
		if few := 1 + 2*min(level, 1); len(p.Bytes()) > w.opts.PageBytes && p.Count() > few {
			return fmt.Errorf("page of level %d with %d units has %d bytes", level, p.Count(), len(p.Bytes()))
		}
		if level > 0 && p.Count() < 2 && level == w.tree.Height-1 {
			return fmt.Errorf("root with one child")
		}
		for i := 0; level > 0 && i < p.Count(); i++ {
			if !old[p.Child(i)] {
				w.checkSibling(p, i)
			}
		}
		return nil
	}))
}

// checkSibling makes sure that child i of a page is not too little, unless it has
// no sibling or may be the end of an ascending load.
func (w *world) checkSibling(parent *page.Page, i int) {
	w.t.Helper()
	p, err := w.log.Page(parent.Child(i), parent.Level()-1)
	must(w.t, err)
	enough := len(p.Bytes()) >= w.opts.PageBytes/4 && (p.Level() == 0 || p.Count() > 1)
	if enough || len(p.Upper()) <= 1 {
		return
	}
	for _, k := range []int{i - 1, i + 1} {
		if k < 0 || k >= parent.Count() {
			continue
		}
		q, err := w.log.Page(parent.Child(k), p.Level())
		must(w.t, err)
		fits := len(p.Bytes())+len(q.Bytes()) <= w.opts.PageBytes
		if fits && (p.Level() > 0 || p.Space() == q.Space()) {
			for j := range parent.Count() {
				c, _ := w.log.Page(parent.Child(j), p.Level())
				w.t.Logf("  %d: %d units %d bytes low %.30q upper %.30q", j, c.Count(), len(c.Bytes()), c.Lower(), c.Upper())
			}
			w.t.Fatalf("page %d of level %d with %d units has %d bytes, and a sibling", i, p.Level(), p.Count(), len(p.Bytes()))
		}
	}
}

func TestStepsGiveWhatOneMergeGives(t *testing.T) {
	seed := newSeed()
	for _, budget := range []int{1, 4000} {
		one, steps := newWorld(t, seed), newWorld(t, seed)
		one.opts.PageBytes, steps.opts.PageBytes = 1024, 1024
		steps.opts.BudgetBytes = budget
		n := 0
		for range 8 {
			one.merge(one.randomChanges(600, 2))
			n += steps.merge(steps.randomChanges(600, 2))
			one.check()
			steps.check()
		}
		if n < 16 {
			t.Fatalf("budget of %d: %d steps only", budget, n)
		}
	}
}

// After every step, what lies below next is merged and the rest is not.
func TestEveryStepIsAWholeTree(t *testing.T) {
	w := newWorld(t, newSeed())
	w.opts.PageBytes, w.opts.BudgetBytes = 512, 2000
	w.merge(w.randomChanges(1000, 0))
	w.check()
	before, list := model{}, w.randomChanges(500, 3)
	for k, e := range w.model {
		before[k] = e
	}
	for i := range list {
		w.model.apply(&list[i])
	}
	opts := w.opts
	for {
		tree, next, _, err := Merge(w.log, w.log, w.tree, &changeList{list: list}, opts)
		if err != nil {
			t.Fatal(err)
		}
		w.tree, opts.From = tree, next
		for _, e := range checkTree(t, w.log, tree) {
			key := string(append([]byte{e.Space}, e.Key...))
			want := w.model[key]
			if next != nil && key >= string(next) {
				want = before[key]
			}
			if !equalEntries(&e, &want) {
				t.Fatalf("next %q: %s, want %s", next, brief(e), brief(want))
			}
		}
		if next == nil {
			break
		}
	}
	w.check()
}

// sequential are n points in ascending order from number first on.
func sequential(space byte, first, n int) []Change {
	list := make([]Change, n)
	for i := range list {
		stamp := uint64(1<<60 + (first+i)*1000)
		list[i] = Change{
			Key: fmt.Appendf([]byte{space}, "%040d", first+i),
			Payload: &op{entry: page.Entry{
				Value: bytes.Repeat([]byte("v"), 40), Birth: stamp, Modified: stamp, Version: stamp,
			}},
		}
	}
	return list
}

// leafFill is how full the leaves of a keyspace are but the last, as a part.
func (w *world) leafFill(space byte) float64 {
	w.t.Helper()
	var sizes []int
	err := Check(w.log, w.tree, func(_ page.Ref, level int, p *page.Page, err error) error {
		if err == nil && level == 0 && p.Space() == space {
			sizes = append(sizes, len(p.Bytes()))
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	sum := 0
	for _, n := range sizes[:len(sizes)-1] {
		sum += n
	}
	return float64(sum) / float64(len(sizes)-1) / PageBytesDefault
}

func TestSequentialLoadFillsLeaves(t *testing.T) {
	for name, budget := range map[string]int{"one step each": 0, "many steps": 50_000} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			w.opts.BudgetBytes = budget
			w.merge(sequential(page.SpaceSystem, 0, 1000))
			for first := 0; first < 30_000; {
				n := 1 + w.r.IntN(2000)
				w.merge(sequential(page.SpaceUser, first, n))
				first += n
			}
			w.check()
			if fill := w.leafFill(page.SpaceUser); fill < 0.95 {
				t.Fatalf("leaves are %.1f %% full", 100*fill)
			} else {
				t.Logf("leaves are %.1f %% full", 100*fill)
			}
			if fill := w.leafFill(page.SpaceSystem); fill < 0.95 {
				t.Fatalf("leaves of the system keyspace are %.1f %% full", 100*fill)
			}
		})
	}
}

// A merge reads and writes the paths to what has changed, and nothing else.
func TestCostFollowsTheChangedLeaves(t *testing.T) {
	w := newWorld(t, 1)
	w.merge(sequential(page.SpaceUser, 0, 30_000))
	list := []Change{sequential(page.SpaceUser, 20_000, 1)[0]}
	_, _, stats, err := Merge(w.log, w.log, w.tree, &changeList{list: list}, w.opts)
	if err != nil {
		t.Fatal(err)
	}
	if h := w.tree.Height; stats.PagesRead != h || stats.PagesWritten != h || stats.PagesDead != h {
		t.Fatalf("one changed entry in a tree of %d levels: %+v", h, stats)
	}
}

func TestNothingChangedWritesNothing(t *testing.T) {
	w := newWorld(t, 1)
	w.merge(sequential(page.SpaceUser, 0, 20_000))
	list := []Change{
		{Key: []byte("\x00"), Payload: &op{drop: true}},
		{Key: []byte("\x000"), End: []byte("\x0000"), Payload: &op{}},
		{Key: []byte("\x01x"), Payload: &op{drop: true}},
	}
	tree, _, stats, err := Merge(w.log, w.log, w.tree, &changeList{list: list}, w.opts)
	if err != nil || tree != w.tree || stats.PagesWritten != 0 || stats.PagesDead != 0 {
		t.Fatalf("%+v, %+v, %v", tree, stats, err)
	}
}

// A rest of the old tree keeps its pages: a range that covers most of it leaves
// neighbours that share, and no level more than needed.
func TestDroppingMostCollapsesTheRoot(t *testing.T) {
	w := newWorld(t, 1)
	w.opts.PageBytes = 512
	w.merge(sequential(page.SpaceUser, 0, 20_000))
	high := w.tree.Height
	w.merge([]Change{{Key: fmt.Appendf(nil, "\x00%040d", 2), End: fmt.Appendf(nil, "\x00%040d", 19_998), Payload: &op{}}})
	w.check()
	if w.tree.Height > 2 || high < 4 {
		t.Fatalf("4 entries are %d levels high, were %d", w.tree.Height, high)
	}
	w.merge(sequential(page.SpaceUser, 0, 20_000))
	w.check()
}

// The longest separators leave room for two children only; the tree must still
// get narrower with every level.
func TestLongestKeysAndEntries(t *testing.T) {
	for _, size := range []int{PageBytesMin, PageBytesDefault, PageBytesMax} {
		w := newWorld(t, newSeed())
		w.opts.PageBytes = size
		for range 4 {
			var list []Change
			for range 120 {
				key := append([]byte{1}, bytes.Repeat([]byte{'k'}, 4106)...)
				key = append(key, byte(w.r.IntN(256)), byte(w.r.IntN(8)), 0, 0)
				o := w.randomOp()
				o.entry.Value, o.entry.Meta = make([]byte, 2048), make([]byte, 8192)
				list = append(list, Change{Key: key, Payload: o})
			}
			w.merge(disjoint(list))
			w.check()
		}
		t.Logf("target %d: %d levels", size, w.tree.Height)
		w.dropAll()
	}
}

func TestLeavesHoldOneKeyspace(t *testing.T) {
	w := newWorld(t, 1)
	w.merge(append(sequential(page.SpaceUser, 0, 3), sequential(page.SpaceSystem, 0, 3)...))
	w.check() // a leaf that mixes them cannot be sealed
	if w.tree.Height != 2 {
		t.Fatalf("height %d", w.tree.Height)
	}
	w.merge([]Change{{Key: []byte{0}, End: []byte{1}, Payload: &op{}}})
	w.check()
	if w.tree.Height != 1 {
		t.Fatalf("height %d", w.tree.Height)
	}
	w.merge(sequential(page.SpaceUser, 7, 1))
	w.check()
}

func TestTouchedPagesMove(t *testing.T) {
	w := newWorld(t, newSeed())
	w.opts.PageBytes = 512
	w.merge(sequential(page.SpaceUser, 0, 5000))
	for _, budget := range []int{0, 1500} {
		var old []page.Ref
		var touches []Touch
		err := Check(w.log, w.tree, func(ref page.Ref, level int, p *page.Page, err error) error {
			if w.r.IntN(10) == 0 {
				old = append(old, ref)
				touches = append(touches, Touch{Key: bytes.Clone(p.Lower()), Level: level, Place: ref.Place})
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		sortTouches(touches)
		w.opts.Touches, w.opts.BudgetBytes = touches, budget
		w.merge(nil)
		w.check()
		for _, ref := range old {
			if w.log.live[ref] {
				t.Fatalf("budget %d: page at %v has not moved", budget, ref.Place)
			}
		}
		// All are dead now, so touching them once more costs nothing.
		before := w.tree
		w.merge(nil)
		if w.tree != before {
			t.Fatal("touching dead pages has made another tree")
		}
	}
}

// The pages of a segment that is cleaned are mostly dead. To find that out takes
// their parents; no leaf is read for it.
func TestDeadTouchesReadNoLeaf(t *testing.T) {
	w := newWorld(t, newSeed())
	w.opts.PageBytes = 512
	w.merge(sequential(page.SpaceUser, 0, 5000))
	inner := 0
	for level, refs := range w.pagesOf() {
		for range refs {
			w.opts.Touches = append(w.opts.Touches, Touch{Key: w.randomKey(), Place: page.Place{Block: 1 << 40}})
			inner += min(level, 1)
		}
	}
	sortTouches(w.opts.Touches)
	tree, _, stats, err := Merge(w.log, w.log, w.tree, &changeList{}, w.opts)
	if err != nil || tree != w.tree || stats.PagesRead > inner {
		t.Fatalf("%v; %+v, of %d inner pages", err, stats, inner)
	}
}

func TestTouchesBesideChanges(t *testing.T) {
	w := newWorld(t, newSeed())
	w.opts.PageBytes = 512
	for range 40 {
		w.opts.BudgetBytes = w.r.IntN(2) * 3000
		w.opts.Touches = nil
		for range w.r.IntN(20) {
			w.opts.Touches = append(w.opts.Touches, Touch{Key: w.randomKey(), Level: w.r.IntN(6)})
		}
		sortTouches(w.opts.Touches)
		w.merge(w.randomChanges(1+w.r.IntN(200), w.r.IntN(3)))
		w.check()
	}
}

func sortTouches(list []Touch) {
	for i := range list {
		for j := i; j > 0 && bytes.Compare(list[j].Key, list[j-1].Key) < 0; j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
}
