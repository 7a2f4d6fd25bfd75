package page

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// keyBytesMax bounds keys, separators and fences: above every key of the store,
// and so low that a page of two children always has room for them.
const keyBytesMax = 8 << 10

// sealer writes a page from its front: slots, fences, attributes, cells.
type sealer struct {
	data  []byte
	count int
	at    int // where the next fence, attributes or cell goes
}

// newSealer begins a page of the given length. Its buffer has the padding's room.
func newSealer(length, level, count int) (*sealer, error) {
	if length > BytesMax {
		return nil, fmt.Errorf("page of %d bytes, the limit is %d", length, BytesMax)
	}
	s := &sealer{data: make([]byte, length, Padded(length)), count: count}
	copy(s.data, magic)
	binary.LittleEndian.PutUint32(s.data[8:], uint32(length))
	s.data[12], s.data[13] = version, byte(level)
	binary.LittleEndian.PutUint16(s.data[16:], uint16(count))
	return s, nil
}

// fences writes both fences, at offset at.
func (s *sealer) fences(at int, lower, upper []byte) {
	s.at = at
	binary.LittleEndian.PutUint16(s.data[18:], uint16(len(lower)))
	binary.LittleEndian.PutUint16(s.data[20:], uint16(len(upper)))
	if upper == nil {
		binary.LittleEndian.PutUint16(s.data[20:], unbounded)
	}
	s.put(lower)
	s.put(upper)
}

func (s *sealer) put(b []byte) { s.at += copy(s.data[s.at:], b) }

func (s *sealer) head(i int, tail []byte) {
	binary.LittleEndian.PutUint32(s.data[HeaderBytes+headBytes*i:], headOf(tail))
}

// cell notes that cell i begins here.
func (s *sealer) cell(i int) {
	binary.LittleEndian.PutUint16(s.data[HeaderBytes+headBytes*s.count+offsetBytes*i:], uint16(s.at))
}

// attribute notes that the attributes of entry i begin here.
func (s *sealer) attribute(i int) {
	slots := HeaderBytes + (headBytes+offsetBytes)*s.count
	binary.LittleEndian.PutUint16(s.data[slots+offsetBytes*i:], uint16(s.at))
}

// sized writes a string after its length of 1 or 2 bytes.
func (s *sealer) sized(b []byte, short bool) {
	if short {
		s.data[s.at] = byte(len(b))
		s.at++
	} else {
		binary.LittleEndian.PutUint16(s.data[s.at:], uint16(len(b)))
		s.at += 2
	}
	s.put(b)
}

func (s *sealer) varint(x uint64) { s.at += binary.PutUvarint(s.data[s.at:], x) }

func (s *sealer) setPrefix(n int) { binary.LittleEndian.PutUint16(s.data[22:], uint16(n)) }

// seal ends the page.
func (s *sealer) seal() []byte {
	if s.at != len(s.data) {
		panic("page: length and contents differ")
	}
	binary.LittleEndian.PutUint32(s.data[4:], crc32.Checksum(s.data[8:], castagnoli))
	return s.data
}

// checkFences makes sure that something lies between the fences and that their
// lengths fit.
func checkFences(lower, upper []byte) error {
	if len(lower) > keyBytesMax || len(upper) > keyBytesMax {
		return fmt.Errorf("fences of %d and %d bytes", len(lower), len(upper))
	}
	if upper != nil && bytes.Compare(lower, upper) >= 0 {
		return fmt.Errorf("fences %q and %q", lower, upper)
	}
	return nil
}

// commonPrefix is how many bytes a and b begin with alike.
func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
