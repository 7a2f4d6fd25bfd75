package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"kivaloo/lbs"
)

const (
	formatVersion = 1

	recordBytes = 64   // the format record, a seal, and what counts of a header
	headerBytes = 4096 // before the first block, so that blocks of 4096 are aligned

	formatMagic = "KVLSTORE"
	headerMagic = "KVLSEGMT"
	sealMagic   = "KVLSEAL1"
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	order      = binary.LittleEndian
)

// An identity is what the format record says: what is the same in all files of a
// store.
type identity struct {
	blockBytes int
	id         [16]byte
	salt       [16]byte
}

func newIdentity(blockBytes int, random io.Reader) (identity, error) {
	s := identity{blockBytes: blockBytes}
	if _, err := io.ReadFull(random, s.id[:]); err != nil {
		return s, err
	}
	_, err := io.ReadFull(random, s.salt[:])
	return s, err
}

func plainCRC(p []byte) uint32 { return crc32.Checksum(p, castagnoli) }

// crc is the keyed CRC of p.
func (s *identity) crc(p []byte) uint32 {
	return crc32.Update(plainCRC(s.salt[:]), castagnoli, p)
}

func (s *identity) encode() []byte {
	p := make([]byte, recordBytes)
	copy(p, formatMagic)
	order.PutUint32(p[8:], formatVersion)
	order.PutUint32(p[12:], uint32(s.blockBytes))
	copy(p[16:], s.id[:])
	copy(p[32:], s.salt[:])
	order.PutUint32(p[60:], plainCRC(p[:60]))
	return p
}

// decodeIdentity reads a format record.
func decodeIdentity(p []byte) (s identity, err error) {
	if len(p) < recordBytes || string(p[:8]) != formatMagic {
		return s, fmt.Errorf("%w: the format record is not one", lbs.ErrDamaged)
	}
	if got, want := order.Uint32(p[60:]), plainCRC(p[:60]); got != want {
		return s, fmt.Errorf("%w: format record has CRC %08x, expected %08x", lbs.ErrDamaged, got, want)
	}
	if err := checkVersion("store", order.Uint32(p[8:])); err != nil {
		return s, err
	}
	s.blockBytes = int(order.Uint32(p[12:]))
	copy(s.id[:], p[16:])
	copy(s.salt[:], p[32:])
	if err := checkBlockBytes(s.blockBytes); err != nil {
		return s, fmt.Errorf("%w: format record: %w", lbs.ErrDamaged, err)
	}
	return s, nil
}

func checkVersion(what string, version uint32) error {
	if version == formatVersion {
		return nil
	}
	return fmt.Errorf("%w: %s has version %d, this program knows version %d", lbs.ErrFormat, what, version, formatVersion)
}

func checkBlockBytes(n int) error {
	if n < lbs.BlockBytesMin || n > lbs.BlockBytesMax {
		return fmt.Errorf("block size %d is not between %d and %d", n, lbs.BlockBytesMin, lbs.BlockBytesMax)
	}
	return nil
}

// A header stands at the beginning of a segment file.
type header struct {
	first    uint64 // number of the first block
	sequence uint64 // of the first append
	previous uint32 // CRC of the seal before
}

// encodeHeader fills the first headerBytes of p.
func (s *identity) encodeHeader(p []byte, h header) {
	clear(p[:headerBytes])
	copy(p, headerMagic)
	order.PutUint32(p[8:], formatVersion)
	order.PutUint32(p[12:], uint32(s.blockBytes))
	copy(p[16:], s.id[:])
	order.PutUint64(p[32:], h.first)
	order.PutUint64(p[40:], h.sequence)
	order.PutUint32(p[48:], h.previous)
	order.PutUint32(p[60:], s.crc(p[:60]))
}

var errHeader = errors.New("no header of this store's")

// decodeHeader reads the header of the segment whose first number must be first.
func (s *identity) decodeHeader(p []byte, first uint64) (h header, err error) {
	if len(p) < recordBytes || string(p[:8]) != headerMagic {
		return h, errHeader
	}
	if got, want := order.Uint32(p[60:]), s.crc(p[:60]); got != want {
		return h, fmt.Errorf("header has CRC %08x, expected %08x", got, want)
	}
	if err := checkVersion("segment", order.Uint32(p[8:])); err != nil {
		return h, err
	}
	h.first = order.Uint64(p[32:])
	h.sequence = order.Uint64(p[40:])
	h.previous = order.Uint32(p[48:])
	if order.Uint32(p[12:]) != uint32(s.blockBytes) || [16]byte(p[16:32]) != s.id {
		return h, errHeader
	}
	if h.first != first {
		return h, fmt.Errorf("header says first block %d, the name %d", h.first, first)
	}
	return h, nil
}

// A seal ends an append.
type seal struct {
	first    uint64 // number of the append's first block
	sequence uint64
	blocks   uint32
	payload  uint32 // CRC of the append but for the seal
	previous uint32 // CRC of the seal before
	crc      uint32 // its own
}

// encodeSeal fills the recordBytes of p, and sets q.crc.
func (s *identity) encodeSeal(p []byte, q *seal) {
	clear(p)
	copy(p, sealMagic)
	order.PutUint64(p[8:], q.first)
	order.PutUint64(p[16:], q.sequence)
	order.PutUint32(p[24:], q.blocks)
	order.PutUint32(p[28:], q.payload)
	order.PutUint32(p[32:], q.previous)
	q.crc = s.crc(p[:60])
	order.PutUint32(p[60:], q.crc)
}

// decodeSeal reads a seal; most blocks end in none.
func (s *identity) decodeSeal(p []byte) (q seal, ok bool) {
	if len(p) != recordBytes || string(p[:8]) != sealMagic {
		return q, false
	}
	q = seal{
		first:    order.Uint64(p[8:]),
		sequence: order.Uint64(p[16:]),
		blocks:   order.Uint32(p[24:]),
		payload:  order.Uint32(p[28:]),
		previous: order.Uint32(p[32:]),
		crc:      order.Uint32(p[60:]),
	}
	return q, q.crc == s.crc(p[:60])
}
