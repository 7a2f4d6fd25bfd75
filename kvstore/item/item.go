// Package item encodes what the engine appends to the log beside pages: commit
// records, chunks of blobs, ROOTs, and the trailer that ends every append.
//
// # An append
//
// An append is a row of items, each at a multiple of 64 bytes from the beginning
// of the block in which it begins, then zeros, then the trailer. Chunks come first, then pages, ROOTs
// and the commit record, any of which may be missing. The trailer lies right
// before the last 64 bytes of the last block, which belong to the block store
// (lbs.SealBytes), so it is found without knowing anything but the number of the
// last block.
//
// All numbers are little-endian. Every item, a page too, begins with
//
//	 0  4  magic, which says what it is
//	 4  4  CRC-32C (Castagnoli) of bytes [8, length)
//	 8  4  length in bytes, without padding
//	12  1  version of this kind of item: 1
//
// A place on the disk is a block number, an offset in bytes within that block (a
// multiple of 64), and a length; the bytes may run on into the blocks after.
//
// # Commit record: "kREC"
//
//	13  3  zero
//	16  4  number of operations
//	20  4  zero
//	24  8  base: stamps of the operations are given as differences from it
//	32     operations
//
// An operation is the outcome of one effect, never a condition, so that applying
// a record twice changes nothing. Numbers marked v are unsigned varints (LEB128),
// z zigzag varints, both of at most 10 bytes.
//
//	1  kind: 1 put, 2 delete, 3 delete range
//	1  flags, below
//	v  length of the key, then the key: keyspace byte, then the key's bytes
//	v  version, less base
//	   put:
//	z    birth of a pair that is created, less version     (flag 0x02)
//	z    modified, less version                             (flag 0x04)
//	v    length of the metadata, then the metadata          (flag 0x08)
//	v    length of the value, then the value: the pair's own bytes, a blob's
//	     reference (flag 0x10) or a link's (flag 0x20)
//	   delete:
//	v    length of the key that the pair has now, then it   (flag 0x02)
//	   delete range: [key, end)
//	v    length of end, then end; empty: no end
//	v    length of the prefix that the keys have now, then it (flag 0x02)
//
// Flags of a put: 0x01 fresh (nothing is inherited from a pair that was there),
// 0x02 birth, 0x04 modified, 0x08 metadata, 0x10 blob, 0x20 link, 0x40 modified
// was brought by the writer. Flags of a delete: 0x01 moved (the pair goes on
// elsewhere and keeps what it owns), 0x02 the place it went to is given. Other
// flags and kinds are refused.
//
// # Chunk: "kCHK"
//
//	13  3  zero
//	16  8  blob
//	24  4  number of the chunk
//	28  4  zero
//	32     data
//
// # ROOT: "kROT"
//
// Written twice, in two blocks of one append.
//
//	13  1  height of the tree, 0: empty
//	14  2  zero
//	16 16  store
//	32  8  number of this ROOT, growing by one
//	40  8  redo point: first block of the first append whose record is not merged
//	48  8  highest stamp drawn
//	56 20  reference to the tree's root page (see Ref)
//	76  4  zero
//	80  8  pairs of the user keyspace
//	88  8  pairs of the system keyspace
//	96  8  links among them
//	104 4  number of segments
//	108 4  number of ranges to free
//	112    segments: 8 first block, 8 bytes of live items (in steps of 64)
//	       ranges of internal keys whose pairs a merge has still to drop, since
//	       their owner is gone: 4 length of start, start, 4 length of end, end
//
// # Reference to a page: 20 bytes, or to a chunk
//
//	0  8  block
//	8  4  offset
//	12 4  length of the item
//	16 4  its CRC, as in its bytes 4 to 8
//
// # Blob reference: the value of a pair with the blob flag, 24 bytes
//
//	0  8  blob
//	8  8  size of the value
//	16 4  bytes of a chunk
//	20 4  zero
//
// # Link: the value of a pair with the link flag, 8 bytes
//
//	0  8  birth of the body that the link leads to
//
// # Body: the value of a pair that links lead to
//
//	   what the pair itself would have as its value: its bytes, or a blob
//	   reference if the pair has the blob flag
//	4  number of names, at least 2
//
// The pair of a name (see the engine's keys) has an empty value.
//
// # Trailer: "kTRL", 128 bytes
//
//	13  1  flags: 0x01 clean stop
//	14  2  zero
//	16 16  store
//	32  8  first block of this append
//	40  8  last block of the append before, 2^64-1 if there is none
//	48  4  length of the append up to the end of this trailer
//	52  4  CRC-32C of all of it before this trailer
//	56  8  block of the first copy of the last ROOT
//	64  8  block of its second copy
//	72  4  offset of the first copy
//	76  4  offset of the second copy
//	80  4  length of that ROOT
//	84  4  its CRC
//	88  8  redo point of that ROOT
//	96  8  highest stamp drawn
//	104 4  offset of the commit record in the append, 2^32-1 if there is none
//	108 4  CRC of the commit record, as in its bytes 4 to 8; 0 if there is none
//	112 8  number of this append, growing by one
//	120 8  zero
package item

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Step is the alignment of items within an append.
const Step = 64

// version is the one of every kind of item so far.
const version = 1

// headerBytes is the part that all items have in common.
const headerBytes = 13

// noOffset stands where there is no offset.
const noOffset = ^uint32(0)

// Magics of the items that are not pages.
var (
	magicPage    = magic("kPAG") // package page encodes it
	magicRecord  = magic("kREC")
	magicChunk   = magic("kCHK")
	magicRoot    = magic("kROT")
	magicTrailer = magic("kTRL")
)

// ErrBad: the bytes are not the item that was asked for, or not as written.
var ErrBad = errors.New("bad item")

// ErrVersion: a whole item, of a version that this program does not know. It is
// ErrBad as well, for those who cannot use it and need not know why.
var ErrVersion = errors.New("unknown version")

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

func magic(s string) uint32 { return le.Uint32([]byte(s)) }

// Align answers where an item may begin, at or after byte n of an append.
func Align(n, blockBytes int) int {
	in := n % blockBytes
	if up := (in + Step - 1) &^ (Step - 1); up < blockBytes {
		return n - in + up
	}
	return n - in + blockBytes
}

// Pad appends zeros to an append up to where the next item may begin.
func Pad(dst []byte, blockBytes int) []byte {
	return append(dst, zeros[:Align(len(dst), blockBytes)-len(dst)]...)
}

var zeros [Step]byte

// CRC is the checksum of an item's bytes from its length on.
func CRC(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// seal writes the common header into b, whose length is the item's.
func seal(b []byte, magic uint32) {
	le.PutUint32(b, magic)
	le.PutUint32(b[8:], uint32(len(b)))
	b[12] = version
	le.PutUint32(b[4:], CRC(b[8:]))
}

// check answers the item at the beginning of b, cut to its length.
func check(b []byte, magic uint32, least int) ([]byte, error) {
	if len(b) < least {
		return nil, fmt.Errorf("%w: %d bytes where %d are needed", ErrBad, len(b), least)
	}
	if m := le.Uint32(b); m != magic {
		return nil, fmt.Errorf("%w: magic %08x, expected %08x", ErrBad, m, magic)
	}
	n := int(le.Uint32(b[8:]))
	if n < least || n > len(b) {
		return nil, fmt.Errorf("%w: length %d of at most %d", ErrBad, n, len(b))
	}
	b = b[:n]
	if want, got := le.Uint32(b[4:]), CRC(b[8:]); want != got {
		return nil, fmt.Errorf("%w: CRC %08x, expected %08x", ErrBad, got, want)
	}
	if b[12] != version {
		return nil, fmt.Errorf("%w: %w: version %d, this program knows version %d", ErrBad, ErrVersion, b[12], version)
	}
	return b, nil
}

// Length is the length of the item that begins with b, 0 if none does: what lies
// between items is zero.
func Length(b []byte) int {
	if len(b) < headerBytes || le.Uint32(b) == 0 {
		return 0
	}
	if n := int64(le.Uint32(b[8:])); n >= headerBytes && n <= int64(len(b)) {
		return int(n)
	}
	return 0
}

// IsPage says whether an item is a page.
func IsPage(b []byte) bool { return le.Uint32(b) == magicPage }
