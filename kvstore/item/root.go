package item

import (
	"fmt"

	"kivaloo/kvstore/page"
)

const (
	rootHeaderBytes = 112
	segmentBytes    = 16

	// RootBytesMax bounds a ROOT: a million segments of 64 MiB.
	RootBytesMax = 16 << 20
)

// A Root is what a checkpoint leaves: where the tree is, and what the log holds.
type Root struct {
	Store       [16]byte
	Number      uint64
	Redo        uint64
	Stamp       uint64
	Tree        page.Ref
	Height      int
	UserPairs   int64
	SystemPairs int64
	Links       int64
	Segments    []SegmentLive
	Free        []KeyRange
}

// SegmentLive says how many bytes of a segment are live.
type SegmentLive struct {
	First uint64
	Live  int64
}

// A KeyRange is a range of internal keys; an empty End is none.
type KeyRange struct{ Start, End []byte }

// Append appends the ROOT, unpadded.
func (r *Root) Append(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, rootHeaderBytes)...)
	b := dst[start:]
	b[13] = byte(r.Height)
	copy(b[16:32], r.Store[:])
	le.PutUint64(b[32:], r.Number)
	le.PutUint64(b[40:], r.Redo)
	le.PutUint64(b[48:], r.Stamp)
	AppendRef(b[56:56], r.Tree)
	le.PutUint64(b[80:], uint64(r.UserPairs))
	le.PutUint64(b[88:], uint64(r.SystemPairs))
	le.PutUint64(b[96:], uint64(r.Links))
	le.PutUint32(b[104:], uint32(len(r.Segments)))
	le.PutUint32(b[108:], uint32(len(r.Free)))
	for _, s := range r.Segments {
		dst = le.AppendUint64(dst, s.First)
		dst = le.AppendUint64(dst, uint64(s.Live))
	}
	for _, f := range r.Free {
		dst = append(le.AppendUint32(dst, uint32(len(f.Start))), f.Start...)
		dst = append(le.AppendUint32(dst, uint32(len(f.End))), f.End...)
	}
	seal(dst[start:], magicRoot)
	return dst
}

// DecodeRoot decodes the ROOT at the beginning of b, which must have the given
// CRC.
func DecodeRoot(b []byte, crc uint32) (*Root, error) {
	b, err := check(b, magicRoot, rootHeaderBytes)
	if err != nil {
		return nil, err
	}
	if got := le.Uint32(b[4:]); got != crc {
		return nil, fmt.Errorf("%w: ROOT of CRC %08x, expected %08x", ErrBad, got, crc)
	}
	r := &Root{
		Number:      le.Uint64(b[32:]),
		Redo:        le.Uint64(b[40:]),
		Stamp:       le.Uint64(b[48:]),
		Height:      int(b[13]),
		UserPairs:   int64(le.Uint64(b[80:])),
		SystemPairs: int64(le.Uint64(b[88:])),
		Links:       int64(le.Uint64(b[96:])),
	}
	copy(r.Store[:], b[16:32])
	if r.Tree, err = Ref(b[56:76]); err != nil {
		return nil, err
	}
	return r, r.decodeLists(b)
}

func (r *Root) decodeLists(b []byte) error {
	segments, frees := int(le.Uint32(b[104:])), int(le.Uint32(b[108:]))
	b = b[rootHeaderBytes:]
	if segments > len(b)/segmentBytes {
		return fmt.Errorf("%w: ROOT: %d segments in %d bytes", ErrBad, segments, len(b))
	}
	for range segments {
		r.Segments = append(r.Segments, SegmentLive{le.Uint64(b), int64(le.Uint64(b[8:]))})
		b = b[segmentBytes:]
	}
	for range frees {
		var f KeyRange
		var ok1, ok2 bool
		f.Start, b, ok1 = cutKey(b)
		f.End, b, ok2 = cutKey(b)
		if !ok1 || !ok2 {
			return fmt.Errorf("%w: ROOT: bad list of ranges to free", ErrBad)
		}
		r.Free = append(r.Free, f)
	}
	if len(b) != 0 {
		return fmt.Errorf("%w: ROOT: %d bytes too many", ErrBad, len(b))
	}
	return nil
}

func cutKey(b []byte) (key, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := int(le.Uint32(b))
	if n > keyBytesMax || n > len(b)-4 {
		return nil, nil, false
	}
	return b[4 : 4+n : 4+n], b[4+n:], true
}
