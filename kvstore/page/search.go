package page

import (
	"bytes"
	"encoding/binary"
)

// Search finds an internal key in a leaf: the index of the first entry that is
// not below it, and whether that entry has this key.
func (p *Page) Search(key []byte) (int, bool) {
	if len(key) == 0 || key[0] < p.space {
		return 0, false
	}
	if key[0] > p.space {
		return int(p.count), false
	}
	key = key[1:]
	if i, found := p.guess(key); found {
		return i, true
	}
	rest, side := p.afterPrefix(key)
	if side != 0 {
		return p.end(side, 0), false
	}
	return p.find(0, rest)
}

// guess finds a key that is in the leaf and alone with its head, as most keys are
// that are searched for. It takes the prefix for granted until a whole key is
// compared, so it spares the memory where the prefix lies.
func (p *Page) guess(key []byte) (int, bool) {
	if len(key) < int(p.prefix) {
		return 0, false
	}
	h, n := headOf(key[p.prefix:]), int(p.count)
	i := p.headSearch(0, n, h)
	if i == n || p.head(i) != h {
		return 0, false
	}
	at, end := p.keyBounds(i)
	return i, string(p.data[at:end]) == string(key)
}

// Warm reads a byte of every cache line that Search will want of a leaf's slots.
// The lines then come from memory all at once; the search would ask for each when
// it has the one before. It pays for many leaves in turn, see btree.GetBatch.
//
//go:noinline
func (p *Page) Warm() byte {
	const lineBytes = 64
	slots := p.data[:HeaderBytes+(headBytes+offsetBytes)*int(p.count)]
	var x byte
	for at := 0; at < len(slots); at += lineBytes {
		x |= slots[at]
	}
	return x
}

// Route finds the child of an inner page in whose bracket an internal key lies,
// if it lies within the page's own.
func (p *Page) Route(key []byte) int {
	if p.count == 1 {
		return 0
	}
	rest, side := p.afterPrefix(key)
	if side != 0 {
		return p.end(side, 1) - 1
	}
	i, found := p.find(1, rest)
	if found {
		return i
	}
	return i - 1
}

// afterPrefix answers what follows the prefix in key. If key does not begin with
// the prefix, side says on which side of all keys with that prefix it lies.
func (p *Page) afterPrefix(key []byte) (rest []byte, side int) {
	n := int(p.prefix)
	if n == 0 {
		return key, 0
	}
	prefix := p.data[int(p.prefixAt) : int(p.prefixAt)+n]
	if len(key) >= n && string(key[:n]) == string(prefix) {
		return key[n:], 0
	}
	return nil, bytes.Compare(key, prefix)
}

// end is the position before the first slot, from, or after the last.
func (p *Page) end(side, from int) int {
	if side < 0 {
		return from
	}
	return int(p.count)
}

// find is the first slot, counted from slot from on, whose tail is not below
// rest, and whether it is rest. Mostly one head is equal, and one tail is read.
func (p *Page) find(from int, rest []byte) (int, bool) {
	h, n := headOf(rest), int(p.count)
	i := p.headSearch(from, n, h)
	if i == n || p.head(i) != h {
		return i, false
	}
	switch c := bytes.Compare(p.tail(i), rest); {
	case c == 0:
		return i, true
	case c > 0:
		return i, false
	}
	if i+1 == n || p.head(i+1) != h {
		return i + 1, false
	}
	return p.tailSearch(i+1, h, rest)
}

// headSearch is the first slot from lo on, and below n, whose head is not below
// h. The compiler makes the loop's condition a conditional move: no step depends
// on a guess.
func (p *Page) headSearch(lo, n int, h uint32) int {
	heads := p.data[HeaderBytes : HeaderBytes+headBytes*n]
	for size := n - lo; size > 0; {
		half := (size + 1) >> 1
		next := lo + half
		if binary.LittleEndian.Uint32(heads[headBytes*(next-1):]) < h {
			lo = next
		}
		size -= half
	}
	return lo
}

// tailSearch is find among the slots with head h, of which lo is one.
func (p *Page) tailSearch(lo int, h uint32, rest []byte) (int, bool) {
	hi := int(p.count)
	if h < 1<<32-1 {
		hi = p.headSearch(lo, hi, h+1)
	}
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch c := bytes.Compare(p.tail(mid), rest); {
		case c == 0:
			return mid, true
		case c < 0:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return lo, false
}

// headOf is the head of a tail.
func headOf(tail []byte) uint32 {
	if len(tail) >= headBytes {
		return binary.BigEndian.Uint32(tail)
	}
	var h [headBytes]byte
	copy(h[:], tail)
	return binary.BigEndian.Uint32(h[:])
}
