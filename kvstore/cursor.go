package kvstore

import (
	"bytes"

	"kivaloo/kvstore/btree"
	"kivaloo/kvstore/delta"
	"kivaloo/kvstore/page"
)

// A cursor walks the pairs of a state in order, or backwards: its deltas and its
// tree side by side, the newest layer first where several have a key. Used by one
// goroutine at a time; keys and pairs are valid until the next step.
type cursor struct {
	s       *state
	src     btree.Source
	reverse bool

	deltas [layers]struct {
		it delta.Iterator
		ok bool
	}
	tree    btree.Cursor
	treeKey []byte // internal key of the tree's entry, if treeOK
	treeOK  bool

	winner int // the layer that the current pair comes from; layers: the tree
}

// cursor makes a cursor that stands nowhere.
func (s *state) cursor(src btree.Source) *cursor {
	c := &cursor{s: s, src: src}
	c.tree.Reset(src, s.tree)
	for i := range c.deltas {
		if d := s.layer(i); d != nil {
			c.deltas[i].it = d.Iterator()
		}
	}
	return c
}

// seek goes to the first pair whose internal key is at least key; seekBefore to
// the last one below it, and on backwards from there.
func (c *cursor) seek(key []byte) (bool, error) { return c.start(key, false) }

func (c *cursor) seekBefore(key []byte) (bool, error) { return c.start(key, true) }

func (c *cursor) start(key []byte, reverse bool) (bool, error) {
	c.reverse = reverse
	for i := range layers + 1 {
		if err := c.seekLayer(i, key); err != nil {
			return false, err
		}
	}
	return c.settle()
}

// seekLayer positions one layer.
func (c *cursor) seekLayer(i int, key []byte) error {
	if i < layers {
		d := &c.deltas[i]
		switch {
		case c.s.layer(i) == nil:
		case c.reverse:
			d.ok = d.it.SeekBefore(key)
		default:
			d.ok = d.it.Seek(key)
		}
		return nil
	}
	seek := c.tree.Seek
	if c.reverse {
		seek = c.tree.SeekBefore
	}
	err := seek(key)
	c.readTreeKey()
	return err
}

func (c *cursor) readTreeKey() {
	if c.treeOK = c.tree.Valid(); c.treeOK {
		c.treeKey = append(append(c.treeKey[:0], c.tree.Space()), c.tree.Key()...)
	}
}

// endLayer takes a layer out of the walk.
func (c *cursor) endLayer(i int) {
	if i < layers {
		c.deltas[i].ok = false
		return
	}
	c.treeOK = false
}

// layerKey is where a layer stands.
func (c *cursor) layerKey(i int) (key []byte, ok bool) {
	if i == layers {
		return c.treeKey, c.treeOK
	}
	if !c.deltas[i].ok {
		return nil, false
	}
	return c.deltas[i].it.Entry().Key, true
}

// key is the internal key of the current pair.
func (c *cursor) key() []byte {
	key, _ := c.layerKey(c.winner)
	return key
}

// next goes to the following pair, in the direction of the walk.
func (c *cursor) next() (bool, error) {
	if err := c.pass(); err != nil {
		return false, err
	}
	return c.settle()
}

// pass moves every layer that stands at the winner's key.
func (c *cursor) pass() error {
	key := c.key()
	for i := layers; i >= 0; i-- {
		if i == c.winner {
			continue
		}
		if k, ok := c.layerKey(i); ok && bytes.Equal(k, key) {
			if err := c.stepLayer(i); err != nil {
				return err
			}
		}
	}
	return c.stepLayer(c.winner)
}

func (c *cursor) stepLayer(i int) error {
	if i < layers {
		d := &c.deltas[i]
		if c.reverse {
			d.ok = d.it.Prev()
		} else {
			d.ok = d.it.Next()
		}
		return nil
	}
	step := c.tree.Next
	if c.reverse {
		step = c.tree.Prev
	}
	err := step()
	c.readTreeKey()
	return err
}

// settle finds the layer whose key is next, going over what newer layers have
// deleted.
func (c *cursor) settle() (bool, error) {
	for {
		if !c.pick() {
			return false, nil
		}
		skipped, err := c.skipCovered()
		if err != nil {
			return false, err
		}
		if skipped {
			continue
		}
		if c.winner == layers || !c.deltas[c.winner].it.Entry().Has(delta.Deleted) {
			return true, nil
		}
		if err := c.pass(); err != nil {
			return false, err
		}
	}
}

// pick makes the layer with the nearest key the winner, the newest of equals.
func (c *cursor) pick() bool {
	var best []byte
	found := false
	for i := range layers + 1 {
		key, ok := c.layerKey(i)
		if !ok {
			continue
		}
		order := -1
		if found {
			order = bytes.Compare(key, best)
			if c.reverse {
				order = -order
			}
		}
		if order < 0 {
			best, c.winner, found = key, i, true
		}
	}
	return found
}

// skipCovered moves the winner, and all layers older than it, out of a range that
// a newer layer has deleted.
func (c *cursor) skipCovered() (bool, error) {
	key := c.key()
	for i := range c.winner {
		d := c.s.layer(i)
		if d == nil {
			continue
		}
		r := d.Covering(key)
		if r == nil {
			continue
		}
		for j := i + 1; j <= layers; j++ {
			if err := c.leave(j, r); err != nil {
				return false, err
			}
		}
		return true, nil
	}
	return false, nil
}

// leave moves a layer that stands in a deleted range to its far side.
func (c *cursor) leave(i int, r *delta.Entry) error {
	key, ok := c.layerKey(i)
	if !ok {
		return nil
	}
	if c.reverse {
		if bytes.Compare(key, r.Key) < 0 {
			return nil
		}
		return c.seekLayer(i, r.Key)
	}
	if len(r.Value) == 0 {
		c.endLayer(i)
		return nil
	}
	if bytes.Compare(key, r.Value) >= 0 {
		return nil
	}
	return c.seekLayer(i, r.Value)
}

// run is a row of entries of one leaf that a walk forward goes through next, up to
// the first key of a newer layer, or end: leaf entries from <= i < to. It is empty
// where newer layers have something to say about each.
func (c *cursor) run(end []byte) (leaf *page.Page, from, to int) {
	if c.winner != layers || c.reverse {
		return nil, 0, 0
	}
	for i := range layers {
		if d := c.s.layer(i); d != nil && d.Ranges() > 0 {
			return nil, 0, 0
		}
		if key, ok := c.layerKey(i); ok && bytes.Compare(key, end) < 0 {
			end = key
		}
	}
	leaf, from = c.tree.Leaf()
	to, _ = leaf.Search(end)
	return leaf, from, to
}

// skip goes n entries of a run on.
func (c *cursor) skip(n int) (bool, error) {
	err := c.tree.Skip(n)
	c.readTreeKey()
	if err != nil {
		return false, err
	}
	return c.settle()
}

// keyToKeep is the current key without its keyspace byte, for who keeps it beyond
// the next step: it lies in a page or a delta.
func (c *cursor) keyToKeep() []byte {
	if c.winner == layers {
		return c.tree.Key()
	}
	key := c.key()
	return key[1:len(key):len(key)]
}

// pair is the current pair. Without stamps, birth and metadata may be missing.
func (c *cursor) pair(stamps bool) (pair, error) {
	if c.winner < layers {
		p, _, err := c.s.fromDelta(c.src, c.deltas[c.winner].it.Entry(), stamps, c.winner)
		return p, err
	}
	leaf, i := c.tree.Leaf()
	return treePair(leaf, i, stamps), nil
}

// fromTree looks a key up in the tree.
func (s *state) fromTree(src btree.Source, key []byte, stamps bool) (pair, bool, error) {
	leaf, i, found, err := btree.Get(src, s.tree, key)
	if err != nil || !found {
		return pair{}, false, err
	}
	return treePair(leaf, i, stamps), true, nil
}

func treePair(leaf *page.Page, i int, stamps bool) pair {
	if !stamps {
		value, flags := leaf.Value(i)
		return pair{value: value, flags: delta.Flags(flags) & delta.PairFlags}
	}
	e := leaf.Entry(i)
	return entryPair(&e)
}

func entryPair(e *page.Entry) pair {
	return pair{e.Value, e.Meta, e.Birth, e.Modified, e.Version, delta.Flags(e.Flags), 0}
}
