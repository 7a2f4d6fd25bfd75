package btree

import (
	"bytes"

	"kivaloo/kvstore/page"
)

// A Cursor walks the entries of one tree in order, both ways. It holds the pages
// on the way to its entry, so a step reads a page only at a leaf's end. The zero
// Cursor is of an empty tree. It is used by one goroutine at a time.
//
// After an error a cursor stands nowhere, until the next Seek.
type Cursor struct {
	src    Source
	tree   Tree
	path   [heightMax]step // by level: path[0] is the leaf
	onPath bool            // path leads from the root to a leaf
	valid  bool            // and path[0].index is an entry of it
}

// A step is a page on the path, and the child or entry that the path takes.
type step struct {
	page  *page.Page
	index int
}

// NewCursor makes a cursor that stands nowhere.
func NewCursor(src Source, tree Tree) *Cursor {
	c := new(Cursor)
	c.Reset(src, tree)
	return c
}

// Reset makes the cursor one of another tree, without allocating.
func (c *Cursor) Reset(src Source, tree Tree) { *c = Cursor{src: src, tree: tree} }

// Valid says whether the cursor stands at an entry.
func (c *Cursor) Valid() bool { return c.valid }

// Leaf is the leaf that the cursor stands in, and the index of its entry there.
func (c *Cursor) Leaf() (*page.Page, int) { return c.path[0].page, c.path[0].index }

// Entry is the entry that the cursor stands at.
func (c *Cursor) Entry() page.Entry { return c.path[0].page.Entry(c.path[0].index) }

// Space and Key are the entry's key.
func (c *Cursor) Space() byte { return c.path[0].page.Space() }

// Key is without the keyspace byte.
func (c *Cursor) Key() []byte { return c.path[0].page.Key(c.path[0].index) }

// Seek goes to the first entry whose internal key is not below key. From where
// the cursor stands it climbs only as far as it must.
func (c *Cursor) Seek(key []byte) error {
	if err := c.descend(key); err != nil || !c.onPath {
		return err
	}
	leaf := &c.path[0]
	leaf.index, _ = leaf.page.Search(key)
	return c.settleForward()
}

// SeekBefore goes to the last entry whose internal key is below key; nil stands
// for the end of all keys.
func (c *Cursor) SeekBefore(key []byte) error {
	if key == nil {
		return c.seekLast()
	}
	if err := c.descend(key); err != nil || !c.onPath {
		return err
	}
	leaf := &c.path[0]
	leaf.index, _ = leaf.page.Search(key)
	leaf.index--
	return c.settleBackward()
}

// Next goes to the following entry. From behind the last one it stays there, and
// Prev comes back to the last; before the first it is the other way around.
func (c *Cursor) Next() error { return c.Skip(1) }

// Prev goes to the entry before.
func (c *Cursor) Prev() error {
	if !c.onPath {
		return nil
	}
	c.path[0].index--
	return c.settleBackward()
}

// NextLeaf goes to the first entry of the following leaf.
func (c *Cursor) NextLeaf() error {
	if !c.onPath {
		return nil
	}
	return c.Skip(c.path[0].page.Count() - c.path[0].index)
}

// Skip goes n entries on within the leaf, or to the following leaf's first entry
// if that is as far as its end.
func (c *Cursor) Skip(n int) error {
	if !c.onPath {
		return nil
	}
	c.path[0].index += n
	return c.settleForward()
}

// settleForward moves a position behind the last entry of a leaf to the first
// entry of the next, if there is one.
func (c *Cursor) settleForward() error {
	for c.path[0].index >= c.path[0].page.Count() {
		if more, err := c.turn(+1); !more {
			c.valid = false
			c.path[0].index = c.path[0].page.Count()
			return err
		}
	}
	c.valid = true
	return nil
}

// settleBackward moves a position before the first entry of a leaf to the last
// entry of the leaf before, if there is one.
func (c *Cursor) settleBackward() error {
	for c.path[0].index < 0 {
		if more, err := c.turn(-1); !more {
			c.valid = false
			c.path[0].index = -1
			return err
		}
	}
	c.valid = true
	return nil
}

// turn goes to the neighbouring leaf, to its first entry (+1) or its last (-1).
func (c *Cursor) turn(by int) (more bool, err error) {
	level := 1
	for ; level < c.tree.Height; level++ {
		s := &c.path[level]
		if i := s.index + by; i >= 0 && i < s.page.Count() {
			s.index = i
			break
		}
	}
	if level >= c.tree.Height {
		return false, nil
	}
	for ; level > 0; level-- {
		if err := c.load(level); err != nil {
			return false, err
		}
		if by < 0 {
			c.path[level-1].index = c.path[level-1].page.Count() - 1
		}
	}
	return true, nil
}

// seekLast goes to the last entry of the tree.
func (c *Cursor) seekLast() error {
	if err := c.loadRoot(); err != nil || !c.onPath {
		return err
	}
	for level := c.tree.Height - 1; ; level-- {
		c.path[level].index = c.path[level].page.Count() - 1
		if level == 0 {
			c.valid = true
			return nil
		}
		if err := c.load(level); err != nil {
			return err
		}
	}
}

// descend makes the path lead to the leaf whose bracket holds key.
func (c *Cursor) descend(key []byte) error {
	level, err := c.climb(key)
	if err != nil || !c.onPath {
		return err
	}
	for ; level > 0; level-- {
		c.path[level].index = c.path[level].page.Route(key)
		if err := c.load(level); err != nil {
			return err
		}
	}
	return nil
}

// climb answers the lowest level whose page on the path is sure to lead to key.
// A page's fences may be narrower than its bracket, so a key between two pages
// costs a level more than it would have to.
func (c *Cursor) climb(key []byte) (int, error) {
	top := c.tree.Height - 1
	if !c.onPath {
		return top, c.loadRoot()
	}
	level := 0
	for level < top && !within(c.path[level].page, key) {
		level++
	}
	return level, nil
}

// within says whether key lies within the fences of p.
func within(p *page.Page, key []byte) bool {
	return below(key, p.Upper()) && bytes.Compare(key, p.Lower()) >= 0
}

// loadRoot begins a path.
func (c *Cursor) loadRoot() error {
	c.valid, c.onPath = false, false
	if c.tree.Height == 0 {
		return nil
	}
	if err := c.tree.check(); err != nil {
		return err
	}
	top := c.tree.Height - 1
	p, err := readPage(c.src, c.tree.Root, top, bracket{})
	if err != nil {
		return err
	}
	c.path[top] = step{page: p}
	c.onPath = true
	return nil
}

// load reads the child that the path takes at level, and begins at its front.
func (c *Cursor) load(level int) error {
	s := c.path[level]
	low, high := s.page.Bracket(s.index)
	p, err := readPage(c.src, s.page.Child(s.index), level-1, bracket{low, high})
	if err != nil {
		c.onPath, c.valid = false, false
		return err
	}
	c.path[level-1] = step{page: p}
	return nil
}
