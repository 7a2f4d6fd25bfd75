package kvstore

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"kivaloo/kvstore/delta"
	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
	"kivaloo/kvstore/page"
)

// This file patches and appends staged data that is too much to be held in memory:
// the chunks that it fills are written ahead of the transaction, under the names
// that they will have if nobody gives the pair another blob, or another end,
// meanwhile.

const (
	// stagedInMemoryMax is how much staged data a transaction may hold in memory: what
	// it may bring itself.
	stagedInMemoryMax = kv.TxnBytesMax

	// overtakenMax is how often data is written ahead for a pair that others change.
	overtakenMax = 8
)

// errOvertaken: the pair is not as it was when data was written ahead for it.
var errOvertaken = errors.New("the value has been changed meanwhile")

// An aheadPatch is the data of a Patch or an Append.
type aheadPatch struct {
	data   stagedReader
	length int64

	// What was found, and is to be found again.
	offset int64
	blob   uint64
	isNew  bool // the pair had no blob: this is to be it

	head, tail []byte // for chunks that are filled in part
	number     uint32 // of the first chunk in between
	refs       []page.Ref
}

// setAhead notes that an effect's data is to be written ahead.
func (r *request) setAhead(i int, data *stagedReader, length int64) error {
	e := &r.txn.Effects[i]
	for j := range r.txn.Effects[:i] {
		if touches(&r.txn.Effects[j], e) {
			return fmt.Errorf("%d bytes staged for a pair that effect %d changes: %w", length, j, kv.ErrTooLarge)
		}
	}
	if r.ahead == nil {
		r.ahead = make(map[*kv.Effect]*aheadPatch)
	}
	r.ahead[e] = &aheadPatch{data: *data, length: length}
	return nil
}

// touches says whether an effect may change the value of a later one's pair, or
// give its key another one.
func touches(before, e *kv.Effect) bool {
	same := func(space kv.Space, key []byte) bool { return space == e.Space && bytes.Equal(key, e.Key) }
	switch before.Op {
	case kv.DeletePrefix, kv.MovePrefix:
		return true
	case kv.CopyRange, kv.Move, kv.Link:
		return same(before.ToSpace, before.To) || same(before.Space, before.Key)
	}
	return same(before.Space, before.Key)
}

// patchAhead writes what can be written ahead, for the pairs as they are now.
func (db *DB) patchAhead(r *request) error {
	for e, a := range r.ahead {
		err := db.read(func(s *state) error { return a.find(db, s, e) })
		if err == nil {
			err = a.write(db, r)
		}
		if err != nil {
			return fmt.Errorf("writing staged data ahead: %w", err)
		}
	}
	return nil
}

// find looks up which blob the data goes to, and where.
func (a *aheadPatch) find(db *DB, s *state, e *kv.Effect) error {
	p, _, err := s.lookup(db.cache, appendKey(nil, e.Space, e.Key), false)
	if err != nil {
		return err
	}
	size, err := p.size()
	if err != nil {
		return err
	}
	a.offset = e.Offset
	if e.Op == kv.Append {
		a.offset = size
	}
	if a.offset+a.length > kv.ValueBytesMax {
		return kv.ErrTooLarge
	}
	if a.isNew = p.flags&delta.Blob == 0; a.isNew {
		a.blob = db.clock.draw(1)
		return nil
	}
	b, err := item.DecodeBlob(p.value)
	if err == nil && b.ChunkBytes != kv.ChunkBytes {
		err = fmt.Errorf("chunks of %d bytes: %w", b.ChunkBytes, kv.ErrTooLarge)
	}
	a.blob = b.ID
	return err
}

// write reads the data, and writes the chunks that it fills.
func (a *aheadPatch) write(db *DB, r *request) (err error) {
	data := a.data
	in := a.offset % kv.ChunkBytes
	head := min(a.length, (kv.ChunkBytes-in)%kv.ChunkBytes)
	tail := (a.length - head) % kv.ChunkBytes
	a.head, a.tail = make([]byte, head), make([]byte, tail)
	if err := data.read(a.head); err != nil {
		return err
	}
	a.number = uint32((a.offset + head) / kv.ChunkBytes)
	if a.refs, err = db.rewrite(r, a.blob, a.number, &data, a.length-head-tail); err != nil {
		return err
	}
	return data.read(a.tail)
}

// overlayAhead puts data that was written ahead into the value of p, if it is still
// the one that it was written for.
func (w *writer) overlayAhead(p *pair, offset int64, a *aheadPatch, s uint64) error {
	isNew := p.flags&delta.Blob == 0
	blob, inline, err := w.toBlob(p, a.blob)
	if err != nil {
		return err
	}
	if isNew != a.isNew || blob.ID != a.blob || offset != a.offset {
		return errOvertaken
	}
	first := a.head
	if len(a.refs) == 0 {
		first = slices.Concat(a.head, a.tail)
	}
	if err := w.overlayChunks(&blob, inline, offset, first, s); err != nil {
		return err
	}
	blob.Size = max(blob.Size, offset+a.length)
	for i, ref := range a.refs {
		w.nameChunk(blob.ID, a.number+uint32(i), item.AppendRef(w.value[:0], ref), s)
	}
	if len(a.refs) > 0 {
		tailAt := offset + a.length - int64(len(a.tail))
		if err := w.overlayChunks(&blob, nil, tailAt, a.tail, s); err != nil {
			return err
		}
	}
	p.setBlob(blob)
	return nil
}
