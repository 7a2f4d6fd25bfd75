package kvstore

import (
	"bytes"
	"cmp"
	"fmt"

	"kivaloo/kvstore/delta"
	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
	"kivaloo/kvstore/page"
)

// This file changes values: a short one as a whole, a blob by the chunks that the
// change touches.

// change finishes an effect that gave p another value: metadata and birth stay.
func (w *writer) change(r *request, e *kv.Effect, p *pair, found bool, c kv.Change, s uint64) error {
	modified := s
	p.flags &^= delta.Brought
	if e.Modified != 0 {
		modified = broughtModified(e, p, found)
		p.flags |= delta.Brought
	}
	p.modified = modified
	if !found {
		p.birth = uint64(e.Birth)
		if e.SetMeta {
			p.meta = e.Meta
		}
	}
	setMeta := found && e.SetMeta
	if setMeta {
		p.meta = e.Meta
	}
	w.putPair(w.key, p, found, setMeta, s)
	c.Op, c.Version, c.Birth = kv.Changed, kv.Stamp(s), kv.Stamp(p.birth)
	if !found {
		c.Op, c.Birth = kv.Created, kv.Stamp(cmp.Or(p.birth, s))
	}
	return w.noteValue(r, e.Space, p, c)
}

// lookupToWrite looks the effect's key up; orphans are not created by writing.
func (w *writer) lookupToWrite(space kv.Space) (pair, bool, error) {
	p, found, err := w.lookup(w.key)
	if err == nil && !found && space == kv.Orphan {
		err = errNoPair
	}
	return p, found, err
}

// patch carries out kv.Patch, at an offset.
func (w *writer) patch(r *request, e *kv.Effect, offset int64, s uint64) error {
	p, found, err := w.lookupToWrite(e.Space)
	if err != nil {
		return err
	}
	length := int64(len(e.Value))
	ahead := r.ahead[e]
	if ahead != nil {
		length = ahead.length
	}
	if offset+length > kv.ValueBytesMax {
		return kv.ErrTooLarge
	}
	if ahead != nil {
		err = w.overlayAhead(&p, offset, ahead, s)
	} else {
		err = w.overlay(&p, offset, e.Value, s)
	}
	if err != nil {
		return err
	}
	return w.change(r, e, &p, found, kv.Change{Key: e.Key, Offset: offset, Length: length}, s)
}

// append carries out kv.Append.
func (w *writer) append(r *request, e *kv.Effect, s uint64) error {
	p, _, err := w.lookup(w.key)
	if err != nil {
		return err
	}
	size, err := p.size()
	if err != nil {
		return err
	}
	r.result.Offset = size
	return w.patch(r, e, size, s)
}

// copyRange carries out kv.CopyRange.
func (w *writer) copyRange(r *request, e *kv.Effect, s uint64) error {
	from, found, err := w.lookup(w.key)
	if err != nil {
		return err
	}
	if !found {
		return errNoPair
	}
	size, err := from.size()
	if err != nil {
		return err
	}
	if min(e.Length, size-e.Offset) > kv.CopyBytesMax {
		return fmt.Errorf("copy of more than %d bytes: %w", kv.CopyBytesMax, kv.ErrTooLarge)
	}
	data, err := w.readRange(&from, e.Offset, e.Length)
	if err != nil {
		return err
	}
	w.key = appendKey(w.key[:0], e.ToSpace, e.To)
	to := *e
	to.Space, to.Key, to.Value = e.ToSpace, e.To, data
	return w.patch(r, &to, e.ToOffset, s)
}

// overlay puts data into the value of p at an offset, growing it where needed. A
// value that becomes too long to lie inline becomes blob s.
func (w *writer) overlay(p *pair, offset int64, data []byte, s uint64) error {
	size, err := p.size()
	if err != nil {
		return err
	}
	if len(data) == 0 {
		return nil
	}
	end := max(size, offset+int64(len(data)))
	if end <= kv.InlineBytesMax && p.flags&delta.Blob == 0 {
		if size == 0 && offset == 0 {
			p.value = data // the record and the delta take copies
			return nil
		}
		v := make([]byte, end)
		copy(v, p.value)
		copy(v[offset:], data)
		p.value = v
		return nil
	}
	blob, inline, err := w.toBlob(p, s)
	if err != nil {
		return err
	}
	if err := w.overlayChunks(&blob, inline, offset, data, s); err != nil {
		return err
	}
	blob.Size = end
	p.setBlob(blob)
	return nil
}

func (p *pair) setBlob(b item.Blob) {
	p.value = item.AppendBlob(nil, b)
	p.flags |= delta.Blob
}

// toBlob answers the blob of p: its own, or a new one that has the inline value
// still to be written as its chunk 0.
func (w *writer) toBlob(p *pair, s uint64) (blob item.Blob, inline []byte, err error) {
	if p.flags&delta.Blob != 0 {
		blob, err = item.DecodeBlob(p.value)
		return blob, nil, err
	}
	return item.Blob{ID: s, Size: int64(len(p.value)), ChunkBytes: kv.ChunkBytes}, p.value, nil
}

// overlayChunks writes the chunks that data touches. inline, if not nil, is what
// chunk 0 held before there was a blob.
func (w *writer) overlayChunks(blob *item.Blob, inline []byte, offset int64, data []byte, s uint64) error {
	step := int64(blob.ChunkBytes)
	if len(inline) > 0 && offset >= step {
		w.writeChunk(blob.ID, 0, inline, s)
	}
	for len(data) > 0 {
		number, in := uint32(offset/step), offset%step
		n := min(step-in, int64(len(data)))
		chunk := data[:n]
		if in > 0 || offset+n < blob.Size {
			old, err := w.oldChunk(blob, inline, number)
			if err != nil {
				return err
			}
			chunk = make([]byte, max(in+n, int64(len(old))))
			copy(chunk, old)
			copy(chunk[in:], data[:n])
		}
		w.writeChunk(blob.ID, number, chunk, s)
		offset, data = offset+n, data[n:]
	}
	return nil
}

func (w *writer) oldChunk(blob *item.Blob, inline []byte, number uint32) ([]byte, error) {
	if inline != nil {
		if number == 0 {
			return inline, nil
		}
		return nil, nil
	}
	return w.chunk(blob, number)
}

// writeChunk puts a chunk into the append and names it.
func (w *writer) writeChunk(blob uint64, number uint32, data []byte, s uint64) {
	ref := w.open.addChunk(blob, number, data, w.db.blockBytes)
	w.nameChunk(blob, number, item.AppendRef(w.value[:0], ref), s)
}

// nameChunk emits the pair that leads to a chunk.
func (w *writer) nameChunk(blob uint64, number uint32, ref []byte, s uint64) {
	w.chunkKey = appendChunkKey(w.chunkKey[:0], blob, number)
	w.emit(&item.Op{Kind: item.OpPut, Flags: item.FlagFresh, Key: w.chunkKey, Version: s, Value: ref})
}

// dropChunks deletes the chunks of a blob from a number on.
func (w *writer) dropChunks(blob uint64, from uint32, s uint64) {
	start, end := chunkRange(blob, from)
	w.emit(&item.Op{Kind: item.OpDeleteRange, Key: start, End: end, Version: s})
}

// dropChunksBetween deletes the chunks of a blob from a number on, up to but not
// including another.
func (w *writer) dropChunksBetween(blob uint64, from, to uint32, s uint64) {
	start, end := appendChunkKey(nil, blob, from), appendChunkKey(nil, blob, to)
	w.emit(&item.Op{Kind: item.OpDeleteRange, Key: start, End: end, Version: s})
}

// truncate carries out kv.Truncate.
func (w *writer) truncate(r *request, e *kv.Effect, s uint64) error {
	p, found, err := w.lookupToWrite(e.Space)
	if err != nil {
		return err
	}
	if err := w.resize(&p, e.Length, s); err != nil {
		return err
	}
	return w.change(r, e, &p, found, kv.Change{Key: e.Key}, s)
}

// resize cuts or grows the value of p.
func (w *writer) resize(p *pair, size int64, s uint64) error {
	old, err := p.size()
	switch {
	case err != nil:
		return err
	case size <= kv.InlineBytesMax:
		head, err := w.readRange(p, 0, min(size, old))
		if err != nil {
			return err
		}
		p.value = append(make([]byte, 0, size), head...)[:size]
		p.flags &^= delta.Blob
		return nil
	default:
		return w.resizeBlob(p, old, size, s)
	}
}

func (w *writer) resizeBlob(p *pair, old, size int64, s uint64) error {
	blob, inline, err := w.toBlob(p, s)
	if err != nil {
		return err
	}
	if len(inline) > 0 {
		w.writeChunk(blob.ID, 0, inline, s)
	}
	if size < old {
		if err := w.cutChunks(&blob, size, s); err != nil {
			return err
		}
	}
	blob.Size = size
	p.setBlob(blob)
	return nil
}

// cutChunks drops what a blob holds at size and after: no chunk ever holds bytes
// beyond its blob's end, so that growing again shows zeros.
func (w *writer) cutChunks(blob *item.Blob, size int64, s uint64) error {
	step := int64(blob.ChunkBytes)
	number, in := uint32(size/step), size%step
	if in > 0 {
		old, err := w.chunk(blob, number)
		if err != nil {
			return err
		}
		if int64(len(old)) > in {
			w.writeChunk(blob.ID, number, old[:in], s)
		}
		number++
	}
	w.dropChunks(blob.ID, number, s)
	return nil
}

// punch carries out kv.Punch.
func (w *writer) punch(r *request, e *kv.Effect, s uint64) error {
	p, found, err := w.lookup(w.key)
	if err != nil {
		return err
	}
	if !found {
		return errNoPair
	}
	size, err := p.size()
	if err != nil {
		return err
	}
	end := min(size, e.Offset+e.Length)
	if e.Offset < end {
		if err := w.zero(&p, e.Offset, end, s); err != nil {
			return err
		}
	}
	return w.change(r, e, &p, true, kv.Change{Key: e.Key, Offset: e.Offset, Length: e.Length}, s)
}

// zero makes a range of p's value zero; whole chunks go.
func (w *writer) zero(p *pair, from, to int64, s uint64) error {
	if p.flags&delta.Blob == 0 {
		p.value = bytes.Clone(p.value)
		clear(p.value[from:to])
		return nil
	}
	blob, err := item.DecodeBlob(p.value)
	if err != nil {
		return err
	}
	step := int64(blob.ChunkBytes)
	first, in := uint32(from/step), from%step
	last := uint32(to / step) // the one in which the range ends
	if first == last {
		return w.zeroChunk(&blob, first, in, to%step, s)
	}
	if in > 0 {
		if err := w.zeroChunk(&blob, first, in, step, s); err != nil {
			return err
		}
		first++
	}
	if first < last {
		w.dropChunksBetween(blob.ID, first, last, s)
	}
	return w.zeroChunk(&blob, last, 0, to%step, s)
}

// zeroChunk makes a part of a chunk zero. Where that is all of it the chunk goes.
func (w *writer) zeroChunk(blob *item.Blob, number uint32, from, to int64, s uint64) error {
	if from == to {
		return nil
	}
	old, err := w.chunk(blob, number)
	if err != nil || int64(len(old)) <= from {
		return err
	}
	if from == 0 && to >= int64(len(old)) {
		key := appendChunkKey(nil, blob.ID, number)
		w.emit(&item.Op{Kind: item.OpDelete, Key: key, Version: s})
		return nil
	}
	chunk := bytes.Clone(old)
	clear(chunk[from:min(to, int64(len(chunk)))])
	w.writeChunk(blob.ID, number, chunk, s)
	return nil
}

// readAll and readRange read a value as the next effect finds it.
func (w *writer) readAll(p *pair) ([]byte, error) { return w.readRange(p, 0, -1) }

func (w *writer) readRange(p *pair, offset, length int64) ([]byte, error) {
	return readValue(p, offset, length, w.chunk)
}

// chunk answers a chunk's data, nil for a hole, from the log or from an append
// that has not been written yet.
func (w *writer) chunk(blob *item.Blob, number uint32) ([]byte, error) {
	return w.db.chunkOf(w.working, blob, number, w.unwritten)
}

// unwritten answers the bytes of an item in the open batch or in the one that is
// being flushed.
func (w *writer) unwritten(ref page.Ref) []byte {
	for _, b := range []*batch{w.open, w.flushing} {
		if b == nil || ref.Block < b.first {
			continue
		}
		start := int(ref.Block-b.first)*w.db.blockBytes + int(ref.Offset)
		if end := start + int(ref.Bytes); end <= len(b.body) {
			return b.body[start:end]
		}
	}
	return nil
}
