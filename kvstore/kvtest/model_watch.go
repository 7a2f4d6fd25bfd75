package kvtest

import (
	"context"

	"kivaloo/kvstore/kv"
)

// Watch implements kv.Store.
func (m *Model) Watch(ctx context.Context, req kv.WatchRequest) (kv.Watcher, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	after := req.After
	if after == 0 {
		after = m.version
	}
	w := &watcher{store: m, after: after, start: string(req.Start), end: string(req.End), bounded: req.End != nil}
	w.stop = make(chan struct{})
	return w, nil
}

// A watcher is a place in the store's ring of records.
type watcher struct {
	store      *Model
	start, end string
	bounded    bool

	// Under the store's mutex:
	after  kv.Stamp // records up to this version have been looked at
	closed bool
	stop   chan struct{} // closed by Close
}

// Next answers the changes of all transactions that have come, each one whole.
func (w *watcher) Next(ctx context.Context) ([]kv.Change, error) {
	for {
		changes, news, err := w.poll()
		if err != nil || len(changes) > 0 {
			return changes, err
		}
		select {
		case <-news:
		case <-w.stop:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// poll answers what has come, or else what to wait for.
func (w *watcher) poll() ([]kv.Change, <-chan struct{}, error) {
	m := w.store
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || w.closed {
		return nil, nil, kv.ErrClosed
	}
	if w.after < m.lost {
		return nil, nil, kv.ErrFellBehind
	}
	var changes []kv.Change
	for _, r := range m.ring {
		if r.version > w.after {
			changes = append(changes, w.inRange(r.changes)...)
			w.after = r.version
		}
	}
	return changes, m.news, nil
}

func (w *watcher) inRange(changes []kv.Change) (in []kv.Change) {
	for i := range changes {
		if w.wants(&changes[i]) {
			in = append(in, changes[i])
		}
	}
	return in
}

// wants says whether a change touches the range.
func (w *watcher) wants(ch *kv.Change) bool {
	for _, k := range keys(ch) {
		if w.beyond(k) {
			continue
		}
		end := kv.PrefixEnd([]byte(k))
		if k >= w.start || ofPrefix(ch) && (end == nil || string(end) > w.start) {
			return true
		}
	}
	return false
}

func (w *watcher) beyond(key string) bool { return w.bounded && key >= w.end }

// Close implements kv.Watcher.
func (w *watcher) Close() error {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	if !w.closed {
		w.closed = true
		close(w.stop)
	}
	return nil
}
