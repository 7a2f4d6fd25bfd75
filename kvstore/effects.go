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
// how to inherit.
func (w *writer) put(r *request, i int, s uint64) error {
	e := &r.txn.Effects[i]
	op := item.Op{Kind: item.OpPut, Key: w.key, Version: s, Birth: s, Modified: s, Meta: e.Meta}
	if e.SetMeta {
		op.Flags |= item.FlagMeta
	}
	if e.Birth != 0 {
		op.Flags, op.Birth = op.Flags|item.FlagBirth, uint64(e.Birth)
	}
	if err := w.putLooksUp(r, e, &op, s); err != nil {
		return err
	}
	if err := w.putValue(r, i, &op, s); err != nil {
		return err
	}
	w.emit(&op)
	return nil
}

// putLooksUp does the parts of a put that depend on the pair that is there.
func (w *writer) putLooksUp(r *request, e *kv.Effect, op *item.Op, s uint64) error {
	listening := w.db.listeners.Load() > 0
	if !e.Fresh && e.Modified == 0 && !listening && e.Space != kv.Orphan {
		return nil
	}
	old, found, err := w.lookup(w.key)
	if err != nil {
		return err
	}
	if !found && e.Space == kv.Orphan {
		return errNoPair
	}
	if e.Modified != 0 {
		op.Modified = broughtModified(e, &old, found && !e.Fresh)
		op.Flags |= item.FlagModified | item.FlagBrought
	}
	if e.Fresh {
		op.Flags |= item.FlagFresh
		if _, err := w.orphan(w.key, s); err != nil {
			return err
		}
	}
	c := kv.Change{Op: kv.Created, Key: e.Key, Version: kv.Stamp(s), Birth: kv.Stamp(op.Birth)}
	if found && !e.Fresh {
		c.Op, c.Birth = kv.Changed, kv.Stamp(old.birth)
	}
	w.note(r, e.Space, c)
	return nil
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
	if w.db.listeners.Load() > 0 {
		p, found, err := w.lookup(w.key)
		if err != nil {
			return err
		}
		if found {
			w.note(r, e.Space, kv.Change{Op: kv.Deleted, Key: e.Key, Version: kv.Stamp(s), Birth: kv.Stamp(p.birth)})
		}
	}
	moved, err := w.orphan(w.key, s)
	if err != nil || moved {
		return err
	}
	w.emit(&item.Op{Kind: item.OpDelete, Key: w.key, Version: s})
	return nil
}

// deletePrefix carries out kv.DeletePrefix, as one operation whatever it deletes.
func (w *writer) deletePrefix(r *request, e *kv.Effect, s uint64) error {
	start, end := prefixRange(w.key)
	for _, key := range w.db.pins.within(start, end) {
		if _, err := w.orphan(key, s); err != nil {
			return err
		}
	}
	w.emit(&item.Op{Kind: item.OpDeleteRange, Key: start, End: end, Version: s})
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
		w.note(r, e.Space, kv.Change{Op: kv.Moved, Key: e.Key, To: e.To, Version: kv.Stamp(s), Birth: kv.Stamp(p.birth)})
		return nil
	}
	if _, err := w.orphan(to, s); err != nil {
		return err
	}
	w.transfer(w.key, to, &p, s)
	w.note(r, e.Space, kv.Change{Op: kv.Moved, Key: e.Key, To: e.To, Version: kv.Stamp(s), Birth: kv.Stamp(p.birth)})
	return nil
}

// movePrefix carries out kv.MovePrefix: each pair is put under its new key, and
// the old prefix is deleted as a range. Blobs move by reference.
func (w *writer) movePrefix(r *request, e *kv.Effect, s uint64) error {
	from, to := bytes.Clone(w.key), appendKey(nil, e.ToSpace, e.To)
	if err := w.mustBeFree(to); err != nil {
		return err
	}
	pairs, err := w.collect(from, to)
	if err != nil {
		return err
	}
	for i := range pairs {
		w.putPair(pairs[i].key, &pairs[i].pair, false, false, s)
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

// collect reads the pairs under a prefix, with the keys they are to have.
func (w *writer) collect(from, to []byte) ([]keyedPair, error) {
	var pairs []keyedPair
	start, end := prefixRange(from)
	total := 0
	c := w.working.cursor(w.db.cache)
	ok, err := c.seek(start)
	for ; ok && err == nil; ok, err = c.next() {
		key := c.key()
		if end != nil && bytes.Compare(key, end) >= 0 {
			break
		}
		p, err := c.pair(true)
		if err != nil {
			return nil, err
		}
		p.flags &^= delta.Brought
		moved := append(bytes.Clone(to), key[len(from):]...)
		total += len(moved) + len(p.value) + len(p.meta) + 32
		if len(moved)-1 > kv.KeyBytesMax || total > moveBytesMax {
			return nil, fmt.Errorf("moving %d pairs, %d bytes: %w", len(pairs)+1, total, kv.ErrTooLarge)
		}
		pairs = append(pairs, keyedPair{moved, p})
	}
	return pairs, err
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
	w.note(r, e.Space, kv.Change{Op: kv.MetaChanged, Key: e.Key, Version: kv.Stamp(s), Birth: kv.Stamp(p.birth)})
	return nil
}
