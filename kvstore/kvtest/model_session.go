package kvtest

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"kivaloo/kvstore/kv"
)

// Session implements kv.Store.
func (m *Model) Session(ctx context.Context) (kv.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	s := &session{
		store:       m,
		pins:        map[kv.Stamp]int{},
		marks:       map[string]struct{}{},
		prefixes:    map[string]struct{}{},
		staged:      map[uint64][]byte{},
		unconfirmed: map[*confirmation]struct{}{},
	}
	s.queued.L = &m.mu
	m.sessions[s] = struct{}{}
	return s, nil
}

// A session keeps everything under the store's mutex.
type session struct {
	store    *Model
	closed   bool
	pins     map[kv.Stamp]int // by birth, so that they follow a move
	staged   map[uint64][]byte
	reserved int64

	observer    kv.Observer
	delivered   chan struct{} // closed when deliver has ended
	queued      sync.Cond     // told when queue grows or the session closes
	queue       []notice
	marks       map[string]struct{}
	prefixes    map[string]struct{}
	unconfirmed map[*confirmation]struct{}
}

// lock takes the store's mutex and says whether the session may be used. The
// caller unlocks either way.
func (s *session) lock() error {
	s.store.mu.Lock()
	if s.closed {
		return kv.ErrClosed
	}
	return nil
}

func (s *session) unlock() { s.store.mu.Unlock() }

func (s *session) Commit(ctx context.Context, txn *kv.Txn) (kv.Result, error) {
	result, _, err := s.store.commit(ctx, txn, s)
	return result, err
}

func (s *session) Pin(ctx context.Context, key []byte, birth kv.Stamp) error {
	defer s.unlock()
	if err := s.lock(); err != nil {
		return err
	}
	b := s.store.state.find(name{kv.User, string(key)})
	if b == nil || b.birth != birth {
		return kv.ErrNotFound
	}
	s.pins[birth]++
	return nil
}

func (s *session) Unpin(ctx context.Context, birth kv.Stamp) error {
	defer s.unlock()
	if err := s.lock(); err != nil {
		return err
	}
	if s.pins[birth] == 0 {
		return fmt.Errorf("unpin of what is not pinned: %w", kv.ErrInvalid)
	}
	if s.pins[birth]--; s.pins[birth] == 0 {
		delete(s.pins, birth)
		s.store.dropOrphan(birth)
	}
	return nil
}

func (s *session) Stage(ctx context.Context, data []byte) (kv.Staged, error) {
	if len(data) > kv.ChunkBytes {
		return kv.Staged{}, fmt.Errorf("staging %d bytes: %w", len(data), kv.ErrTooLarge)
	}
	defer s.unlock()
	if err := s.lock(); err != nil {
		return kv.Staged{}, err
	}
	s.store.staged++
	s.staged[s.store.staged] = bytes.Clone(data)
	return kv.Staged{ID: s.store.staged, Bytes: int64(len(data))}, nil
}

func (s *session) Unstage(staged []kv.Staged) {
	defer s.unlock()
	if s.lock() == nil {
		for _, d := range staged {
			delete(s.staged, d.ID)
		}
	}
}

// checkStaged says whether all that a transaction uses is this session's, and
// used once. The session may be nil: it has staged nothing.
func (s *session) checkStaged(txn *kv.Txn) error {
	used := map[uint64]bool{}
	for i := range txn.Effects {
		for _, d := range txn.Effects[i].Staged {
			data, found := s.stagedData()[d.ID]
			if !found || used[d.ID] || int64(len(data)) != d.Bytes {
				return fmt.Errorf("effect %d: no staged data %d of %d bytes: %w", i, d.ID, d.Bytes, kv.ErrInvalid)
			}
			used[d.ID] = true
		}
	}
	return nil
}

func (s *session) stagedData() map[uint64][]byte {
	if s == nil {
		return nil
	}
	return s.staged
}

func (s *session) useStaged(txn *kv.Txn) {
	for i := range txn.Effects {
		for _, d := range txn.Effects[i].Staged {
			delete(s.staged, d.ID)
		}
	}
}

func (s *session) Reserve(ctx context.Context, n int64) error {
	defer s.unlock()
	if err := s.lock(); err != nil {
		return err
	}
	free := s.store.capacity - s.store.state.live - s.store.reserved(nil)
	if n > 0 && n > free {
		return fmt.Errorf("reserving %d bytes: %w", n, kv.ErrNoSpace)
	}
	s.reserved = max(s.reserved+n, 0)
	return nil
}

// Close ends the session: its pins go, and who waits for it waits no longer.
func (s *session) Close() error {
	if s.lock() != nil {
		s.unlock()
		return nil
	}
	s.closed = true
	delete(s.store.sessions, s)
	for birth := range s.pins {
		s.store.dropOrphan(birth)
	}
	for c := range s.unconfirmed {
		c.end()
	}
	delivered := s.delivered
	s.queued.Broadcast()
	s.unlock()
	if delivered != nil {
		<-delivered
	}
	return nil
}
