package kvtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"kivaloo/kvstore/kv"
)

var _ kv.Store = (*Model)(nil)

// watchRecordsMax bounds the transactions kept for watchers.
const watchRecordsMax = 4096

// capacityDefault is far more than a test writes.
const capacityDefault = 1 << 40

// A Model is a kv.Store in memory. What it has committed survives Reopen, as if
// it were on a disk that never fails.
type Model struct {
	now func() time.Time

	mu       sync.Mutex
	closed   bool
	capacity int64
	fault    func(*kv.Txn) error
	state    state
	drawn    kv.Stamp // the last stamp given to anybody
	version  kv.Stamp // that of the last change
	sessions map[*session]struct{}
	staged   uint64 // the last Staged.ID

	ring    []record      // the last changes, oldest first
	ringMax int           // how many records are kept
	lost    kv.Stamp      // changes up to this one are no longer in the ring
	news    chan struct{} // closed, and replaced, when the ring grows or the store closes
}

// NewModel is an empty store. Stamps come from now; nil means time.Now.
func NewModel(now func() time.Time) *Model {
	if now == nil {
		now = time.Now
	}
	return &Model{
		now:      now,
		capacity: capacityDefault,
		sessions: map[*session]struct{}{},
		ringMax:  watchRecordsMax,
		news:     make(chan struct{}),
	}
}

// Reopen closes the store and answers another one with the same pairs. Sessions
// end, orphans with them, and watchers have fallen behind.
func (m *Model) Reopen() *Model {
	m.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	next := NewModel(m.now)
	next.state, next.drawn, next.version = m.state, m.drawn, m.version
	next.capacity, next.staged, next.ringMax = m.capacity, m.staged, m.ringMax
	next.lost = m.version
	return next
}

// SetCapacity sets how many bytes the store may hold. A transaction that makes
// it larger than that gets kv.ErrNoSpace.
func (m *Model) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// SetFault has every commit call fault before anything is done, without a lock:
// an error is the commit's answer, and a delay delays it. Nil takes it away.
func (m *Model) SetFault(fault func(*kv.Txn) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = fault
}

// Commit implements kv.Store.
func (m *Model) Commit(ctx context.Context, txn *kv.Txn) (kv.Result, error) {
	result, unconfirmed, err := m.commit(ctx, txn, nil)
	if err != nil {
		return kv.Result{}, err
	}
	for _, c := range unconfirmed {
		select {
		case <-c.done:
		case <-ctx.Done():
			return kv.Result{}, ctx.Err()
		}
	}
	return result, nil
}

// commit carries out a transaction of a session, or of nobody's, and answers
// whose confirmation it has to wait for.
func (m *Model) commit(ctx context.Context, txn *kv.Txn, by *session) (kv.Result, []*confirmation, error) {
	if err := m.admit(ctx, txn); err != nil {
		return kv.Result{}, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || by != nil && by.closed {
		return kv.Result{}, nil, kv.ErrClosed
	}
	if err := by.checkStaged(txn); err != nil {
		return kv.Result{}, nil, err
	}
	for i := range txn.Guards {
		if !m.state.holds(&txn.Guards[i]) {
			return kv.Result{}, nil, &kv.ConditionError{Guard: i, Effect: -1}
		}
	}
	if len(txn.Effects) == 0 {
		return kv.Result{Version: m.version}, nil, nil
	}
	return m.carryOut(txn, by)
}

// admit is what needs no lock.
func (m *Model) admit(ctx context.Context, txn *kv.Txn) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := txn.Check(); err != nil {
		return err
	}
	m.mu.Lock()
	fault := m.fault
	m.mu.Unlock()
	if fault != nil {
		return fault(txn)
	}
	return nil
}

func (m *Model) carryOut(txn *kv.Txn, by *session) (kv.Result, []*confirmation, error) {
	first := m.nextStamp()
	c := change{state: m.state, pinned: m.pinned, staged: by.stagedData()}
	if err := c.apply(txn.Effects, first); err != nil {
		return kv.Result{}, nil, err
	}
	if c.live > m.state.live && c.live+m.reserved(by) > m.capacity {
		return kv.Result{}, nil, fmt.Errorf("transaction of %d effects: %w", len(txn.Effects), kv.ErrNoSpace)
	}
	by.useStaged(txn)
	m.state, m.drawn, m.version = c.state, c.stamp, c.stamp
	m.record(c.changes)
	return kv.Result{Version: c.stamp, Offset: c.offset}, m.notify(c.changes, by), nil
}

func (m *Model) nextStamp() kv.Stamp {
	return max(kv.Stamp(max(m.now().UnixNano(), 0)), m.drawn+1, kv.StampMin)
}

// Stamp implements kv.Store.
func (m *Model) Stamp(ctx context.Context) (kv.Stamp, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx); err != nil {
		return 0, err
	}
	m.drawn = m.nextStamp()
	return m.drawn, nil
}

// usable is asked under mu before anything is done.
func (m *Model) usable(ctx context.Context) error {
	if m.closed {
		return kv.ErrClosed
	}
	return ctx.Err()
}

// Space implements kv.Store.
func (m *Model) Space(ctx context.Context) (kv.Usage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx); err != nil {
		return kv.Usage{}, err
	}
	return kv.Usage{
		Pairs:     int64(m.state.spaces[kv.User].len()),
		LiveBytes: m.state.live,
		UsedBytes: m.state.live,
		FreeBytes: max(m.capacity-m.state.live-m.reserved(nil), 0),
		FileBytes: m.capacity,
	}, nil
}

// Close implements kv.Store.
func (m *Model) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	open := make([]*session, 0, len(m.sessions))
	for s := range m.sessions {
		open = append(open, s)
	}
	m.mu.Unlock()
	for _, s := range open {
		s.Close()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	close(m.news)
	return nil
}

// pinned says whether any session has a pin on the birth.
func (m *Model) pinned(birth kv.Stamp) bool {
	for s := range m.sessions {
		if s.pins[birth] > 0 {
			return true
		}
	}
	return false
}

// reserved is the room that others than a session have set aside.
func (m *Model) reserved(by *session) (bytes int64) {
	for s := range m.sessions {
		if s != by {
			bytes += s.reserved
		}
	}
	return bytes
}

// dropOrphan deletes an orphan that nobody pins any more.
func (m *Model) dropOrphan(birth kv.Stamp) {
	if !m.pinned(birth) {
		m.state.replace(m.state.find(name{kv.Orphan, string(kv.OrphanKey(birth))}), nil)
	}
}

// A record is what one transaction tells to watchers.
type record struct {
	version kv.Stamp
	changes []kv.Change
}

func (m *Model) record(changes []kv.Change) {
	if len(changes) == 0 {
		return
	}
	m.ring = append(m.ring, record{m.version, changes})
	if over := len(m.ring) - m.ringMax; over > 0 {
		m.lost = m.ring[over-1].version
		m.ring = slices.Clone(m.ring[over:])
	}
	close(m.news)
	m.news = make(chan struct{})
}
