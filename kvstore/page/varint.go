package page

import (
	"encoding/binary"
	"math/bits"
)

// varints reads numbers from the front of rest. After what is none it is bad and
// yields zeros.
type varints struct {
	rest []byte
	bad  bool
}

func (r *varints) unsigned() uint64 {
	// Differences of stamps are seldom one byte, lengths of metadata often.
	if len(r.rest) > 0 && r.rest[0] < 0x80 {
		x := uint64(r.rest[0])
		r.rest = r.rest[1:]
		return x
	}
	x, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return x
}

// signed reads a zigzag number; adding it to an unsigned one does what adding a
// negative one means.
func (r *varints) signed() uint64 {
	x := r.unsigned()
	return x>>1 ^ -(x & 1)
}

func (r *varints) bytes() []byte {
	n := r.unsigned()
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// zigzag is the difference to - from such that small ones, of either sign, are
// small numbers.
func zigzag(from, to uint64) uint64 {
	d := to - from
	return d<<1 ^ -(d >> 63)
}

// varintBytes is the length of x as a varint.
func varintBytes(x uint64) int { return (bits.Len64(x|1) + 6) / 7 }
