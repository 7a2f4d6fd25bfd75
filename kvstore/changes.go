package kvstore

import (
	"bytes"

	"kivaloo/kvstore/btree"
	"kivaloo/kvstore/delta"
)

// changes yields what a frozen delta holds in a range of internal keys as disjoint
// items in order: an entry where it has one, and its deleted ranges in the gaps
// between them. It implements btree.Changes.
type changes struct {
	points  delta.Iterator
	pointOK bool
	ranges  delta.Iterator
	rangeOK bool
	at      []byte          // all below it has been yielded
	end     []byte          // exclusive
	bufs    [2]btree.Change // by turns, since the merge looks at the one before
	turn    int
}

func newChanges(d *delta.Delta, start, end []byte) *changes {
	c := &changes{points: d.Iterator(), ranges: d.RangeIterator(), at: start, end: end}
	c.pointOK = c.points.Seek(start)
	// A range that begins before start may reach into it.
	if r := d.Covering(start); r != nil {
		c.rangeOK = c.ranges.Seek(r.Key)
	} else {
		c.rangeOK = c.ranges.Seek(start)
	}
	return c
}

// Next answers the next change, or nil.
func (c *changes) Next() (*btree.Change, error) {
	point := c.point()
	for {
		r := c.rang()
		if r == nil {
			break
		}
		from, to := maxKey(r.Key, c.at), c.end
		if len(r.Value) > 0 {
			to = minKey(r.Value, c.end)
		}
		if point != nil {
			to = minKey(to, point.Key)
		}
		if bytes.Compare(from, to) < 0 {
			c.at = to
			return c.change(btree.Change{Key: from, End: to, Payload: r}), nil
		}
		if point != nil && bytes.Compare(r.Key, point.Key) > 0 {
			break // the range begins behind the point
		}
		if point != nil && (len(r.Value) == 0 || bytes.Compare(r.Value, point.Key) > 0) {
			break // the point lies inside the range, or at its start
		}
		c.rangeOK = c.ranges.Next()
	}
	if point == nil {
		return nil, nil
	}
	if c.rangeOK {
		c.at = append(bytes.Clone(point.Key), 0) // a range may go on behind the point
	}
	c.pointOK = c.points.Next()
	return c.change(btree.Change{Key: point.Key, Payload: point}), nil
}

func (c *changes) change(ch btree.Change) *btree.Change {
	c.turn = 1 - c.turn
	c.bufs[c.turn] = ch
	return &c.bufs[c.turn]
}

// point is the next entry, or nil.
func (c *changes) point() *delta.Entry {
	if !c.pointOK || bytes.Compare(c.points.Entry().Key, c.end) >= 0 {
		return nil
	}
	return c.points.Entry()
}

// rang is the next deleted range, or nil.
func (c *changes) rang() *delta.Entry {
	if !c.rangeOK || bytes.Compare(c.ranges.Entry().Key, c.end) >= 0 {
		return nil
	}
	return c.ranges.Entry()
}

func maxKey(a, b []byte) []byte {
	if bytes.Compare(a, b) < 0 {
		return b
	}
	return a
}

func minKey(a, b []byte) []byte {
	if bytes.Compare(a, b) < 0 {
		return a
	}
	return b
}
