package mux

import (
	"net"
	"sync"

	"kivaloo/mux/wire"
)

const (
	// inboxBytes is read at once when a client sends much: about a thousand
	// requests. A multiple of it gained nothing.
	inboxBytes = 64 << 10
	// idleBytes is what a connection keeps while it waits. Any request fits.
	idleBytes = 4 << 10
)

// Any request must fit, or a connection would wait for a packet for ever.
const _ = uint(idleBytes - wire.RequestMax - wire.PacketOverhead)

var largeBuffers = sync.Pool{New: func() any { return new([inboxBytes]byte) }}

// An inbox holds what was read and not yet carried out. Its buffer is small until
// a client fills it, and small again when it no longer does.
type inbox struct {
	small      []byte
	large      *[inboxBytes]byte // nil while small is used
	start, end int               // of what is unread, in the buffer
	reads      []span            // requests that read, in the buffer
	filled     bool              // by the last read
}

type span struct{ start, end int }

func (b *inbox) buffer() []byte {
	if b.large != nil {
		return b.large[:]
	}
	return b.small
}

// bytes is what was read and not yet taken.
func (b *inbox) bytes() []byte { return b.buffer()[b.start:b.end] }

func (b *inbox) unread() int { return b.end - b.start }

func (b *inbox) skip(n int) { b.start += n }

// noteRead keeps the next n bytes, a request that reads, for answerReads.
func (b *inbox) noteRead(n int) { b.reads = append(b.reads, span{b.start, b.start + n}) }

// read waits for more. At most a part of one packet is unread by then, so there
// is room.
func (b *inbox) read(nc net.Conn) error {
	if b.small == nil {
		b.small = make([]byte, idleBytes)
	}
	b.resize()
	buf := b.buffer()
	n, err := nc.Read(buf[b.end:])
	b.end += n
	b.filled = b.end == len(buf)
	return err
}

// resize takes the large buffer after the small one was full, and gives it back
// once a read has brought little.
func (b *inbox) resize() {
	switch {
	case b.large == nil && b.filled:
		b.large = largeBuffers.Get().(*[inboxBytes]byte)
		copy(b.large[:], b.small[:b.end])
	case b.large != nil && !b.filled && b.start == b.end:
		b.release()
	}
}

// compact moves the part of a packet that is left to the front. All reads have
// been answered.
func (b *inbox) compact() {
	buf := b.buffer()
	taken := b.start
	b.end = copy(buf, buf[b.start:b.end])
	b.start = 0
	b.reads = b.reads[:0]
	// Little came of it: see resize.
	if b.large != nil {
		b.filled = taken > idleBytes
	}
}

func (b *inbox) release() {
	if b.large == nil {
		return
	}
	largeBuffers.Put(b.large)
	b.large, b.reads = nil, nil
	b.start, b.end, b.filled = 0, 0, false
}
