package fusefs

import (
	"sort"

	"kivaloo/kvstore/kv"
)

// noCut: the file has not been truncated.
const noCut = int64(-1)

// extentBytesMax bounds how much is copied when a piece grows, and the memory that
// lies about until it is collected: a request of the kernel's largest size is a piece
// of its own.
const extentBytesMax = maxWriteBytes

// An extent is a run of bytes that were written.
type extent struct {
	off  int64
	data []byte
}

func (e *extent) end() int64 { return e.off + int64(len(e.data)) }

// A buffer is what has been done to a file's contents and not been committed:
// laid over the pair's value, it gives what the file holds. The zero buffer is
// not clean: see newBuffer.
type buffer struct {
	extents []extent // in order, none over another
	bytes   int64    // in the extents

	// cut is where the file has been truncated: of the value below, nothing from
	// there on is left. noCut: it has not.
	cut int64
	// end is the size, where the file has been truncated; else the least that
	// the size is, whatever lies below.
	end int64
	// written is where the last byte written ends: the end, were it not for
	// truncations.
	written int64

	// mtime is the stamp of the last change; 0: the buffer is clean.
	mtime kv.Stamp
	// wrote says that bytes have been written: close must commit. A file that has
	// only been created or truncated can wait for them.
	wrote bool
	// flushed says that there was a close since it was created or truncated.
	flushed bool
	// born says that the file has been created and the pair not been.
	born bool
	// seen is the pair's Modified when the file was truncated: if that has
	// changed, somebody else has written since, and the truncation is void.
	seen kv.Stamp
	// killPriv says that suid and sgid end with this change.
	killPriv bool
	// reserved is the room set aside in the store.
	reserved int64
}

func newBuffer() buffer { return buffer{cut: noCut} }

// dirty says that there is something to commit.
func (b *buffer) dirty() bool { return b.mtime != 0 }

// size is that of the file, if the value below has this one.
func (b *buffer) size(below int64) int64 {
	if b.cut != noCut {
		return b.end
	}
	return max(below, b.end)
}

// below is how much of a value of this size is still part of the file.
func (b *buffer) below(size int64) int64 {
	if b.cut != noCut {
		return min(size, b.cut)
	}
	return size
}

// truncate cuts the file, or makes it longer by zeros. below is the size of the
// value underneath.
func (b *buffer) truncate(size, below int64) {
	if size < b.size(below) {
		b.dropFrom(size)
		if b.cut == noCut || size < b.cut {
			b.cut = size
		}
	}
	b.end = size
}

// uncut takes a truncation back.
func (b *buffer) uncut() {
	b.cut, b.end = noCut, b.extentsEnd()
}

// disown makes of a creation a change of the pair that somebody else has created.
func (b *buffer) disown() {
	if b.born {
		b.uncut()
		b.born = false
	}
}

// voided says that the pair has been changed by somebody else after the file
// was truncated here.
func (b *buffer) voided(pair *kv.Pair) bool {
	return b.cut != noCut && !b.born && pair.Modified > b.seen
}

func (b *buffer) extentsEnd() int64 {
	if n := len(b.extents); n > 0 {
		return b.extents[n-1].end()
	}
	return 0
}

// dropFrom removes what was written from an offset on.
func (b *buffer) dropFrom(off int64) {
	i := b.search(off)
	if i < len(b.extents) && b.extents[i].off < off {
		e := &b.extents[i]
		b.bytes -= e.end() - off
		e.data = e.data[:off-e.off]
		i++
	}
	for _, e := range b.extents[i:] {
		b.bytes -= int64(len(e.data))
	}
	b.extents = b.extents[:i]
}

// search is the index of the first extent that ends after off.
func (b *buffer) search(off int64) int {
	return sort.Search(len(b.extents), func(i int) bool { return b.extents[i].end() > off })
}

// write puts data at an offset. The data are copied.
func (b *buffer) write(off int64, data []byte) {
	b.wrote = true
	b.end = max(b.end, off+int64(len(data)))
	for len(data) > 0 {
		n := b.writePiece(off, data)
		off, data = off+n, data[n:]
	}
}

// writePiece writes the bytes that lie in one extent, or in a hole.
func (b *buffer) writePiece(off int64, data []byte) int64 {
	i := b.search(off)
	if i < len(b.extents) && b.extents[i].off <= off {
		e := &b.extents[i]
		return int64(copy(e.data[off-e.off:], data))
	}
	if i < len(b.extents) {
		data = data[:min(int64(len(data)), b.extents[i].off-off)]
	}
	b.fill(i, off, data)
	b.bytes += int64(len(data))
	return int64(len(data))
}

// fill puts data into the hole before extent i: at the end of the one before, if
// they touch.
func (b *buffer) fill(i int, off int64, data []byte) {
	if i > 0 && b.extents[i-1].end() == off && len(b.extents[i-1].data)+len(data) <= extentBytesMax {
		e := &b.extents[i-1]
		e.data = append(e.data, data...)
		return
	}
	b.extents = append(b.extents, extent{})
	copy(b.extents[i+1:], b.extents[i:])
	b.extents[i] = extent{off, append([]byte(nil), data...)}
}

// overlay lays what was written over bytes of the file from an offset on.
func (b *buffer) overlay(off int64, dst []byte) {
	end := off + int64(len(dst))
	for i := b.search(off); i < len(b.extents) && b.extents[i].off < end; i++ {
		e := &b.extents[i]
		from := max(off, e.off)
		copy(dst[from-off:], e.data[from-e.off:])
	}
}

// clip copies what was written in a range, so that it can be laid over bytes
// read without a lock.
func (b *buffer) clip(off, length int64) buffer {
	c := *b
	c.extents, c.written = nil, b.extentsEnd()
	for i := b.search(off); i < len(b.extents) && b.extents[i].off < off+length; i++ {
		e := &b.extents[i]
		from, to := max(off, e.off), min(off+length, e.end())
		c.extents = append(c.extents, extent{from, append([]byte(nil), e.data[from-e.off:to-e.off]...)})
	}
	return c
}

// onto does to an older buffer what was done since, and gives it back as the
// whole.
func (b *buffer) onto(older buffer) buffer {
	if b.cut != noCut {
		older.dropFrom(b.cut)
		if older.cut == noCut || b.cut < older.cut {
			older.cut = b.cut
		}
		older.end = 0
		if older.seen == 0 {
			older.seen = b.seen
		}
	}
	wrote := older.wrote || b.wrote
	for _, e := range b.extents {
		older.write(e.off, e.data)
	}
	older.end = max(older.end, b.end)
	older.wrote = wrote
	older.mtime = max(older.mtime, b.mtime)
	older.flushed = older.flushed || b.flushed
	older.killPriv = older.killPriv || b.killPriv
	older.reserved += b.reserved
	return older
}
