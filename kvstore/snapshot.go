package kvstore

import (
	"context"
	"sync/atomic"

	"kivaloo/kvstore/kv"
)

// A snapshot is a state that is kept readable: while it is held, nothing that it
// may read is freed.
type snapshot struct {
	db    *DB
	state *state
	ended atomic.Bool
}

// Snapshot opens the present state for reading until it is released.
func (db *DB) Snapshot(ctx context.Context) (kv.Snapshot, error) {
	if db.closed.Load() {
		return nil, kv.ErrClosed
	}
	s := &snapshot{db: db}
	db.space.mu.Lock()
	db.space.mu.keepers[s] = struct{}{} // before the state is taken, so that none of it goes
	db.space.mu.Unlock()
	s.state = db.state.Load()
	return s, nil
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

// Release lets what only this snapshot needs be freed.
func (s *snapshot) Release() error {
	if !s.ended.Swap(true) {
		s.db.space.mu.Lock()
		delete(s.db.space.mu.keepers, s)
		s.db.checkpoint.settled.Store(false)
		s.db.space.mu.Unlock()
	}
	return nil
}
