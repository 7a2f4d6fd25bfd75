package kvstore

import (
	"bytes"
	"fmt"

	"kivaloo/kvstore/delta"
	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
)

// moveBytesMax bounds the pairs that one MovePrefix writes again under their new
// keys: the least log bound, so that one record never fills the log.
const moveBytesMax = logBytesMin

// put carries out kv.Put. It looks nothing up unless it has to: the delta knows
// how to inherit. While the store has links it has to: the value may lie elsewhere.
func (w *writer) put(r *request, i int, s uint64) error {
	e := &r.txn.Effects[i]
	op := item.Op{Kind: item.OpPut, Key: w.key, Version: s, Birth: s, Modified: s, Meta: e.Meta}
	if e.SetMeta {
		op.Flags |= item.FlagMeta
	}
	if e.Birth != 0 {
		op.Flags, op.Birth = op.Flags|item.FlagBirth, uint64(e.Birth)
	}
	old, err := w.putLooksUp(r, e, &op, s)
	if err != nil {
		return err
	}
	if err := w.putValue(r, i, &op, s); err != nil {
		return err
	}
	op.Key, op.Value = old.home(w.key), old.stored(op.Value)
	w.emit(&op)
	return nil
}

// putLooksUp does the parts of a put that depend on the pair that is there. It
// answers the pair that goes on with another value, if there is one and it looked.
func (w *writer) putLooksUp(r *request, e *kv.Effect, op *item.Op, s uint64) (pair, error) {
	listening := w.db.listeners.Load() > 0
	if !e.Fresh && e.Modified == 0 && !listening && e.Space != kv.Orphan && !w.linked() {
		return pair{}, nil
	}
	var old pair
	var found bool
	var err error
	if e.Fresh {
		op.Flags |= item.FlagFresh
		err = w.vacate(r, w.key, s)
	} else {
		old, found, err = w.lookup(w.key)
	}
	if err != nil {
		return pair{}, err
	}
	if !found && e.Space == kv.Orphan {
		return pair{}, errNoPair
	}
	if e.Modified != 0 {
		op.Modified = broughtModified(e, &old, found)
		op.Flags |= item.FlagModified | item.FlagBrought
	}
	c := kv.Change{Op: kv.Created, Key: e.Key, Version: kv.Stamp(s), Birth: kv.Stamp(op.Birth)}
	if found {
		c.Op, c.Birth = kv.Changed, kv.Stamp(old.birth)
	}
	return old, w.noteValue(r, e.Space, &old, c)
}

// broughtModified is the Modified that a writer brings, raised above the old one.
func broughtModified(e *kv.Effect, old *pair, found bool) uint64 {
	if found && uint64(e.Modified) <= old.modified {
		return old.modified + 1
	}
	return uint64(e.Modified)
}

// putValue sets the value of op: inline, or a blob that is written now or was
// written ahead.
func (w *writer) putValue(r *request, i int, op *item.Op, s uint64) error {
	e := &r.txn.Effects[i]
	if staged, ok := r.blobs[i]; ok {
		for n, ref := range staged.refs {
			w.nameChunk(staged.blob.ID, uint32(n), item.AppendRef(w.value[:0], ref), s)
		}
		op.Flags |= item.FlagBlob
		op.Value = item.AppendBlob(nil, staged.blob)
		return nil
	}
	p := pair{}
	if err := w.overlay(&p, 0, e.Value, s); err != nil {
		return err
	}
	op.Value = p.value
	op.Flags |= opFlags(p.flags)
	return nil
}

// orphan keeps a pinned pair that is about to lose its key: it moves to the
// orphans. moved says that it did, and that the key is free now.
func (w *writer) orphan(key []byte, s uint64) (moved bool, err error) {
	birth, ok := w.db.pins.at(key)
	if !ok {
		return false, nil
	}
	p, found, err := w.lookup(key)
	if err != nil || !found || p.birth != birth {
		return false, err
	}
	to := appendKey(nil, kv.Orphan, kv.OrphanKey(kv.Stamp(birth)))
	w.transfer(key, to, &p, s)
	return true, nil
}

// transfer gives a pair another key, which has none.
func (w *writer) transfer(key, to []byte, p *pair, s uint64) {
	p.flags &^= delta.Brought
	w.putPair(to, p, false, false, s)
	w.emit(&item.Op{Kind: item.OpDelete, Flags: item.FlagMoved | item.FlagTo, Key: key, To: to, Version: s})
	w.db.pins.moved(key, to)
}

// delete carries out kv.Delete.
func (w *writer) delete(r *request, e *kv.Effect, s uint64) error {
	if w.db.listeners.Load() > 0 || w.linked() {
		p, found, err := w.lookup(w.key)
		if err != nil {
			return err
		}
		if found {
			w.note(r, e.Space, kv.Change{Op: kv.Deleted, Key: e.Key, Version: kv.Stamp(s), Birth: kv.Stamp(p.birth)})
		}
		if p.names > 0 {
			w.emit(&item.Op{Kind: item.OpDelete, Key: w.key, Version: s})
			return w.unlink(r, &p, s, w.key)
		}
	}
	moved, err := w.orphan(w.key, s)
	if err != nil || moved {
		return err
	}
	w.emit(&item.Op{Kind: item.OpDelete, Key: w.key, Version: s})
	return nil
}

// deletePrefix carries out kv.DeletePrefix, as one operation whatever it deletes,
// and some for each name of a value with links.
func (w *writer) deletePrefix(r *request, e *kv.Effect, s uint64) error {
	start, end := prefixRange(w.key)
	families, err := w.familiesIn(start, end)
	if err != nil {
		return err
	}
	for _, key := range w.db.pins.within(start, end) {
		if _, err := w.orphan(key, s); err != nil {
			return err
		}
	}
	w.emit(&item.Op{Kind: item.OpDeleteRange, Key: start, End: end, Version: s})
	for i := range families {
		if err := w.unlink(r, &families[i].body, s, families[i].keys...); err != nil {
			return err
		}
	}
	w.note(r, e.Space, kv.Change{Op: kv.PrefixDeleted, Key: e.Key, Version: kv.Stamp(s)})
	return nil
}

// move carries out kv.Move.
func (w *writer) move(r *request, e *kv.Effect, s uint64) error {
	to := appendKey(nil, e.ToSpace, e.To)
	p, found, err := w.lookup(w.key)
	if err != nil {
		return err
	}
	if !found {
		return errNoPair
	}
	if bytes.Equal(w.key, to) {
		p.flags &^= delta.Brought
		w.putPair(w.key, &p, true, false, s)
	} else if err := w.moveOver(r, to, &p, s); err != nil {
		return err
	}
	w.note(r, e.Space, kv.Change{Op: kv.Moved, Key: e.Key, To: e.To, Version: kv.Stamp(s), Birth: kv.Stamp(p.birth)})
	if p.names > 0 {
		return w.noteNames(r, &p, s, func(name []byte) bool { return !bytes.Equal(name, to) })
	}
	return nil
}

// moveOver gives the pair at w.key the key to, which is another one. What is there
// goes first: that may be another name of the same pair, which is then not the same
// any more.
func (w *writer) moveOver(r *request, to []byte, p *pair, s uint64) (err error) {
	if err := w.vacate(r, to, s); err != nil {
		return err
	}
	if p.names > 0 {
		if *p, _, err = w.lookup(w.key); err != nil {
			return err
		}
	}
	if p.names > 0 {
		w.rename(w.key, to, p, s)
	} else {
		w.transfer(w.key, to, p, s)
	}
	return nil
}

// movePrefix carries out kv.MovePrefix: each pair is put under its new key, and
// the old prefix is deleted as a range. Blobs move by reference.
func (w *writer) movePrefix(r *request, e *kv.Effect, s uint64) error {
	from, to := bytes.Clone(w.key), appendKey(nil, e.ToSpace, e.To)
	if err := w.mustBeFree(to); err != nil {
		return err
	}
	pairs, families, err := w.collect(from, to)
	if err != nil {
		return err
	}
	for i := range pairs {
		w.putPair(pairs[i].key, &pairs[i].pair, false, false, s)
	}
	for i := range families {
		if err := w.renameAll(r, &families[i], from, to, s); err != nil {
			return err
		}
	}
	start, end := prefixRange(from)
	w.emit(&item.Op{Kind: item.OpDeleteRange, Flags: item.FlagMoved | item.FlagTo, Key: start, End: end, To: to, Version: s})
	for _, key := range w.db.pins.within(start, end) {
		w.db.pins.moved(key, append(bytes.Clone(to), key[len(from):]...))
	}
	w.note(r, e.Space, kv.Change{Op: kv.PrefixMoved, Key: e.Key, To: e.To, Version: kv.Stamp(s)})
	return nil
}

// mustBeFree fails if a key begins with prefix.
func (w *writer) mustBeFree(prefix []byte) error {
	start, end := prefixRange(prefix)
	c := w.working.cursor(w.db.cache)
	ok, err := c.seek(start)
	if err != nil {
		return err
	}
	if ok && (end == nil || bytes.Compare(c.key(), end) < 0) {
		return errTaken
	}
	return nil
}

type keyedPair struct {
	key []byte
	pair
}

// collect reads the pairs under a prefix, with the keys they are to have, and the
// names there of values with links.
func (w *writer) collect(from, to []byte) (pairs []keyedPair, families []family, err error) {
	var names []name
	total := 0
	k := w.walk(prefixRange(from))
	for k.next() {
		p, err := k.c.pair(true)
		if err != nil {
			return nil, nil, err
		}
		p.flags &^= delta.Brought
		moved := append(bytes.Clone(to), k.c.key()[len(from):]...)
		total += len(moved) + len(p.value) + len(p.meta) + 32
		if len(moved)-1 > kv.KeyBytesMax || total > moveBytesMax {
			return nil, nil, tooMuchToMove(len(pairs)+len(names)+1, total)
		}
		if p.flags&delta.Link == 0 {
			pairs = append(pairs, keyedPair{moved, p})
		} else if n, _, err := linkAt(k.c); err == nil {
			names = append(names, n)
		} else {
			return nil, nil, err
		}
	}
	if k.err != nil {
		return nil, nil, k.err
	}
	families, size, err := w.families(names)
	if total += size; err == nil && total > moveBytesMax {
		err = tooMuchToMove(len(pairs)+len(names), total)
	}
	return pairs, families, err
}

func tooMuchToMove(pairs, bytes int) error {
	return fmt.Errorf("moving %d pairs, %d bytes: %w", pairs, bytes, kv.ErrTooLarge)
}

// setMeta carries out kv.SetMeta.
func (w *writer) setMeta(r *request, e *kv.Effect, s uint64) error {
	p, found, err := w.lookup(w.key)
	if err != nil {
		return err
	}
	if !found {
		return errNoPair
	}
	p.meta = e.Meta
	p.flags &^= delta.Brought
	w.putPair(w.key, &p, true, true, s)
	c := kv.Change{Op: kv.MetaChanged, Key: e.Key, Version: kv.Stamp(s), Birth: kv.Stamp(p.birth)}
	return w.noteValue(r, e.Space, &p, c)
}
