package kvstore

import (
	"kivaloo/kvstore/delta"
	"kivaloo/kvstore/item"
	"kivaloo/kvstore/page"
	"kivaloo/lbs"
)

const (
	// batchRecordBytesMax closes a batch to further transactions: beyond it a
	// flush takes longer than the flush itself costs, and others wait.
	batchRecordBytesMax = 1 << 20
	// batchBodyBytesMax does the same for chunks.
	batchBodyBytesMax = 4 << 20
	// jobBytesMax bounds the items that ride behind one commit, which waits for
	// them; pressedJobBytesMax does when the log is almost at its bound.
	jobBytesMax        = 256 << 10
	pressedJobBytesMax = 1 << 20
)

// A batch is what goes into one append: the outcomes of transactions that were
// evaluated one after the other, their chunks, and items that ride behind.
type batch struct {
	requests []*request
	record   item.RecordBuilder
	body     []byte // chunk items
	first    uint64 // block at which the append will begin
	grows    bool   // something in it may not use the reserve
	alone    bool   // what did not need the room that was refused: nothing joins that does
	jobs     []*appendJob
	after    *delta.Delta // active delta after this batch
	version  uint64
	rootAt   *item.RootPlace // of a ROOT in it
	redo     uint64          // that ROOT's
	idle     bool            // written for its own sake
	clean    bool            // written by a clean stop
	pins     int             // mark in the journal of pins when the batch was closed
	payload  []byte
}

func (b *batch) reset(first, base uint64) {
	clear(b.requests)
	clear(b.jobs)
	b.requests, b.jobs = b.requests[:0], b.jobs[:0]
	b.record.Reset(base)
	if cap(b.body) > 2*batchBodyBytesMax {
		b.body = nil
	}
	if cap(b.payload) > 2*batchBodyBytesMax {
		b.payload = nil
	}
	b.body = b.body[:0]
	b.first = first
	b.grows, b.alone, b.idle, b.clean = false, false, false, false
	b.after, b.rootAt = nil, nil
}

// full says that the batch is closed to further transactions, by these bounds.
func (b *batch) full(recordBytes, bodyBytes int) bool {
	return b.record.Len() >= recordBytes || len(b.body) >= bodyBytes
}

// size is about how long the append is so far.
func (b *batch) size() int { return b.record.Len() + len(b.body) }

// empty says that the batch needs no append.
func (b *batch) empty() bool {
	return b.record.Count() == 0 && len(b.jobs) == 0 && !b.idle
}

// place answers where byte n of the append comes to lie.
func (b *batch) place(n, bytes, blockBytes int) page.Place {
	return page.Place{
		Block:  b.first + uint64(n/blockBytes),
		Offset: uint32(n % blockBytes),
		Bytes:  uint32(bytes),
	}
}

// addChunk puts a chunk into the append and answers its reference.
func (b *batch) addChunk(blob uint64, number uint32, data []byte, blockBytes int) page.Ref {
	b.body = item.Pad(b.body, blockBytes)
	start := len(b.body)
	b.body = item.AppendChunk(b.body, blob, number, data)
	return page.Ref{
		Place: b.place(start, len(b.body)-start, blockBytes),
		CRC:   item.StoredCRC(b.body[start:]),
	}
}

// compose lays the append out: chunks, items of the jobs, ROOTs, the commit
// record, the trailer.
func (b *batch) compose(t *item.Trailer, blockBytes int) []byte {
	buf := append(b.payload[:0], b.body...)
	for _, j := range b.jobs {
		buf = b.addJob(buf, j, blockBytes)
	}
	t.NoRecord()
	if b.record.Count() > 0 {
		buf = item.Pad(buf, blockBytes)
		t.Record = uint32(len(buf))
		buf = b.record.AppendTo(buf)
		t.RecordCRC = item.StoredCRC(buf[t.Record:])
	}
	if b.rootAt != nil {
		t.Root, t.Redo = *b.rootAt, b.redo
	}
	t.First, t.Clean = b.first, b.clean
	b.payload = item.AppendTrailer(buf, t, blockBytes)
	return b.payload
}

func (b *batch) addJob(buf []byte, j *appendJob, blockBytes int) []byte {
	j.places = j.places[:0]
	for _, it := range j.items {
		buf = item.Pad(buf, blockBytes)
		j.places = append(j.places, b.place(len(buf), len(it), blockBytes))
		buf = append(buf, it...)
	}
	if j.root != nil {
		buf = b.addRoot(buf, j.root, blockBytes)
		j.rootAt = *b.rootAt
	}
	return buf
}

// addRoot writes the ROOT twice, so that no block holds a part of both.
func (b *batch) addRoot(buf []byte, root *item.Root, blockBytes int) []byte {
	at := new(item.RootPlace)
	encoded := root.Append(nil)
	at.Bytes, at.CRC = uint32(len(encoded)), item.StoredCRC(encoded)
	for i := range at.Block {
		buf = item.Pad(buf, blockBytes)
		if i > 0 {
			buf = append(buf, make([]byte, (blockBytes-len(buf)%blockBytes)%blockBytes)...)
		}
		p := b.place(len(buf), len(encoded), blockBytes)
		at.Block[i], at.Offset[i] = p.Block, p.Offset
		buf = append(buf, encoded...)
	}
	b.rootAt, b.redo = at, root.Redo
	return buf
}

// jobBytes is about how much of the append is not the batch's own.
func (b *batch) jobBytes() int {
	n := 0
	for _, j := range b.jobs {
		n += j.bytes()
	}
	return n
}

// room says which space the append may use.
func (b *batch) room() lbs.Room {
	if b.grows {
		return lbs.Ordinary
	}
	return lbs.Reserve
}
