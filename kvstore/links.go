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

// This file changes the names of values that have several. Such a value lies in a
// body in the system keyspace, each name is a pair with the link flag that leads
// there, and one more pair of the system says of each name that it is one. A pair
// gets a body with its second name and is a plain one again as soon as it has but
// one: so links cost nothing to who only makes them for a moment, as mail and git
// do, and a body always has names.

// linked says whether there may be links. Without, nobody need look up what a
// change covers.
func (w *writer) linked() bool {
	s := w.working
	return w.db.treeLinks.Load() > 0 || s.active.HasLinks() || (s.frozen != nil && s.frozen.HasLinks())
}

// home is the internal key where a pair lies that was found under key.
func (p *pair) home(key []byte) []byte {
	if p.names == 0 {
		return key
	}
	return appendBodyKey(nil, p.birth)
}

// stored is a value of the pair as the pair's home has it.
func (p *pair) stored(value []byte) []byte {
	if p.names == 0 {
		return value
	}
	return item.AppendNames(slices.Clip(value), p.names)
}

// link carries out kv.Link.
func (w *writer) link(r *request, e *kv.Effect, s uint64) error {
	to := appendKey(nil, e.ToSpace, e.To)
	p, found, err := w.lookup(w.key)
	if err != nil {
		return err
	}
	if !found {
		return errNoPair
	}
	if _, taken, err := w.lookup(to); err != nil || taken {
		return cmp.Or(err, errTaken)
	}
	if p.names >= kv.NamesMax {
		return fmt.Errorf("a value of %d names: %w", p.names, kv.ErrTooLarge)
	}
	w.embody(w.key, &p, s)
	w.addName(to, p.birth, s)
	c := kv.Change{Op: kv.Created, Key: e.To, Version: kv.Stamp(s), Birth: kv.Stamp(p.birth)}
	w.note(r, e.ToSpace, c)
	return w.noteNames(r, &p, s, func(name []byte) bool { return !bytes.Equal(name, to) })
}

// embody gives a pair one name more, and a body if it has none yet.
func (w *writer) embody(key []byte, p *pair, s uint64) {
	p.flags &^= delta.Brought
	if p.names > 0 {
		p.names++
		w.putPair(key, p, true, false, s)
		return
	}
	p.names = 2
	w.putPair(key, p, false, false, s) // before the name: it says whose the pair's blob is now
	w.addName(key, p.birth, s)
	w.db.pins.moved(key, p.home(key))
}

// addName makes a user's internal key a name of a body.
func (w *writer) addName(key []byte, birth, s uint64) {
	op := item.Op{Kind: item.OpPut, Flags: item.FlagFresh | item.FlagLink, Key: key, Version: s, Birth: s, Modified: s}
	op.Value = item.AppendLink(nil, birth)
	w.emit(&op)
	w.emit(&item.Op{
		Kind: item.OpPut, Flags: item.FlagFresh, Key: appendNameKey(nil, birth, key), Version: s, Birth: s, Modified: s,
	})
}

func (w *writer) dropName(key []byte, birth, s uint64) {
	w.emit(&item.Op{Kind: item.OpDelete, Key: appendNameKey(nil, birth, key), Version: s})
}

// vacate takes a key from the pair that is there, if there is one. The caller puts
// another pair there.
func (w *writer) vacate(r *request, key []byte, s uint64) error {
	if !w.linked() {
		_, err := w.orphan(key, s)
		return err
	}
	p, found, err := w.lookup(key)
	switch {
	case err != nil:
		return err
	case found && p.names > 0:
		return w.unlink(r, &p, s, key)
	}
	_, err = w.orphan(key, s)
	return err
}

// unlink takes names from a value that has several. What leads from those keys to
// the value is the caller's to cover or delete.
func (w *writer) unlink(r *request, p *pair, s uint64, keys ...[]byte) error {
	if uint32(len(keys)) > p.names {
		return fmt.Errorf("%w: body %d counts %d names and has more", kv.ErrCorrupt, p.birth, p.names)
	}
	for _, key := range keys {
		w.dropName(key, p.birth, s)
	}
	p.names -= uint32(len(keys))
	p.flags &^= delta.Brought
	switch p.names {
	case 0:
		w.dropBody(p, s)
		return nil
	case 1:
		return w.becomePlain(r, p, s)
	default:
		w.putPair(nil, p, true, false, s)
		return w.noteNames(r, p, s, nil)
	}
}

// dropBody ends a value that has lost all its names at once.
func (w *writer) dropBody(p *pair, s uint64) {
	body := appendBodyKey(nil, p.birth)
	if birth, pinned := w.db.pins.at(body); pinned && birth == p.birth {
		w.transfer(body, appendKey(nil, kv.Orphan, kv.OrphanKey(kv.Stamp(birth))), p, s)
		return
	}
	w.emit(&item.Op{Kind: item.OpDelete, Key: body, Version: s})
}

// becomePlain puts a value under the one name that it has left.
func (w *writer) becomePlain(r *request, p *pair, s uint64) error {
	names, err := w.names(p.birth)
	if err != nil {
		return err
	}
	if len(names) != 1 {
		return fmt.Errorf("%w: body %d should have one name left, and has %d", kv.ErrCorrupt, p.birth, len(names))
	}
	p.names = 0
	w.dropName(names[0], p.birth, s)
	w.transfer(appendBodyKey(nil, p.birth), names[0], p, s)
	w.note(r, kv.User, kv.Change{Op: kv.MetaChanged, Key: names[0][1:], Version: kv.Stamp(s), Birth: kv.Stamp(p.birth)})
	return nil
}

// rename moves one name of a value that has several to a key that has none.
func (w *writer) rename(key, to []byte, p *pair, s uint64) {
	w.dropName(key, p.birth, s)
	w.addName(to, p.birth, s)
	w.emit(&item.Op{Kind: item.OpDelete, Flags: item.FlagMoved | item.FlagTo, Key: key, To: to, Version: s})
	p.flags &^= delta.Brought
	w.putPair(key, p, true, false, s)
}

// renameAll moves the names of a value that begin with one prefix to another, where
// none is. What leads from the old keys to the value is the caller's to delete.
func (w *writer) renameAll(r *request, f *family, from, to []byte, s uint64) error {
	p := &f.body
	for _, key := range f.keys {
		w.dropName(key, p.birth, s)
		w.addName(append(bytes.Clone(to), key[len(from):]...), p.birth, s)
	}
	p.flags &^= delta.Brought
	w.putPair(nil, p, true, false, s)
	return w.noteNames(r, p, s, func(name []byte) bool { return !bytes.HasPrefix(name, to) })
}

// names answers the internal keys that lead to a body, in order.
func (w *writer) names(birth uint64) (names [][]byte, err error) {
	start, end := nameRange(birth)
	walk := w.walk(start, end)
	for walk.next() {
		_, name := nameOf(walk.c.key())
		names = append(names, name)
	}
	return names, walk.err
}

// noteNames tells, of the names of a value that are concerned (nil: all), that
// something else than its contents has changed.
func (w *writer) noteNames(r *request, p *pair, s uint64, concerned func(name []byte) bool) error {
	c := kv.Change{Op: kv.MetaChanged, Version: kv.Stamp(s), Birth: kv.Stamp(p.birth)}
	return w.noteEach(r, p, c, concerned)
}

// noteValue tells of a change of a pair, under all its names.
func (w *writer) noteValue(r *request, space kv.Space, p *pair, c kv.Change) error {
	if p.names == 0 {
		w.note(r, space, c)
		return nil
	}
	return w.noteEach(r, p, c, nil)
}

func (w *writer) noteEach(r *request, p *pair, c kv.Change, concerned func(name []byte) bool) error {
	if w.db.listeners.Load() == 0 {
		return nil
	}
	names, err := w.names(p.birth)
	for _, name := range names {
		if concerned == nil || concerned(name) {
			c.Key = name[1:]
			w.note(r, kv.User, c)
		}
	}
	return err
}
