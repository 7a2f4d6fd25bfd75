package item

import (
	"fmt"

	"kivaloo/lbs"
)

// TrailerBytes is the length of a trailer.
const TrailerBytes = 128

// TailBytes is what the end of an append takes of its last block.
const TailBytes = TrailerBytes + lbs.SealBytes

// A RootPlace says where the copies of a ROOT are.
type RootPlace struct {
	Block  [2]uint64
	Offset [2]uint32
	Bytes  uint32
	CRC    uint32
}

// A Trailer ends an append and leads to everything else.
type Trailer struct {
	Store    [16]byte
	Number   uint64 // of this append
	First    uint64 // its first block
	Previous uint64 // last block of the append before, or lbs.NoBlock
	Bytes    uint32 // of the append, up to the end of this trailer
	CRC      uint32 // of the append before this trailer
	Root     RootPlace
	Redo     uint64
	Stamp    uint64
	Record   uint32 // offset of the commit record, if HasRecord
	// RecordCRC binds the record to this append: another one, however well
	// formed, was not written here.
	RecordCRC uint32
	Clean     bool // a clean stop: nothing comes after, nothing is to be replayed
}

// HasRecord says whether the append holds a commit record.
func (t *Trailer) HasRecord() bool { return t.Record != noOffset }

// NoRecord marks the append as one without a commit record.
func (t *Trailer) NoRecord() { t.Record, t.RecordCRC = noOffset, 0 }

// AppendTrailer ends an append: body is what it holds so far, from its first
// byte on. It pads body so that the trailer comes to lie right before the last
// lbs.SealBytes of a block, computes Bytes and CRC, and answers the payload,
// whose capacity reaches to the end of its last block.
func AppendTrailer(body []byte, t *Trailer, blockBytes int) []byte {
	blocks := (len(body) + TailBytes + blockBytes - 1) / blockBytes
	end := blocks*blockBytes - lbs.SealBytes
	body = grow(body, end, blocks*blockBytes)
	t.Bytes = uint32(end)
	t.CRC = CRC(body[:end-TrailerBytes])
	b := body[end-TrailerBytes:]
	if t.Clean {
		b[13] = 1
	}
	copy(b[16:32], t.Store[:])
	le.PutUint64(b[32:], t.First)
	le.PutUint64(b[40:], t.Previous)
	le.PutUint32(b[48:], t.Bytes)
	le.PutUint32(b[52:], t.CRC)
	le.PutUint64(b[56:], t.Root.Block[0])
	le.PutUint64(b[64:], t.Root.Block[1])
	le.PutUint32(b[72:], t.Root.Offset[0])
	le.PutUint32(b[76:], t.Root.Offset[1])
	le.PutUint32(b[80:], t.Root.Bytes)
	le.PutUint32(b[84:], t.Root.CRC)
	le.PutUint64(b[88:], t.Redo)
	le.PutUint64(b[96:], t.Stamp)
	le.PutUint32(b[104:], t.Record)
	le.PutUint32(b[108:], t.RecordCRC)
	le.PutUint64(b[112:], t.Number)
	seal(b, magicTrailer)
	return body
}

// grow lengthens b to n zero-filled bytes, with room for capacity.
func grow(b []byte, n, capacity int) []byte {
	if cap(b) < capacity {
		b = append(make([]byte, 0, capacity), b...)
	}
	old := len(b)
	b = b[:n]
	clear(b[old:])
	return b
}

// DecodeTrailer decodes a trailer, TrailerBytes long.
func DecodeTrailer(b []byte) (*Trailer, error) {
	b, err := check(b, magicTrailer, TrailerBytes)
	if err != nil {
		return nil, err
	}
	if len(b) != TrailerBytes {
		return nil, fmt.Errorf("%w: trailer of %d bytes", ErrBad, len(b))
	}
	t := &Trailer{
		Number:    le.Uint64(b[112:]),
		First:     le.Uint64(b[32:]),
		Previous:  le.Uint64(b[40:]),
		Bytes:     le.Uint32(b[48:]),
		CRC:       le.Uint32(b[52:]),
		Redo:      le.Uint64(b[88:]),
		Stamp:     le.Uint64(b[96:]),
		Record:    le.Uint32(b[104:]),
		RecordCRC: le.Uint32(b[108:]),
		Clean:     b[13]&1 != 0,
	}
	copy(t.Store[:], b[16:32])
	t.Root = RootPlace{
		Block:  [2]uint64{le.Uint64(b[56:]), le.Uint64(b[64:])},
		Offset: [2]uint32{le.Uint32(b[72:]), le.Uint32(b[76:])},
		Bytes:  le.Uint32(b[80:]),
		CRC:    le.Uint32(b[84:]),
	}
	return t, t.check()
}

func (t *Trailer) check() error {
	if t.Bytes < TrailerBytes || t.Bytes > lbs.AppendBytesMax {
		return fmt.Errorf("%w: append of %d bytes", ErrBad, t.Bytes)
	}
	if t.HasRecord() && t.Record > t.Bytes-TrailerBytes {
		return fmt.Errorf("%w: commit record at offset %d of %d", ErrBad, t.Record, t.Bytes)
	}
	if t.Root.Bytes > RootBytesMax {
		return fmt.Errorf("%w: ROOT of %d bytes", ErrBad, t.Root.Bytes)
	}
	return nil
}
