package kvstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
	"kivaloo/kvstore/page"
)

// A session implements kv.Session in this process.
type session struct {
	db *DB
	mu struct {
		sync.Mutex
		closed    bool
		observing bool
		pins      map[kv.Stamp]int
		marks     map[string]struct{}
		prefixes  map[string]int
		reserved  int64
		// unconfirmed are the tellings whose done has not been called.
		unconfirmed map[*confirmation]struct{}
		staged      map[uint64]stagedChunk
		// run is the blob that staged chunks are numbered in; next the number.
		run  uint64
		next uint32
	}
}

// A stagedChunk is one in the log that no pair names yet.
type stagedChunk struct {
	blob   uint64
	number uint32
	ref    page.Ref
	held   uint64 // segment
}

// Session begins a session.
func (db *DB) Session(ctx context.Context) (kv.Session, error) {
	if db.closed.Load() {
		return nil, kv.ErrClosed
	}
	s := &session{db: db}
	s.mu.pins = make(map[kv.Stamp]int)
	s.mu.marks = make(map[string]struct{})
	s.mu.prefixes = make(map[string]int)
	s.mu.staged = make(map[uint64]stagedChunk)
	s.mu.unconfirmed = make(map[*confirmation]struct{})
	return s, nil
}

// A confirmation runs once: when the observer is done, or when its session ends.
type confirmation struct {
	once sync.Once
	run  func()
}

// awaits answers the done of one telling.
func (s *session) awaits(confirmed func()) (done func()) {
	c := &confirmation{run: confirmed}
	s.mu.Lock()
	closed := s.mu.closed
	if !closed {
		s.mu.unconfirmed[c] = struct{}{}
	}
	s.mu.Unlock()
	if closed {
		c.once.Do(c.run)
	}
	return func() {
		s.mu.Lock()
		delete(s.mu.unconfirmed, c)
		s.mu.Unlock()
		c.once.Do(c.run)
	}
}

// Commit carries out a transaction by this session.
func (s *session) Commit(ctx context.Context, txn *kv.Txn) (kv.Result, error) {
	if err := s.open(); err != nil {
		return kv.Result{}, err
	}
	return s.db.commitFor(s, txn)
}

// open is nil until the session or its store is closed.
func (s *session) open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed || s.db.closed.Load() {
		return kv.ErrClosed
	}
	return nil
}

// Pin keeps a pair of the given birth from disappearing.
func (s *session) Pin(ctx context.Context, key []byte, birth kv.Stamp) error {
	if err := s.open(); err != nil {
		return err
	}
	if err := s.db.pin(appendKey(nil, kv.User, key), uint64(birth)); err != nil {
		return err
	}
	s.mu.Lock()
	closed := s.mu.closed
	if !closed {
		s.mu.pins[birth]++
	}
	s.mu.Unlock()
	if closed {
		return errors.Join(kv.ErrClosed, s.db.unpin(uint64(birth), 1))
	}
	return nil
}

// pin counts a pin of the pair of this birth. Where all that was evaluated is
// durable that is done at once; else in the writer's order, and again if what it
// was evaluated on is refused.
func (db *DB) pin(key []byte, birth uint64) error {
	if done, err := db.pinNow(key, birth); done || err != nil {
		return err
	}
	_, err := db.commit(&request{internal: func(w *writer) error {
		home, err := w.homeOf(key, birth)
		if err == nil && home == nil {
			err = kv.ErrNotFound
		}
		if err == nil {
			w.db.pins.add(home, birth, true)
		}
		return err
	}})
	return err
}

func (db *DB) pinNow(key []byte, birth uint64) (done bool, err error) {
	db.evaluating.Lock()
	defer db.evaluating.Unlock()
	if db.writer.undurable.Load() {
		return false, nil
	}
	home, err := db.writer.homeOf(key, birth)
	if home == nil || err != nil {
		return false, err
	}
	db.pins.add(home, birth, false)
	return true, nil
}

// homeOf answers where the pair of a key lies, nil if it has none of this birth.
func (w *writer) homeOf(key []byte, birth uint64) ([]byte, error) {
	p, found, err := w.look(key)
	if err != nil || !found || p.birth != birth {
		return nil, err
	}
	return p.home(key), nil
}

// Unpin takes one pin back.
func (s *session) Unpin(ctx context.Context, birth kv.Stamp) error {
	if err := s.open(); err != nil {
		return err
	}
	s.mu.Lock()
	n := s.mu.pins[birth]
	if n == 1 {
		delete(s.mu.pins, birth)
	} else if n > 1 {
		s.mu.pins[birth] = n - 1
	}
	s.mu.Unlock()
	if n == 0 {
		return fmt.Errorf("unpin of a pair that is not pinned: %w", kv.ErrInvalid)
	}
	return s.db.unpin(uint64(birth), 1)
}

// unpin takes pins back, and deletes an orphan that nobody pins any more.
func (db *DB) unpin(birth uint64, n int) error {
	db.evaluating.Lock()
	key, last := db.pins.drop(birth, n)
	db.evaluating.Unlock()
	if !last || !isOrphanKey(key) {
		return nil
	}
	_, err := db.commit(&request{internal: func(w *writer) error {
		w.emit(&item.Op{Kind: item.OpDelete, Key: key, Version: w.db.clock.draw(1)})
		return nil
	}})
	return err
}

func isOrphanKey(key []byte) bool {
	return len(key) == 10 && key[0] == systemSpace && key[1] == orphanKind
}

// Observe begins to deliver changes.
func (s *session) Observe(o kv.Observer) error {
	if err := s.open(); err != nil {
		return err
	}
	if err := s.beginObserving(o); err != nil {
		return err
	}
	return s.db.barrier()
}

func (s *session) beginObserving(o kv.Observer) error {
	h := s.db.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.observing || s.mu.closed {
		return fmt.Errorf("observe: %w", kv.ErrInvalid)
	}
	s.mu.observing = true
	h.mu.observers[s] = o
	s.db.listeners.Add(1)
	return nil
}

// Mark asks for the next change of a key.
func (s *session) Mark(key []byte) {
	s.mu.Lock()
	s.mu.marks[string(key)] = struct{}{}
	s.mu.Unlock()
}

// MarkPrefix and Unmark begin and end to ask for all names below a prefix.
func (s *session) MarkPrefix(prefix []byte) {
	s.mu.Lock()
	s.mu.prefixes[string(prefix)]++
	s.mu.Unlock()
}

func (s *session) Unmark(prefix []byte) {
	s.mu.Lock()
	if s.mu.prefixes[string(prefix)]--; s.mu.prefixes[string(prefix)] <= 0 {
		delete(s.mu.prefixes, string(prefix))
	}
	s.mu.Unlock()
}

// concerned appends those of the changes that this session has asked for.
func (s *session) concerned(dst, changes []kv.Change) []kv.Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	var told []string
	for i := range changes {
		if s.asked(&changes[i], &told) {
			dst = append(dst, changes[i])
		}
	}
	for _, key := range told {
		delete(s.mu.marks, key)
	}
	return dst
}

// asked says whether a change is to be delivered; told collects the marks that
// it uses up once all changes of the transaction have been looked at.
func (s *session) asked(c *kv.Change, told *[]string) bool {
	switch c.Op {
	case kv.PrefixDeleted:
		return s.askedBelow(c.Key, told)
	case kv.PrefixMoved:
		from, to := s.askedBelow(c.Key, told), s.askedBelow(c.To, told)
		return from || to
	}
	marked := s.marked(c.Key, told)
	if c.Op == kv.Moved {
		marked = s.marked(c.To, told) || marked
	}
	if marked || s.mu.pins[c.Birth] > 0 {
		return true
	}
	if c.Op == kv.Changed || c.Op == kv.MetaChanged {
		return false
	}
	for prefix := range s.mu.prefixes {
		if bytes.HasPrefix(c.Key, []byte(prefix)) || (c.Op == kv.Moved && bytes.HasPrefix(c.To, []byte(prefix))) {
			return true
		}
	}
	return false
}

func (s *session) marked(key []byte, told *[]string) bool {
	_, ok := s.mu.marks[string(key)]
	if ok {
		*told = append(*told, string(key))
	}
	return ok
}

// askedBelow says whether a change of all keys with a prefix concerns a mark, a
// marked prefix or a pin.
func (s *session) askedBelow(prefix []byte, told *[]string) bool {
	asked := len(s.mu.pins) > 0
	for key := range s.mu.marks {
		if bytes.HasPrefix([]byte(key), prefix) {
			*told = append(*told, key)
			asked = true
		}
	}
	for p := range s.mu.prefixes {
		asked = asked || bytes.HasPrefix([]byte(p), prefix) || bytes.HasPrefix(prefix, []byte(p))
	}
	return asked
}

// Stage writes data to the log without naming it.
func (s *session) Stage(ctx context.Context, data []byte) (kv.Staged, error) {
	if err := s.open(); err != nil {
		return kv.Staged{}, err
	}
	if len(data) > kv.ChunkBytes {
		return kv.Staged{}, fmt.Errorf("stage of %d bytes: %w", len(data), kv.ErrTooLarge)
	}
	s.mu.Lock()
	if s.mu.run == 0 {
		s.mu.run, s.mu.next = s.db.clock.draw(1), 0
	}
	c := stagedChunk{blob: s.mu.run, number: s.mu.next}
	s.mu.next++
	if len(data) < kv.ChunkBytes {
		s.mu.run = 0 // only a blob's last chunk is short
	}
	s.mu.Unlock()
	if len(data) == 0 {
		return s.keepStaged(stagedChunk{})
	}
	refs, held, err := s.db.writeChunks(c.blob, c.number, data)
	if err != nil {
		return kv.Staged{}, err
	}
	c.ref, c.held = refs[0], held[0]
	return s.keepStaged(c)
}

// keepStaged gives staged data a name. A session that has ended meanwhile keeps
// nothing.
func (s *session) keepStaged(c stagedChunk) (kv.Staged, error) {
	id := s.db.stagedIDs.Add(1)
	if !s.giveStaged(map[uint64]stagedChunk{id: c}) {
		return kv.Staged{}, kv.ErrClosed
	}
	return kv.Staged{ID: id, Bytes: c.bytes()}, nil
}

// giveStaged hands chunks, with their holds, to the session, or lets go of them if
// it has ended.
func (s *session) giveStaged(chunks map[uint64]stagedChunk) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, c := range chunks {
		if s.mu.closed {
			s.db.space.releaseStaged(&c)
		} else {
			s.mu.staged[id] = c
		}
	}
	return !s.mu.closed
}

// bytes is how much data there is; an empty piece is in no chunk.
func (c *stagedChunk) bytes() int64 {
	return max(0, int64(c.ref.Bytes)-item.ChunkOverhead)
}

// Unstage drops staged data.
func (s *session) Unstage(staged []kv.Staged) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range staged {
		if c, ok := s.mu.staged[g.ID]; ok {
			delete(s.mu.staged, g.ID)
			s.db.space.releaseStaged(&c)
		}
	}
	s.mu.run = 0
}

// takeStaged takes what the names stand for away from the session: a commit owns
// it, with its holds, until it gives it back.
func (s *session) takeStaged(staged []kv.Staged, taken map[uint64]stagedChunk) (chunks []stagedChunk, size int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.run = 0
	for _, g := range staged {
		c, ok := s.mu.staged[g.ID]
		if !ok || c.bytes() != g.Bytes {
			return nil, 0, fmt.Errorf("staged data %d is unknown, or used twice: %w", g.ID, kv.ErrInvalid)
		}
		delete(s.mu.staged, g.ID)
		taken[g.ID] = c
		if g.Bytes > 0 {
			chunks = append(chunks, c)
			size += g.Bytes
		}
	}
	return chunks, size, nil
}

// isBlob says whether the chunks are those of one blob, whole and in order.
func isBlob(chunks []stagedChunk) bool {
	for i, c := range chunks {
		full := c.ref.Bytes == item.ChunkOverhead+kv.ChunkBytes
		if c.blob != chunks[0].blob || c.number != uint32(i) || (!full && i < len(chunks)-1) {
			return false
		}
	}
	return len(chunks) > 0
}

// Reserve sets aside room for future commits.
func (s *session) Reserve(ctx context.Context, n int64) error {
	if err := s.open(); err != nil {
		return err
	}
	err := s.reserve(n)
	for waits := 0; errors.Is(err, kv.ErrNoSpace) && waits < waitsMax && s.db.checkpoint.freed(); waits++ {
		err = s.reserve(n)
	}
	return err
}

func (s *session) reserve(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return kv.ErrClosed
	}
	n = max(n, -s.mu.reserved)
	if err := s.db.space.reserve(n); err != nil {
		return err
	}
	s.mu.reserved += n
	return nil
}

// Close ends the session.
func (s *session) Close() error {
	s.mu.Lock()
	if s.mu.closed {
		s.mu.Unlock()
		return nil
	}
	s.mu.closed = true
	observing, pins, reserved := s.mu.observing, s.mu.pins, s.mu.reserved
	for _, c := range s.mu.staged {
		s.db.space.releaseStaged(&c)
	}
	clear(s.mu.staged)
	s.mu.pins = nil
	unconfirmed := s.mu.unconfirmed
	s.mu.unconfirmed = nil
	s.mu.Unlock()
	for c := range unconfirmed {
		c.once.Do(c.run)
	}
	s.db.space.reserve(-reserved)
	var err error
	for birth, n := range pins {
		if e := s.db.unpin(uint64(birth), n); !errors.Is(e, kv.ErrClosed) {
			err = errors.Join(err, e) // a closed store drops its orphans when it is opened
		}
	}
	if observing {
		s.db.hub.mu.Lock()
		delete(s.db.hub.mu.observers, s)
		s.db.hub.mu.Unlock()
		s.db.listeners.Add(-1)
	}
	return err
}

// dropOrphans deletes, at the first opening after a crash, what was deleted while
// it was open: nobody has it open any more.
func (db *DB) dropOrphans() error {
	start, end := prefixRange([]byte{systemSpace, orphanKind})
	c := db.state.Load().cursor(db.cache)
	ok, err := c.seek(start)
	if err != nil || !ok || bytes.Compare(c.key(), end) >= 0 {
		return err
	}
	_, err = db.commit(&request{internal: func(w *writer) error {
		w.emit(&item.Op{Kind: item.OpDeleteRange, Key: start, End: end, Version: w.db.clock.draw(1)})
		return nil
	}})
	if errors.Is(err, kv.ErrNoSpace) {
		db.logger.Warn("no room to delete what was unlinked while open; the next opening will", "error", err)
		return nil
	}
	return err
}
