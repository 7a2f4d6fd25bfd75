package item

import (
	"fmt"

	"kivaloo/kvstore/page"
)

// ChunkOverhead is how much longer a chunk's item is than its data.
const ChunkOverhead = 32

// AppendChunk appends the item of a chunk, unpadded.
func AppendChunk(dst []byte, blob uint64, number uint32, data []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, ChunkOverhead)...)
	le.PutUint64(dst[start+16:], blob)
	le.PutUint32(dst[start+24:], number)
	dst = append(dst, data...)
	seal(dst[start:], magicChunk)
	return dst
}

// StoredCRC is the checksum that an item carries.
func StoredCRC(b []byte) uint32 { return le.Uint32(b[4:]) }

// Chunk answers the data in the item b, which must be that of the given chunk and
// have the given CRC.
func Chunk(b []byte, ref page.Ref, blob uint64, number uint32) ([]byte, error) {
	b, err := check(b, magicChunk, ChunkOverhead)
	if err != nil {
		return nil, err
	}
	if crc := le.Uint32(b[4:]); crc != ref.CRC || len(b) != int(ref.Bytes) {
		return nil, fmt.Errorf("%w: chunk of CRC %08x and %d bytes, expected %08x and %d",
			ErrBad, crc, len(b), ref.CRC, ref.Bytes)
	}
	if id, n := le.Uint64(b[16:]), le.Uint32(b[24:]); id != blob || n != number {
		return nil, fmt.Errorf("%w: chunk %d of blob %d, expected %d of %d", ErrBad, n, id, number, blob)
	}
	return b[ChunkOverhead:], nil
}

// RefBytes is the length of an encoded reference.
const RefBytes = 20

// AppendRef appends a reference to a page or chunk.
func AppendRef(dst []byte, r page.Ref) []byte {
	dst = le.AppendUint64(dst, r.Block)
	dst = le.AppendUint32(dst, r.Offset)
	dst = le.AppendUint32(dst, r.Bytes)
	return le.AppendUint32(dst, r.CRC)
}

// Ref decodes a reference.
func Ref(b []byte) (page.Ref, error) {
	if len(b) != RefBytes {
		return page.Ref{}, fmt.Errorf("%w: reference of %d bytes", ErrBad, len(b))
	}
	r := page.Ref{CRC: le.Uint32(b[16:])}
	r.Block, r.Offset, r.Bytes = le.Uint64(b), le.Uint32(b[8:]), le.Uint32(b[12:])
	if r.Offset%Step != 0 {
		return page.Ref{}, fmt.Errorf("%w: reference to offset %d", ErrBad, r.Offset)
	}
	return r, nil
}

// BlobBytes is the length of an encoded blob reference.
const BlobBytes = 24

// A Blob is a value that lies in chunks.
type Blob struct {
	ID         uint64
	Size       int64
	ChunkBytes uint32
}

// AppendBlob appends a blob reference.
func AppendBlob(dst []byte, b Blob) []byte {
	dst = le.AppendUint64(dst, b.ID)
	dst = le.AppendUint64(dst, uint64(b.Size))
	dst = le.AppendUint32(dst, b.ChunkBytes)
	return le.AppendUint32(dst, 0)
}

// DecodeBlob decodes a blob reference.
func DecodeBlob(b []byte) (Blob, error) {
	if len(b) != BlobBytes {
		return Blob{}, fmt.Errorf("%w: blob reference of %d bytes", ErrBad, len(b))
	}
	blob := Blob{ID: le.Uint64(b), Size: int64(le.Uint64(b[8:])), ChunkBytes: le.Uint32(b[16:])}
	if blob.Size < 0 || blob.ChunkBytes == 0 || blob.ChunkBytes > 1<<30 {
		return Blob{}, fmt.Errorf("%w: blob of %d bytes in chunks of %d", ErrBad, blob.Size, blob.ChunkBytes)
	}
	return blob, nil
}

// ChunkName answers which chunk an item is; ok is false if it is none, or not as
// it was written.
func ChunkName(b []byte) (blob uint64, number uint32, ok bool) {
	if _, err := check(b, magicChunk, ChunkOverhead); err != nil {
		return 0, 0, false
	}
	return le.Uint64(b[16:]), le.Uint32(b[24:]), true
}
