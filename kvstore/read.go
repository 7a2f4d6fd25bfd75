package kvstore

import (
	"context"
	"errors"
	"fmt"

	"kivaloo/kvstore/delta"
	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
	"kivaloo/kvstore/page"
	"kivaloo/lbs"
)

// Get answers one pair, or kv.ErrNotFound.
func (db *DB) Get(ctx context.Context, req kv.GetRequest) (kv.Pair, error) {
	var out kv.Pair
	err := db.read(func(s *state) (err error) {
		out, err = db.getFrom(s, &req)
		return err
	})
	return out, err
}

// read runs f on the newest state. A block that is gone means that a checkpoint
// has moved what it held since the state was taken, so f runs again on a newer
// one; where there is none the block is missing.
func (db *DB) read(f func(s *state) error) error {
	if db.closed.Load() {
		return kv.ErrClosed
	}
	for {
		s := db.state.Load()
		err := f(s)
		if err == nil || !errors.Is(err, lbs.ErrNoBlock) || db.state.Load() == s {
			return readError(err)
		}
	}
}

// readError makes a missing block what it is to a client.
func readError(err error) error {
	switch {
	case errors.Is(err, lbs.ErrNoBlock):
		return fmt.Errorf("%w: %w", kv.ErrCorrupt, err)
	case errors.Is(err, lbs.ErrClosed):
		return fmt.Errorf("%w: %w", kv.ErrClosed, err)
	}
	return err
}

func (db *DB) getFrom(s *state, req *kv.GetRequest) (kv.Pair, error) {
	if len(req.Key) > kv.KeyBytesMax {
		return kv.Pair{}, fmt.Errorf("key of %d bytes: %w", len(req.Key), kv.ErrTooLarge)
	}
	if req.Offset < 0 || req.Length < 0 || req.Space > kv.Root {
		return kv.Pair{}, fmt.Errorf("get of space %d, offset %d, length %d: %w", req.Space, req.Offset, req.Length, kv.ErrInvalid)
	}
	var space [64]byte
	key := appendKey(space[:0], req.Space, req.Key)
	p, found, err := s.get(db.cache, key, req.Want&kv.WantStamps != 0)
	if err != nil {
		return kv.Pair{}, err
	}
	if !found {
		return kv.Pair{}, kv.ErrNotFound
	}
	return db.pairFrom(s, &p, req)
}

// pairFrom is a pair of state s, or the body that it is a link to, as it was asked
// for.
func (db *DB) pairFrom(s *state, p *pair, req *kv.GetRequest) (kv.Pair, error) {
	if p.flags&delta.Link != 0 {
		body, err := s.follow(db.cache, p, req.Want&kv.WantStamps != 0)
		if err != nil {
			return kv.Pair{}, err
		}
		p = &body
	}
	out, err := p.toKV(req.Key, req.Want)
	if err != nil || req.Want&kv.WantValue == 0 {
		return out, err
	}
	length := req.Length
	if length == 0 {
		length = -1
	}
	if n := out.Size - min(req.Offset, out.Size); n > kv.GetBytesMax && (length < 0 || length > kv.GetBytesMax) {
		return kv.Pair{}, fmt.Errorf("get of up to %d bytes at once: %w", n, kv.ErrTooLarge)
	}
	out.Value, err = readValue(p, req.Offset, length, func(b *item.Blob, number uint32) ([]byte, error) {
		return db.chunkOf(s, b, number, nil)
	})
	return out, err
}

// toKV is the pair as clients see it, without its value.
func (p *pair) toKV(key []byte, want kv.Want) (kv.Pair, error) {
	size, err := p.size()
	out := kv.Pair{Key: key, Size: size}
	if want&kv.WantStamps != 0 {
		out.Meta = p.meta
		out.Birth, out.Modified, out.Version = kv.Stamp(p.birth), kv.Stamp(p.modified), kv.Stamp(p.version)
		out.Brought = p.flags&delta.Brought != 0
		out.Names = max(p.names, 1)
	}
	return out, err
}

// readValue answers length bytes of p's value from offset on, fewer at its end,
// or, if length is negative, all from offset on.
func readValue(p *pair, offset, length int64, chunk func(*item.Blob, uint32) ([]byte, error)) ([]byte, error) {
	size, err := p.size()
	if err != nil {
		return nil, err
	}
	offset = min(offset, size)
	if length < 0 || length > size-offset {
		length = size - offset
	}
	if p.flags&delta.Blob == 0 {
		return p.value[offset : offset+length : offset+length], nil
	}
	b, err := item.DecodeBlob(p.value)
	if err != nil {
		return nil, err
	}
	return readBlob(&b, offset, length, chunk)
}

func readBlob(b *item.Blob, offset, length int64, chunk func(*item.Blob, uint32) ([]byte, error)) ([]byte, error) {
	out := make([]byte, length)
	step := int64(b.ChunkBytes)
	for at := int64(0); at < length; {
		in := (offset + at) % step
		data, err := chunk(b, uint32((offset+at)/step))
		if err != nil {
			return nil, err
		}
		if in < int64(len(data)) {
			copy(out[at:], data[in:])
		}
		at += step - in
	}
	return out, nil
}

// chunkOf answers the data of a blob's chunk in state s, nil for a hole.
// unwritten, if not nil, knows of items that are in no append yet.
func (db *DB) chunkOf(s *state, b *item.Blob, number uint32, unwritten func(page.Ref) []byte) ([]byte, error) {
	var space [16]byte
	p, found, err := s.get(db.cache, appendChunkKey(space[:0], b.ID, number), false)
	if err != nil || !found {
		return nil, err
	}
	ref, err := item.Ref(p.value)
	if err != nil {
		return nil, err
	}
	if unwritten != nil {
		if raw := unwritten(ref); raw != nil {
			return item.Chunk(raw, ref, b.ID, number)
		}
	}
	return db.cache.chunk(ref, b.ID, number)
}
