package mux

import "sync"

const (
	// bufferBytes is the size of a new buffer: the answers of one busy moment.
	bufferBytes = 16 << 10
	// bufferBytesMax is the size of the largest one that is kept for use again.
	bufferBytesMax = 1 << 20
)

// buffers hold answers. They are shared by all connections, since most of those
// have nothing to say most of the time.
var buffers sync.Pool

func newBuffer() []byte {
	if buf, ok := buffers.Get().(*[]byte); ok {
		return (*buf)[:0]
	}
	return make([]byte, 0, bufferBytes)
}

// recycle takes back a buffer that nobody uses any more.
func recycle(buf []byte) {
	if cap(buf) > 0 && cap(buf) <= bufferBytesMax {
		buffers.Put(&buf)
	}
}
