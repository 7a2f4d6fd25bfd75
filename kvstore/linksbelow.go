package kvstore

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"kivaloo/kvstore/delta"
	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
)

// This file finds the links among the keys that an effect on a prefix covers.

// A name is a user's internal key, and the body that it leads to.
type name struct {
	key   []byte
	birth uint64
}

// A family is a value and those of its names that an effect covers.
type family struct {
	body pair
	keys [][]byte
}

// A walk goes over the pairs of a range, as the next effect finds them.
type walk struct {
	c     *cursor
	start []byte // nil once the walk has begun
	end   []byte // nil: to the end of all
	err   error
}

func (w *writer) walk(start, end []byte) *walk {
	return &walk{c: w.working.cursor(w.db.cache), start: start, end: end}
}

// next goes to the next pair, at first to the first; false: there is none, or err
// says why nobody knows.
func (k *walk) next() (ok bool) {
	if k.start != nil {
		ok, k.err = k.c.seek(k.start)
		k.start = nil
	} else {
		ok, k.err = k.c.next()
	}
	return ok && k.err == nil && (k.end == nil || bytes.Compare(k.c.key(), k.end) < 0)
}

// familiesIn answers the values that have links in a range of users' internal keys.
func (w *writer) familiesIn(start, end []byte) ([]family, error) {
	if !w.linked() {
		return nil, nil
	}
	names, err := w.namesIn(start, end)
	if err != nil {
		return nil, err
	}
	families, size, err := w.families(names)
	if err == nil && size > moveBytesMax {
		err = fmt.Errorf("deleting %d names of values with links: %w", len(names), kv.ErrTooLarge)
	}
	return families, err
}

// namesIn finds the links in a range of users' internal keys. Either the range or
// the names of all links there are may be far more than the other: it walks both
// side by side until one of them ends.
func (w *writer) namesIn(start, end []byte) ([]name, error) {
	everyName, afterNames := prefixRange([]byte{systemSpace, nameKind})
	inRange, among := w.walk(start, end), w.walk(everyName, afterNames)
	var found, foundAmong []name
	for {
		if !inRange.next() {
			return found, inRange.err
		}
		if n, ok, err := linkAt(inRange.c); err != nil {
			return nil, err
		} else if ok {
			found = append(found, n)
		}
		if !among.next() {
			return foundAmong, among.err
		}
		birth, key := nameOf(among.c.key())
		if bytes.Compare(key, start) >= 0 && (end == nil || bytes.Compare(key, end) < 0) {
			foundAmong = append(foundAmong, name{key, birth})
		}
	}
}

// linkAt answers the name where a cursor stands, if it is one.
func linkAt(c *cursor) (n name, ok bool, err error) {
	p, err := c.pair(false)
	if err != nil || p.flags&delta.Link == 0 {
		return name{}, false, err
	}
	n.key = bytes.Clone(c.key())
	if n.birth, err = item.Link(p.value); err != nil {
		err = fmt.Errorf("%w: %w", kv.ErrCorrupt, err)
	}
	return n, err == nil, err
}

// families looks the bodies of names up, and answers about how many bytes of a
// record it takes to write all of it again.
func (w *writer) families(names []name) (all []family, size int, err error) {
	slices.SortStableFunc(names, func(a, b name) int { return cmp.Compare(a.birth, b.birth) })
	for _, n := range names {
		size += 2*len(n.key) + nameBytes
		if last := len(all) - 1; last >= 0 && all[last].body.birth == n.birth {
			all[last].keys = append(all[last].keys, n.key)
			continue
		}
		body, err := w.working.body(w.db.cache, n.birth, true)
		if err != nil {
			return nil, 0, err
		}
		size += len(body.value) + len(body.meta) + nameBytes
		all = append(all, family{body, [][]byte{n.key}})
	}
	return all, size, nil
}

// nameBytes is about what the operations on a name take in a record beside keys.
const nameBytes = 64
