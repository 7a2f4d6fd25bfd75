package kvstore

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"kivaloo/kvstore/kv"
)

// ringChanges bounds the changes kept for watchers that come back or are slow.
const ringChanges = 16384

// A hub tells observers and watchers what was committed, and holds the answers of
// those who made a change until the observers of others have confirmed it.
//
//	publish → answer the observer's own requests → tell observers → their done →
//	answer the rest
//
// Nothing but those answers waits: the writer goes on with the next batch.
type hub struct {
	starting sync.Mutex // held while the first watch begins
	mu       struct {
		sync.Mutex
		observers map[*session]kv.Observer
		watchers  map[*watcher]struct{}
		// ring holds the latest changes, all that came after version since; it is
		// kept from the first watcher on.
		ring  []kv.Change
		since kv.Stamp
		on    bool
	}
}

func newHub() *hub {
	h := new(hub)
	h.mu.observers = make(map[*session]kv.Observer)
	h.mu.watchers = make(map[*watcher]struct{})
	return h
}

// deliver answers the requests of a batch that is durable and published. A
// session's own answers wait for nobody: two sessions that observe would wait for
// each other.
func (h *hub) deliver(requests []*request) {
	told := h.tell(requests)
	if len(told) == 0 {
		answerAll(requests)
		return
	}
	var waiting []*request
	for _, r := range requests {
		if r.session != nil {
			r.answer()
		} else {
			waiting = append(waiting, r)
		}
	}
	h.confirm(told, waiting)
}

// A telling is what one observer is to be told.
type telling struct {
	session  *session
	observer kv.Observer
	changes  []kv.Change
}

// confirm tells the observers, and answers when all have confirmed or gone.
func (h *hub) confirm(told []telling, waiting []*request) {
	var left atomic.Int64
	left.Store(int64(len(told)))
	confirmed := func() {
		if left.Add(-1) > 0 {
			return
		}
		answerAll(waiting)
	}
	for _, t := range told {
		t.observer.Changed(t.changes, t.session.awaits(confirmed))
	}
}

// tell hands the changes to the watchers, and finds what observers must be told.
func (h *hub) tell(requests []*request) []telling {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.mu.observers) == 0 && !h.mu.on {
		return nil
	}
	for _, r := range requests {
		if r.err == nil && len(r.changes) > 0 {
			h.watched(r.changes)
		}
	}
	var told []telling
	for s, o := range h.mu.observers {
		var changes []kv.Change
		for _, r := range requests {
			if r.err == nil && r.session != s {
				changes = s.concerned(changes, r.changes)
			}
		}
		if len(changes) > 0 {
			told = append(told, telling{s, o, changes})
		}
	}
	return told
}

// watched adds changes to the ring and wakes watchers.
func (h *hub) watched(changes []kv.Change) {
	if !h.mu.on {
		return
	}
	h.mu.ring = append(h.mu.ring, changes...)
	if n := len(h.mu.ring) - ringChanges; n > 0 {
		h.mu.since = h.mu.ring[n-1].Version
		h.mu.ring = slices.Delete(h.mu.ring, 0, n)
	}
	for w := range h.mu.watchers {
		select {
		case w.ready <- struct{}{}:
		default:
		}
	}
}

// A watcher reads the ring from where it was.
type watcher struct {
	db         *DB
	start, end []byte
	after      kv.Stamp // guarded by the hub's mu
	ready      chan struct{}
	closed     chan struct{}
	once       sync.Once
}

// Watch follows the changes of a range. Changes are kept within a bound, those
// since the redo point also over a restart; whoever asks for older ones has fallen
// behind.
func (db *DB) Watch(ctx context.Context, req kv.WatchRequest) (kv.Watcher, error) {
	if db.closed.Load() {
		return nil, kv.ErrClosed
	}
	h := db.hub
	if err := h.begin(db); err != nil {
		return nil, err
	}
	w := &watcher{db: db, start: req.Start, end: req.End, after: req.After,
		ready: make(chan struct{}, 1), closed: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	if w.after == 0 {
		w.after = max(h.mu.since, kv.Stamp(db.state.Load().version))
	}
	h.mu.watchers[w] = struct{}{}
	return w, nil
}

// begin fills the ring when the first watch begins, and keeps it from then on.
func (h *hub) begin(db *DB) error {
	h.starting.Lock()
	defer h.starting.Unlock()
	if h.mu.on {
		return nil
	}
	db.listeners.Add(1)
	var failed error
	err := db.queue.control(func(w *writer) {
		changes, since, err := w.refill()
		if err != nil {
			failed = err
			return
		}
		h.mu.Lock()
		h.mu.since, h.mu.on = since, true
		h.watched(changes)
		h.mu.Unlock()
	})
	if err = errors.Join(err, failed); err != nil {
		db.listeners.Add(-1)
	}
	return err
}

// Next waits for changes.
func (w *watcher) Next(ctx context.Context) ([]kv.Change, error) {
	for {
		changes, err := w.collect()
		if err != nil || len(changes) > 0 {
			return changes, err
		}
		select {
		case <-w.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-w.closed:
			return nil, kv.ErrClosed
		case <-w.db.closing:
			return nil, kv.ErrClosed
		}
	}
}

// collect takes what the ring has for this watcher.
func (w *watcher) collect() ([]kv.Change, error) {
	select {
	case <-w.closed:
		return nil, kv.ErrClosed
	default:
	}
	h := w.db.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if w.after < h.mu.since {
		return nil, kv.ErrFellBehind
	}
	i, _ := slices.BinarySearchFunc(h.mu.ring, w.after, func(c kv.Change, after kv.Stamp) int {
		if c.Version <= after {
			return -1
		}
		return 1
	})
	var changes []kv.Change
	for _, c := range h.mu.ring[i:] {
		w.after = c.Version
		if w.wants(&c) {
			changes = append(changes, c)
		}
	}
	return changes, nil
}

// wants says whether a change touches the watcher's range.
func (w *watcher) wants(c *kv.Change) bool {
	if c.Op == kv.PrefixDeleted || c.Op == kv.PrefixMoved {
		return w.meets(c.Key) || (c.Op == kv.PrefixMoved && w.meets(c.To))
	}
	return w.holds(c.Key) || (c.Op == kv.Moved && w.holds(c.To))
}

func (w *watcher) holds(key []byte) bool {
	return bytes.Compare(key, w.start) >= 0 && (w.end == nil || bytes.Compare(key, w.end) < 0)
}

// meets says whether a key with the prefix may lie in the range.
func (w *watcher) meets(prefix []byte) bool {
	end := kv.PrefixEnd(prefix)
	return (end == nil || bytes.Compare(end, w.start) > 0) && (w.end == nil || bytes.Compare(prefix, w.end) < 0)
}

// Close ends the watch.
func (w *watcher) Close() error {
	w.once.Do(func() {
		close(w.closed)
		w.db.hub.mu.Lock()
		delete(w.db.hub.mu.watchers, w)
		w.db.hub.mu.Unlock()
	})
	return nil
}

// barrier waits until all that was evaluated before it is durable and published.
func (db *DB) barrier() error {
	_, err := db.commit(&request{txn: new(kv.Txn)})
	return err
}
