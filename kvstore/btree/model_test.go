package btree

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"kivaloo/kvstore/page"
)

var seedFlag = flag.Uint64("seed", 0, "run the random tests with this seed")

// newSeed is a new seed, or the one that was asked for.
func newSeed() uint64 {
	if *seedFlag != 0 {
		return *seedFlag
	}
	return rand.Uint64()
}

// A model is what the tree should hold: entries by internal key.
type model map[string]page.Entry

func (m model) keys() []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// An op is the payload of a change.
type op struct {
	entry page.Entry
	drop  bool
	bump  bool // of a range: raise the version and drop nothing
}

// resolveOp is the Resolve of these tests. What it answers for a key depends on
// what was there, so a change that is merged twice or not at all is seen.
func resolveOp(old page.Entry, hasOld bool, c *Change) (page.Entry, bool, error) {
	o := c.Payload.(*op)
	if c.End != nil {
		old.Version++
		return old, o.bump, nil
	}
	e := o.entry
	if hasOld {
		e.Birth = old.Birth
		e.Version = old.Version + 1
	}
	return e, !o.drop, nil
}

// apply does to the model what merging the change does to the tree.
func (m model) apply(c *Change) {
	if c.End == nil {
		old, hasOld := m[string(c.Key)]
		m.put(c, string(c.Key), old, hasOld)
		return
	}
	for k, old := range m {
		if k >= string(c.Key) && k < string(c.End) {
			m.put(c, k, old, true)
		}
	}
}

func (m model) put(c *Change, key string, old page.Entry, hasOld bool) {
	e, keep, _ := resolveOp(old, hasOld, c)
	if !keep {
		delete(m, key)
		return
	}
	e.Space, e.Key = key[0], []byte(key[1:])
	m[key] = e
}

// changeList is an iterator of changes.
type changeList struct {
	list []Change
	next int
}

func (l *changeList) Next() (*Change, error) {
	if l.next == len(l.list) {
		return nil, nil
	}
	l.next++
	return &l.list[l.next-1], nil
}

// A world is a tree in a log beside the model of it.
type world struct {
	t     testing.TB
	r     *rand.Rand
	log   *memLog
	tree  Tree
	model model
	opts  Options
	stamp uint64
	small bool // no long keys, values and metadata
}

func newWorld(t testing.TB, seed uint64) *world {
	t.Logf("seed %d", seed)
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 0)), log: newMemLog(), model: model{}, stamp: 1 << 60}
	w.opts = Options{Resolve: resolveOp, Dead: w.log.dead(t)}
	return w
}

// merge merges changes into both, in as many steps as the budget makes.
func (w *world) merge(list []Change) (steps int) {
	w.t.Helper()
	for i := range list {
		w.model.apply(&list[i])
	}
	opts := w.opts
	for {
		tree, next, stats, err := Merge(w.log, w.log, w.tree, &changeList{list: list}, opts)
		if err != nil {
			w.t.Fatal(err)
		}
		if next != nil && (stats.PagesWritten == 0 || bytes.Compare(next, opts.From) <= 0 && steps > 0) {
			w.t.Fatalf("no step forward: from %q to %q, %+v", opts.From, next, stats)
		}
		w.tree, steps = tree, steps+1
		if next == nil {
			return steps
		}
		opts.From = next
	}
}

// check makes sure that the tree holds what the model does.
func (w *world) check() {
	w.t.Helper()
	got, keys := checkTree(w.t, w.log, w.tree), w.model.keys()
	for i := range min(len(got), len(keys)) {
		want := w.model[keys[i]]
		if !equalEntries(&got[i], &want) {
			w.t.Fatalf("entry %d of %d:\n%+v, want\n%+v", i, len(got), brief(got[i]), brief(want))
		}
	}
	if len(got) != len(keys) {
		w.t.Fatalf("%d entries, want %d", len(got), len(keys))
	}
}

func equalEntries(a, b *page.Entry) bool {
	return a.Space == b.Space && bytes.Equal(a.Key, b.Key) && same(a, b)
}

func brief(e page.Entry) string {
	return fmt.Sprintf("%d %.60q value %d bytes, meta %d, %d %d %d %x", e.Space, e.Key, len(e.Value), len(e.Meta), e.Birth, e.Modified, e.Version, e.Flags)
}

// randomKey has much in common with others, seldom is very long, and seldom of
// the system.
func (w *world) randomKey() []byte {
	r := w.r
	key := []byte{page.SpaceUser}
	if r.IntN(8) == 0 {
		key[0] = page.SpaceSystem
	}
	switch few := r.IntN(20); {
	case few == 0 && !w.small:
		return append(append(key, bytes.Repeat([]byte("long"), r.IntN(1023))...), byte(r.IntN(256)))
	case few == 1:
		return append(key, bytes.Repeat([]byte{0}, r.IntN(5))...)
	}
	for range r.IntN(4) {
		key = append(key, [...]string{"users/", "a/", "mail/", "\xff\xff"}[r.IntN(4)]...)
	}
	return fmt.Appendf(key, "%d", r.IntN(400))
}

func (w *world) randomOp() *op {
	r := w.r
	w.stamp += uint64(r.IntN(1000))
	o := &op{drop: r.IntN(3) == 0, bump: r.IntN(4) == 0}
	e := &o.entry
	e.Birth, e.Modified, e.Version = w.stamp, w.stamp, w.stamp
	e.Value = bytes.Repeat([]byte{byte(r.IntN(256))}, r.IntN(60))
	switch few := r.IntN(30); {
	case few == 0 && !w.small:
		e.Value = make([]byte, r.IntN(2049))
		e.Meta = make([]byte, r.IntN(8193))
	case few == 1:
		e.Flags = page.Blob
	case few == 2:
		e.Modified, e.Flags = r.Uint64(), page.Brought|page.Link
	}
	return o
}

// randomChanges are n points, and a few ranges, disjoint and in order.
func (w *world) randomChanges(n, ranges int) []Change {
	var list []Change
	for range n {
		list = append(list, Change{Key: w.randomKey(), Payload: w.randomOp()})
	}
	for range ranges {
		a, b := w.randomKey(), w.randomKey()
		if bytes.Compare(a, b) > 0 {
			a, b = b, a
		}
		list = append(list, Change{Key: a, End: b, Payload: w.randomOp()})
	}
	return disjoint(list)
}

// disjoint sorts changes, and leaves out those that begin within the one before.
func disjoint(list []Change) []Change {
	slices.SortStableFunc(list, func(a, b Change) int { return bytes.Compare(a.Key, b.Key) })
	var out []Change
	floor, strict := []byte(nil), false
	for _, c := range list {
		if order := bytes.Compare(c.Key, floor); order < 0 || (order == 0 && strict) {
			continue
		}
		out = append(out, c)
		floor, strict = c.Key, true
		if c.End != nil {
			floor, strict = c.End, false
		}
	}
	return out
}
