package kvstore

import (
	"context"
	"sync/atomic"

	"kivaloo/kvstore/delta"
	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
)

// A snapshot is a state that is kept readable: while it is held, nothing that it
// may read is freed.
type snapshot struct {
	db    *DB
	state *state
	kept  keptSegments
	ended atomic.Bool
}

// Snapshot opens the present state for reading until it is released.
func (db *DB) Snapshot(ctx context.Context) (kv.Snapshot, error) {
	if db.closed.Load() {
		return nil, kv.ErrClosed
	}
	s := &snapshot{db: db}
	s.state, s.kept = db.space.pin(db.state.Load)
	return s, nil
}

// chunkBlocks answers the first blocks of the chunks that the deltas of a state
// name.
func (s *state) chunkBlocks() (blocks []uint64) {
	start, end := prefixRange([]byte{systemSpace, chunkKind})
	for i := range layers {
		d := s.layer(i)
		if d == nil {
			continue
		}
		it := d.Iterator()
		for ok := it.Seek(start); ok && string(it.Entry().Key) < string(end); ok = it.Next() {
			e := it.Entry()
			if ref, err := item.Ref(e.Value); err == nil && !e.Has(delta.Deleted) {
				blocks = append(blocks, ref.Block)
			}
		}
	}
	return blocks
}

// Get and Scan read the snapshot's state.
func (s *snapshot) Get(ctx context.Context, req kv.GetRequest) (kv.Pair, error) {
	if s.ended.Load() || s.db.closed.Load() {
		return kv.Pair{}, kv.ErrClosed
	}
	p, err := s.db.getFrom(s.state, &req)
	return p, readError(err)
}

func (s *snapshot) Scan(ctx context.Context, req kv.ScanRequest) (kv.ScanPage, error) {
	if s.ended.Load() || s.db.closed.Load() {
		return kv.ScanPage{}, kv.ErrClosed
	}
	page, err := s.db.scanFrom(ctx, s.state, &req)
	return page, readError(err)
}

// Version is the last change that the snapshot sees.
func (s *snapshot) Version() kv.Stamp { return kv.Stamp(s.state.version) }

// Release lets what only this snapshot needs be freed, at once.
func (s *snapshot) Release() error {
	if s.ended.Swap(true) {
		return nil
	}
	freed := s.db.space.unpin(s.kept)
	s.db.checkpoint.settled.Store(false)
	if freed {
		s.db.checkpoint.release()
	}
	return nil
}
