// Package delta keeps in memory what is committed and not yet in pages: for each
// key the outcome of all changes since the last freeze, and the ranges that were
// deleted as a whole.
//
// A Delta is changed by one goroutine. Freeze hands out an immutable state in
// constant time, which any number of goroutines read without a lock.
//
// # What lies below
//
// A delta lies over another delta or over the page tree. An entry says what is
// to become of the pair below it when the two are merged: a put that is not Fresh
// inherits its birth and metadata, anything else has nothing to do with it. So
// applying the same changes once more, over a state that has them already, changes
// nothing: recovery relies on it.
//
// What a covered pair owns (a blob's chunks) must go, unless the pair was moved:
// then a put of the same delta has it. For pairs of this delta Dropped tells; for
// the pairs below, whoever merges looks whether a put of the delta owns the same.
//
// Keys are internal keys: a keyspace byte, then the key.
package delta

import (
	"bytes"

	"kivaloo/kvstore/page"
)

// Flags of an entry.
type Flags uint8

const (
	// Deleted: there is no such pair.
	Deleted Flags = 1 << iota
	// Fresh: the pair below, if any, has nothing to do with this one. Without it
	// a put inherits birth and, without HasMeta, metadata from below.
	Fresh
	// HasMeta: Meta counts, even if it is empty.
	HasMeta

	// What a page says of a pair stands at the same bits here.
	Blob    = Flags(page.Blob)    // Value is a reference to chunks
	Link    = Flags(page.Link)    // Value names a body
	Brought = Flags(page.Brought) // Modified was given by the writer

	// PairFlags are those that a page knows too.
	PairFlags = Flags(page.CallerFlags)
)

// An Entry is the outcome of the changes of one key, or a deleted range. It is
// not changed any more once it is in a delta.
type Entry struct {
	Key   []byte
	Value []byte // a deleted range: its end, exclusive
	Meta  []byte

	Birth    uint64 // of the pair, unless it inherits one and there is one below
	Modified uint64
	Version  uint64
	Flags    Flags
}

// Has says whether all of the given flags are set.
func (e *Entry) Has(f Flags) bool { return e.Flags&f == f }

// Delta is an ordered map of entries and a set of deleted ranges. The zero value
// is empty and ready to use.
type Delta struct {
	points tree
	ranges tree    // disjoint; an entry's key is the start, its value the end
	filter *filter // of the points; nil while there are few
	links  int     // puts of links that were ever applied, whatever became of them

	// Dropped is called, if set, for each put of this delta that a later change
	// covers, unless the pair was moved; next is what covers it, or nil. What the
	// put owned ends here, since nothing below knows of it. It may change the
	// delta at keys other than the one at hand.
	Dropped func(old, next *Entry)
}

// Freeze answers the present state; d may go on changing, and the answer too.
func (d *Delta) Freeze() *Delta {
	// Both sides take a generation above that of every node they share.
	d.points.generation++
	d.ranges.generation++
	f := *d
	return &f
}

// Len is the number of entries, deletions included.
func (d *Delta) Len() int { return d.points.length }

// Ranges is the number of deleted ranges.
func (d *Delta) Ranges() int { return d.ranges.length }

// HasLinks says that a link was put here, though it may be covered by now.
func (d *Delta) HasLinks() bool { return d.links > 0 }

// Get is the entry of key, or nil.
func (d *Delta) Get(key []byte) *Entry {
	if d.filter != nil && !d.filter.mayHave(key) {
		return nil
	}
	return d.points.get(key)
}

// Covering is the deleted range that holds key, or nil.
func (d *Delta) Covering(key []byte) *Entry {
	if d.ranges.root == nil {
		return nil
	}
	r := d.ranges.floor(key)
	if r == nil || (len(r.Value) > 0 && bytes.Compare(key, r.Value) >= 0) {
		return nil
	}
	return r
}

// Iterator walks the entries; RangeIterator the deleted ranges, by their starts.
func (d *Delta) Iterator() Iterator      { return d.points.iterator() }
func (d *Delta) RangeIterator() Iterator { return d.ranges.iterator() }

// Put applies a put: e.Flags says what it brings (Fresh, HasMeta, Blob, Link,
// Brought), e.Birth what a created pair gets. The delta keeps e and changes what
// e inherits.
func (d *Delta) Put(e *Entry) {
	at := d.points.place(e.Key)
	old := *at
	*at = e
	if old == nil {
		d.filtered(e.Key)
	}
	switch {
	case old == nil:
		if d.Covering(e.Key) != nil {
			e.Flags |= Fresh
		}
	case old.Has(Deleted):
		e.Flags |= Fresh
	case !e.Has(Fresh):
		e.inherit(old)
	}
	if e.Has(Link) {
		d.links++
	}
	d.drop(old, e)
}

func (d *Delta) drop(old, next *Entry) {
	if d.Dropped != nil && old != nil && !old.Has(Deleted) {
		d.Dropped(old, next)
	}
}

// inherit takes from old, an entry of the same delta, what e does not bring.
func (e *Entry) inherit(old *Entry) {
	e.Birth = old.Birth
	e.Flags |= old.Flags & Fresh
	if !e.Has(HasMeta) {
		e.Meta = old.Meta
		e.Flags |= old.Flags & HasMeta
	}
}

// Delete applies a deletion; moved says that the pair goes on under another key.
func (d *Delta) Delete(key []byte, version uint64, moved bool) {
	at := d.points.place(key)
	old := *at
	*at = &Entry{Key: key, Version: version, Flags: Deleted}
	if old == nil {
		d.filtered(key)
	}
	if !moved {
		d.drop(old, nil)
	}
}

// DeleteRange applies the deletion of all keys from start to before end (empty:
// without end).
func (d *Delta) DeleteRange(start, end []byte, version uint64, moved bool) {
	var dead []*Entry
	for it, ok := d.seek(start); ok; ok = it.Next() {
		e := it.Entry()
		if len(end) > 0 && bytes.Compare(e.Key, end) >= 0 {
			break
		}
		if !e.Has(Deleted) {
			dead = append(dead, e)
		}
	}
	for _, e := range dead {
		d.Delete(e.Key, version, moved)
	}
	for _, gap := range d.gaps(start, end) {
		d.ranges.set(&Entry{Key: gap[0], Value: gap[1], Version: version, Flags: Deleted})
	}
}

func (d *Delta) seek(key []byte) (Iterator, bool) {
	it := d.points.iterator()
	ok := it.Seek(key)
	return it, ok
}

// gaps are the parts of the range that no deleted range covers yet.
func (d *Delta) gaps(start, end []byte) [][2][]byte {
	var gaps [][2][]byte
	at := start
	if r := d.Covering(at); r != nil {
		if len(r.Value) == 0 {
			return nil
		}
		at = r.Value
	}
	it := d.ranges.iterator()
	for ok := it.Seek(at); ok; ok = it.Next() {
		r := it.Entry()
		if len(end) > 0 && bytes.Compare(r.Key, end) >= 0 {
			break
		}
		if bytes.Compare(at, r.Key) < 0 {
			gaps = append(gaps, [2][]byte{at, r.Key})
		}
		if len(r.Value) == 0 {
			return gaps
		}
		at = r.Value
	}
	if len(end) == 0 || bytes.Compare(at, end) < 0 {
		gaps = append(gaps, [2][]byte{at, end})
	}
	return gaps
}
