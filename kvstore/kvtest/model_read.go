package kvtest

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"sync/atomic"

	"kivaloo/kvstore/kv"
)

// Get implements kv.Reader.
func (m *Model) Get(ctx context.Context, req kv.GetRequest) (kv.Pair, error) {
	s, err := m.present(ctx)
	if err != nil {
		return kv.Pair{}, err
	}
	return s.get(req)
}

// Scan implements kv.Reader.
func (m *Model) Scan(ctx context.Context, req kv.ScanRequest) (kv.ScanPage, error) {
	s, err := m.present(ctx)
	if err != nil {
		return kv.ScanPage{}, err
	}
	return s.scan(req)
}

func (m *Model) present(ctx context.Context) (state, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state, m.usable(ctx)
}

// Snapshot implements kv.Store.
func (m *Model) Snapshot(ctx context.Context) (kv.Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	return &snapshot{store: m, state: m.state, version: m.version}, nil
}

type snapshot struct {
	store    *Model
	state    state
	version  kv.Stamp
	released atomic.Bool
}

func (s *snapshot) Get(ctx context.Context, req kv.GetRequest) (kv.Pair, error) {
	if err := s.usable(ctx); err != nil {
		return kv.Pair{}, err
	}
	return s.state.get(req)
}

func (s *snapshot) Scan(ctx context.Context, req kv.ScanRequest) (kv.ScanPage, error) {
	if err := s.usable(ctx); err != nil {
		return kv.ScanPage{}, err
	}
	return s.state.scan(req)
}

func (s *snapshot) usable(ctx context.Context) error {
	if s.released.Load() {
		return kv.ErrClosed
	}
	_, err := s.store.present(ctx)
	return err
}

func (s *snapshot) Version() kv.Stamp { return s.version }

func (s *snapshot) Release() error {
	s.released.Store(true)
	return nil
}

func (s *state) get(req kv.GetRequest) (kv.Pair, error) {
	if err := checkGet(&req); err != nil {
		return kv.Pair{}, err
	}
	b := s.find(name{req.Space, string(req.Key)})
	if b == nil {
		return kv.Pair{}, kv.ErrNotFound
	}
	length := req.Length
	if length == 0 {
		length = int64(len(b.value))
	}
	value := part(b.value, req.Offset, length)
	if req.Want&kv.WantValue != 0 && len(value) > kv.GetBytesMax {
		return kv.Pair{}, fmt.Errorf("get of %d bytes: %w", len(value), kv.ErrTooLarge)
	}
	return b.pair(string(req.Key), req.Want, value), nil
}

func checkGet(req *kv.GetRequest) error {
	if len(req.Key) > kv.KeyBytesMax {
		return fmt.Errorf("key of %d bytes: %w", len(req.Key), kv.ErrTooLarge)
	}
	if req.Space > kv.Root || req.Offset < 0 || req.Length < 0 {
		return fmt.Errorf("get of space %d, offset %d, length %d: %w", req.Space, req.Offset, req.Length, kv.ErrInvalid)
	}
	return nil
}

// scan makes one page. The cursor is the Start, or in reverse the End, of what
// is still to be scanned.
func (s *state) scan(req kv.ScanRequest) (kv.ScanPage, error) {
	if err := checkScan(&req); err != nil {
		return kv.ScanPage{}, err
	}
	page := kv.ScanPage{}
	bytes := 0
	for {
		key, b, found := s.step(&req)
		if !found {
			return page, nil
		}
		entry := entryOf(key, b, &req)
		bytes += len(entry.Key) + len(entry.Value)
		if len(page.Entries) == req.Limit || bytes > req.Bytes && len(page.Entries) > 0 {
			return more(page, &req), nil
		}
		page.Entries = append(page.Entries, entry)
		if !advance(&req, &entry) {
			return page, nil
		}
	}
}

func checkScan(req *kv.ScanRequest) error {
	// A page may end with the longest key, and the next then begins after it.
	if max(len(req.Start), len(req.End)) > kv.KeyBytesMax+1 {
		return fmt.Errorf("scan bound beyond all keys: %w", kv.ErrTooLarge)
	}
	if len(req.Delimiter) > 1 || min(req.Skip, req.Limit, req.Bytes, req.ValueBytes) < 0 {
		return fmt.Errorf("scan with a bad delimiter or limit: %w", kv.ErrInvalid)
	}
	req.Limit = bounded(req.Limit, kv.ScanEntriesMax)
	req.Bytes = bounded(req.Bytes, kv.ScanBytesMax)
	if req.ValueBytes == 0 {
		req.ValueBytes = kv.InlineBytesMax
	}
	req.ValueBytes = min(req.ValueBytes, kv.GetBytesMax)
	return nil
}

func bounded(n, most int) int {
	if n == 0 {
		return most
	}
	return min(n, most)
}

// step finds the next pair of the range.
func (s *state) step(req *kv.ScanRequest) (string, *body, bool) {
	for key, b := range s.ordered(req) {
		in := key >= string(req.Start) && (req.End == nil || key < string(req.End))
		return key, b, in
	}
	return "", nil, false
}

func (s *state) ordered(req *kv.ScanRequest) iter.Seq2[string, *body] {
	user := s.spaces[kv.User]
	switch {
	case !req.Reverse:
		return user.up(string(req.Start))
	case req.End == nil:
		return user.downAll()
	default:
		return user.down(string(req.End))
	}
}

// entryOf is the pair, or the prefix that stands for it.
func entryOf(key string, b *body, req *kv.ScanRequest) kv.Pair {
	if len(req.Delimiter) == 1 && len(key) > req.Skip {
		if i := bytes.IndexByte([]byte(key[req.Skip:]), req.Delimiter[0]); i >= 0 {
			return kv.Pair{Key: []byte(key[:req.Skip+i+1]), Prefix: true}
		}
	}
	return b.pair(key, req.Want, part(b.value, 0, int64(req.ValueBytes)))
}

// advance moves the cursor past an entry. False: nothing can follow.
func advance(req *kv.ScanRequest, entry *kv.Pair) bool {
	switch {
	case req.Reverse:
		req.End = entry.Key
	case entry.Prefix:
		req.Start = kv.PrefixEnd(entry.Key)
		return req.Start != nil
	default:
		req.Start = append(bytes.Clone(entry.Key), 0)
	}
	return true
}

func more(page kv.ScanPage, req *kv.ScanRequest) kv.ScanPage {
	page.More, page.Next = true, req.Start
	if req.Reverse {
		page.Next = req.End
	}
	return page
}
