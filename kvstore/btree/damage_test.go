package btree

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"testing"

	"kivaloo/kvstore/kv"
	"kivaloo/kvstore/page"
)

// pagesOf are the references of all pages of a tree, by level.
func (w *world) pagesOf() [][]page.Ref {
	list := make([][]page.Ref, w.tree.Height)
	must(w.t, Check(w.log, w.tree, func(ref page.Ref, level int, _ *page.Page, err error) error {
		list[level] = append(list[level], ref)
		return err
	}))
	return list
}

// damagedAt makes sure that the damage of one page is found, reported with its
// place and keys, and kept to the keys below that page.
func (w *world) damagedAt(ref page.Ref, low, high []byte) {
	w.t.Helper()
	clear(w.log.views)
	var damage []error
	must(w.t, Check(w.log, w.tree, func(_ page.Ref, _ int, _ *page.Page, err error) error {
		if err != nil {
			damage = append(damage, err)
		}
		return nil
	}))
	if len(damage) != 1 || !isDamageOf(damage[0], ref) {
		w.t.Fatalf("damage of the page at %v: %v", ref.Place, damage)
	}
	for _, k := range w.model.keys() {
		_, _, found, err := Get(w.log, w.tree, []byte(k))
		below := k >= string(low) && (high == nil || k < string(high))
		var hit [1]Hit
		if GetBatch(w.log, w.tree, [][]byte{[]byte(k)}, hit[:]); below != isDamageOf(hit[0].Err, ref) {
			w.t.Fatalf("batch with %.50q: %v, want %v", k, hit[0].Err, err)
		}
		if below != isDamageOf(err, ref) || (!below && !found) {
			w.t.Fatalf("get of %.50q, below the damaged page: %v: found %v, %v", k, below, found, err)
		}
	}
	c := NewCursor(w.log, w.tree)
	err := c.Seek(nil)
	for err == nil && c.Valid() {
		err = c.Next()
	}
	if !isDamageOf(err, ref) {
		w.t.Fatalf("walk over the damaged page: %v", err)
	}
}

func isDamageOf(err error, ref page.Ref) bool {
	var corrupt *kv.CorruptError
	return errors.Is(err, kv.ErrCorrupt) && errors.As(err, &corrupt) &&
		corrupt.Block == ref.Block && corrupt.Offset == int(ref.Offset)
}

// Whatever stands in a page's place, it is never taken for the page, and the rest
// of the tree stays readable.
func TestDamagedPageIsFoundAndContained(t *testing.T) {
	w := newWorld(t, newSeed())
	w.opts.PageBytes = 512
	w.merge(sequential(page.SpaceUser, 0, 1500))
	stale := bytes.Clone(w.log.data)
	w.merge(sequential(page.SpaceUser, 100, 1300))
	for level, refs := range w.pagesOf() {
		ref := refs[w.r.IntN(len(refs))]
		p, err := w.log.Page(ref, level)
		must(t, err)
		low, high := p.Lower(), p.Upper()
		other := w.log.bytesAt(refs[(w.r.IntN(len(refs)))].Place)
		here := w.log.bytesAt(ref.Place)
		whole := bytes.Clone(here)
		for name, damage := range map[string]func(){
			"flipped bit":   func() { here[w.r.IntN(len(p.Bytes()))] ^= 1 << w.r.IntN(8) },
			"zeros":         func() { clear(here) },
			"stale":         func() { copy(here, stale) },
			"another page":  func() { clear(here); copy(here, other) },
			"half written":  func() { clear(here[len(p.Bytes())/2:]) },
			"shifted bytes": func() { copy(here, here[page.StepBytes:]) },
		} {
			damage()
			if !bytes.Equal(here, whole) {
				t.Run(fmt.Sprintf("%s at level %d", name, level), func(t *testing.T) {
					w.t = t
					w.damagedAt(ref, low, high)
				})
			}
			copy(here, whole)
		}
		w.t = t
		clear(w.log.views)
	}
	w.check()
}

// A page that is whole, of the right level and CRC, but outside its bracket.
func TestPageOutsideItsBracketIsRefused(t *testing.T) {
	l := newMemLog()
	var children []page.Child
	for _, key := range []string{"b", "a"} {
		data, err := page.SealLeaf([]byte("\x00"+key), []byte("\x00"+key+"z"), []page.Entry{{Key: []byte(key)}})
		must(t, err)
		places, _ := l.Write([][]byte{data})
		places[0].Bytes = uint32(page.Padded(len(data)))
		children = append(children, page.Child{Ref: page.Ref{Place: places[0], CRC: page.CRC(data)}})
	}
	children[0].Separator, children[1].Separator = nil, []byte("\x00b")
	data, err := page.SealInner(1, nil, nil, children)
	must(t, err)
	places, _ := l.Write([][]byte{data})
	places[0].Bytes = uint32(page.Padded(len(data)))
	tree := Tree{Root: page.Ref{Place: places[0], CRC: page.CRC(data)}, Height: 2}
	var low []byte
	var corrupt *kv.CorruptError
	if err := Check(l, tree, nil); !errors.As(err, &corrupt) {
		t.Fatalf("check: %v", err)
	}
	if low = corrupt.Low; low != nil && !bytes.Equal(low, []byte{}) {
		t.Fatalf("keys from %q", low)
	}
	if err := NewCursor(l, tree).Seek([]byte("\x00a")); !errors.Is(err, kv.ErrCorrupt) {
		t.Fatalf("cursor: %v", err)
	}
	list := &changeList{list: []Change{{Key: []byte("\x00a"), Payload: &op{}}}}
	if _, _, _, err := Merge(l, l, tree, list, Options{Resolve: resolveOp}); !errors.Is(err, kv.ErrCorrupt) {
		t.Fatalf("merge: %v", err)
	}
}

// A merge that fails leaves the old tree as it was, and nothing dead.
func TestFailedMergeChangesNothing(t *testing.T) {
	w := newWorld(t, newSeed())
	w.opts.PageBytes, w.opts.WriteBytes = 512, 2048
	w.merge(w.randomChanges(2000, 0))
	boom, dead := errors.New("boom"), 0
	for failAt := 0; ; failAt += 1 + failAt/7 {
		calls := 0
		fail := func() error {
			if calls++; calls > failAt {
				return boom
			}
			return nil
		}
		opts := w.opts
		opts.Dead = func(page.Ref) { dead++ }
		opts.Resolve = func(old page.Entry, hasOld bool, c *Change) (page.Entry, bool, error) {
			e, keep, _ := resolveOp(old, hasOld, c)
			return e, keep, fail()
		}
		sink := &failing{log: &memLog{live: maps.Clone(w.log.live)}, fail: fail}
		_, _, stats, err := Merge(&failing{log: w.log, fail: fail}, sink, w.tree, &changeList{list: w.randomChanges(200, 1)}, opts)
		if err == nil {
			break
		}
		if !errors.Is(err, boom) || stats != (Stats{}) || dead > 0 {
			t.Fatalf("%v, %+v, %d pages dead", err, stats, dead)
		}
		w.check()
	}
}

// failing is a log whose every call may fail.
type failing struct {
	log  *memLog
	fail func() error
}

func (f *failing) Page(ref page.Ref, level int) (*page.Page, error) {
	if err := f.fail(); err != nil {
		return nil, err
	}
	return f.log.Page(ref, level)
}

func (f *failing) Write(pages [][]byte) ([]page.Place, error) {
	if err := f.fail(); err != nil {
		return nil, err
	}
	return f.log.Write(pages)
}

func TestChangesOutOfOrderAreRefused(t *testing.T) {
	a, b, c := []byte("\x00a"), []byte("\x00b"), []byte("\x00c")
	for name, list := range map[string][]Change{
		"descending":          {{Key: b}, {Key: a}},
		"twice":               {{Key: a}, {Key: a}},
		"point in a range":    {{Key: a, End: c}, {Key: b}},
		"overlapping ranges":  {{Key: a, End: c}, {Key: b, End: c}},
		"range at its point":  {{Key: a}, {Key: a, End: b}},
		"end before the key":  {{Key: b, End: a}},
		"no keyspace":         {{Key: []byte{}}},
		"descending at a gap": {{Key: a}, {Key: c}, {Key: b}},
	} {
		l := newMemLog()
		for i := range list {
			list[i].Payload = &op{}
		}
		if _, _, _, err := Merge(l, l, Tree{}, &changeList{list: list}, Options{Resolve: resolveOp}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestHeightOutOfBoundsIsRefused(t *testing.T) {
	l := newMemLog()
	for _, h := range []int{-1, heightMax + 1, 1 << 30} {
		tree := Tree{Height: h}
		if err := Check(l, tree, nil); !errors.Is(err, kv.ErrCorrupt) {
			t.Errorf("check of height %d: %v", h, err)
		}
		if err := NewCursor(l, tree).Seek(nil); !errors.Is(err, kv.ErrCorrupt) {
			t.Errorf("cursor of height %d: %v", h, err)
		}
		if _, _, _, err := Get(l, tree, []byte{0}); !errors.Is(err, kv.ErrCorrupt) {
			t.Errorf("get of height %d: %v", h, err)
		}
		hits := make([]Hit, 20)
		if GetBatch(l, tree, make([][]byte, 20), hits); !errors.Is(hits[19].Err, kv.ErrCorrupt) {
			t.Errorf("batch at height %d: %v", h, hits[19].Err)
		}
	}
}
