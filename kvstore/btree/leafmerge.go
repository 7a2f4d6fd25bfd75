package btree

import (
	"bytes"

	"kivaloo/kvstore/page"
)

// A leafMerge merges the changes that are due into the entries of one old leaf,
// and hands the outcome on.
type leafMerge struct {
	m     *merger
	to    *leafLine
	old   *page.Page // nil in an empty tree
	count int        // entries of old
	next  int        // the first that is not handed on yet

	changed bool
	ordered bool // nothing was put in before the last old entry, nothing dropped
}

// run hands on everything below high.
func (x *leafMerge) run(high []byte) error {
	for c := x.m.due(high); c != nil; c = x.m.due(high) {
		if err := x.change(c, high); err != nil {
			return err
		}
	}
	return x.copyTo(x.count)
}

func (x *leafMerge) change(c *Change, high []byte) error {
	if c.End == nil {
		return x.point(c)
	}
	return x.rangeOf(c, high)
}

func (x *leafMerge) point(c *Change) error {
	i, found := x.search(c.Key)
	if err := x.copyTo(i); err != nil {
		return err
	}
	old := page.Entry{Space: c.Key[0], Key: c.Key[1:]}
	if found {
		old = x.old.Entry(i)
		x.next++
	}
	if err := x.resolve(old, found, c); err != nil {
		return err
	}
	return x.m.advance()
}

// rangeOf merges the part of a range that lies in this leaf. A range that goes on
// beyond it becomes due in the next.
func (x *leafMerge) rangeOf(c *Change, high []byte) error {
	from, _ := x.search(x.m.at)
	if err := x.copyTo(from); err != nil {
		return err
	}
	end, _ := x.search(c.End)
	for ; x.next < end; x.next++ {
		if err := x.resolve(x.old.Entry(x.next), true, c); err != nil {
			return err
		}
	}
	if high == nil || bytes.Compare(c.End, high) <= 0 {
		return x.m.advance()
	}
	x.m.at = high
	return nil
}

// search finds a key among the old entries.
func (x *leafMerge) search(key []byte) (int, bool) {
	if x.old == nil {
		return 0, false
	}
	return x.old.Search(key)
}

// copyTo hands on the old entries up to but not including entry i.
func (x *leafMerge) copyTo(i int) error {
	for ; x.next < i; x.next++ {
		if err := x.to.add(x.old.Entry(x.next)); err != nil {
			return err
		}
	}
	return nil
}

// resolve hands on what the caller makes of one entry. Before the call, next is
// behind the entry's place for a point, and at it in a range.
func (x *leafMerge) resolve(old page.Entry, hasOld bool, c *Change) error {
	e, keep, err := x.m.opts.Resolve(old, hasOld, c)
	if err != nil {
		return err
	}
	switch {
	case keep && !hasOld:
		x.m.stats.Added++
		x.ordered = x.ordered && x.next == x.count
		x.changed = true
	case !keep && hasOld:
		x.m.stats.Dropped++
		x.changed, x.ordered = true, false
	case keep && !same(&old, &e):
		x.changed = true
	}
	if !keep {
		return nil
	}
	e.Space, e.Key = old.Space, old.Key
	return x.to.add(e)
}
