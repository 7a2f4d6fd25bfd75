// Package kvstore is the engine: a durable, ordered key-value store in one
// append-only log of numbered blocks (package lbs).
//
// A transaction's outcome goes to the log as a commit record, in one append and
// one flush with whatever else is waiting. What is committed and not yet in pages
// lives in an ordered delta in memory; in the background a checkpoint merges it
// into a copy-on-write B+Tree in the same log and writes a ROOT. Readers take no
// lock: they read an immutable state, the deltas over the tree, that is published
// when it is durable. Opening reads the last ROOT and replays the records since.
// DESIGN.md tells the whole story.
//
// # Who owns what
//
//   - The writer goroutine owns the log's end, the delta being filled, and the
//     order of transactions. It alone publishes states.
//   - The flusher goroutine does nothing but lbs.Store.Append.
//   - The checkpointer goroutine owns the last ROOT and frees segments.
//   - Sessions, snapshots and watchers belong to their users.
package kvstore

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
	"kivaloo/kvstore/page"
	"kivaloo/lbs"
	"kivaloo/lbs/disk"
	"kivaloo/lbs/segment"
)

// CacheBytesDefault is the default of Options.CacheBytes, as in the original.
const CacheBytesDefault = 128 << 20

// Options say how a store is opened. The zero value opens what is in Dir.
type Options struct {
	// Dir is the store's directory, on FS (nil: the system's).
	Dir string
	FS  disk.FS
	// Log, if not nil, is used in place of Dir; the store closes it.
	Log lbs.Store

	// Create makes a store where Dir is missing or empty.
	Create bool
	// BlockBytes is the block size, 0 meaning the store's own, and
	// lbs.BlockBytesDefault for a new one. A store of another size is refused.
	BlockBytes int
	// CacheBytes bounds the pages and chunks kept in memory, 0 meaning
	// CacheBytesDefault.
	CacheBytes int64
	// LogBytes bounds the log that a restart replays, 0 meaning half of the live
	// data, from 4 to 48 MiB. Tests make it small.
	LogBytes int64
	// StoragePrice is what keeping a gigabyte for a month costs, in millions of I/Os:
	// the dearer space is, the more is written to save it. 0 means
	// StoragePriceDefault; NoCleaning, or less than nothing, that no segment is
	// cleaned.
	StoragePrice float64
	// PageBytes is the target length of pages, 0 meaning the tree's default.
	PageBytes int
	// SegmentBytesMin and SegmentBytesMax bound segment files, 0 meaning the block
	// store's defaults.
	SegmentBytesMin, SegmentBytesMax int64

	// AcceptClock opens a store although the clock is far behind its last change.
	AcceptClock bool

	Now    func() time.Time // nil: time.Now
	Rand   io.Reader        // nil: crypto/rand
	Logger *slog.Logger     // nil: silence
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = disk.OS{}
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = CacheBytesDefault
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// stepBytes is how much one step of a checkpoint writes.
func (o *Options) stepBytes() int {
	if o.LogBytes > 0 {
		return int(min(stepBytes, o.LogBytes))
	}
	return stepBytes
}

// DB is an open store. It implements kv.Store; all methods are safe for
// concurrent use.
type DB struct {
	opts       Options
	log        lbs.Store
	blockBytes int
	id         [16]byte
	logger     *slog.Logger

	clock *clock
	cache *cache
	space *space
	hub   *hub
	state atomic.Pointer[state]

	queue      queue
	writer     *writer
	checkpoint *checkpointer

	evaluating sync.Mutex // held while transactions are evaluated; guards pins
	pins       *pins

	stagedInMemoryMax int64 // tests make it small

	listeners atomic.Int64 // observers and watchers: whether changes are noted
	stagedIDs atomic.Uint64
	userPairs atomic.Int64 // as of the last ROOT
	treeLinks atomic.Int64 // links in its tree
	roots     atomic.Uint64
	replayed  int // operations that opening replayed

	closed     atomic.Bool
	closing    chan struct{} // closed by Close
	writerDone chan struct{} // closed when the writer has ended
}

// Open opens a store. The context bounds the opening only.
//
// Errors: lbs.ErrInUse, lbs.ErrNotStore, lbs.ErrFormat, lbs.ErrDamaged, ErrFormat,
// ErrClock, and kv.ErrCorrupt if what is needed to open is damaged. Nothing has
// been changed then.
func Open(ctx context.Context, opts Options) (*DB, error) {
	began := time.Now()
	opts = opts.withDefaults()
	log := opts.Log
	if log == nil {
		var err error
		log, err = segment.Open(opts.FS, opts.Dir, segment.Options{
			BlockBytes: opts.BlockBytes, Create: opts.Create, Rand: opts.Rand, Logger: opts.Logger,
			MinSegmentBytes: opts.SegmentBytesMin, MaxSegmentBytes: opts.SegmentBytesMax,
		})
		if err != nil {
			return nil, err
		}
	}
	db := newDB(opts, log)
	if err := db.recover(); err != nil {
		return nil, errors.Join(err, db.abandon())
	}
	if err := db.dropOrphans(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	stats := db.Stats()
	opts.Logger.Info("store opened", "replayed", stats.Replayed, "roots", stats.Roots, "height", stats.Height, "took", time.Since(began).Round(time.Microsecond))
	return db, nil
}

func newDB(opts Options, log lbs.Store) *DB {
	db := &DB{
		opts: opts, log: log, blockBytes: log.BlockBytes(), logger: opts.Logger,
		clock: &clock{now: opts.Now}, cache: newCache(log, opts.CacheBytes), space: newSpace(log, &opts),
		hub: newHub(), pins: newPins(), stagedInMemoryMax: stagedInMemoryMax,
		closing: make(chan struct{}), writerDone: make(chan struct{}),
	}
	db.queue.ready = make(chan struct{}, 1)
	return db
}

// newWriter makes a writer over an empty delta at the log's end.
func newWriter(db *DB) *writer {
	w := &writer{
		db: db, next: db.log.Next(), since: lbs.NoBlock, open: new(batch),
		flushes: make(chan flush, 1), flushed: make(chan flushResult, 1),
		held: make(map[uint64]int),
	}
	w.applier = newApplier(w.named)
	w.working = &state{active: w.applier.delta}
	return w
}

// start begins the goroutines.
func (db *DB) start(w *writer, root item.Root) {
	w.open.reset(w.next, w.base())
	db.writer = w
	db.checkpoint = newCheckpointer(db, root, w.root)
	_, settled := db.space.taken()
	db.checkpoint.restless.Store(!settled) // a store may have been closed before it was cleaned
	go w.runFlusher()
	go w.run()
	go db.checkpoint.run()
}

// abandon closes what an opening that failed has begun.
func (db *DB) abandon() error {
	db.closed.Store(true)
	if db.writer != nil {
		db.stopGoroutines(false)
	}
	return db.log.Close()
}

// Close ends the store after what is under way, with everything in pages, so that
// the next opening has nothing to replay. The error says what could not be
// written; all that was acknowledged is on the disk all the same.
func (db *DB) Close() error {
	if db.closed.Swap(true) {
		return nil
	}
	close(db.closing)
	err := db.drain()
	if err == nil {
		err = db.checkpoint.attempt()
	}
	db.stopGoroutines(err == nil)
	if errors.Is(err, kv.ErrFailed) || errors.Is(err, kv.ErrNoSpace) {
		err = nil // it was reported when it happened, and nothing is lost
	}
	return errors.Join(err, db.log.Close())
}

// Kill closes the store as the death of its process would: nothing more is
// written. It is for tests.
func (db *DB) Kill() {
	db.closed.Store(true)
	select {
	case <-db.closing:
	default:
		close(db.closing)
	}
	db.stopGoroutines(false)
	db.log.Close()
}

// drain waits until the writer has nothing left of what was asked before.
func (db *DB) drain() error {
	for {
		empty := false
		err := db.queue.control(func(w *writer) {
			w.db.queue.take(w)
			empty = len(w.requests) == 0
		})
		if err != nil || empty {
			return err
		}
	}
}

// stopGoroutines ends the checkpointer, then the writer and with it the flusher.
func (db *DB) stopGoroutines(clean bool) {
	close(db.checkpoint.stop)
	if !clean {
		db.queue.close(kv.ErrClosed)
	}
	<-db.checkpoint.done
	db.queue.stop(clean)
	<-db.writerDone
	for range db.writer.flushed {
	}
}

// Stamp draws the next stamp.
func (db *DB) Stamp(ctx context.Context) (kv.Stamp, error) {
	if db.closed.Load() {
		return 0, kv.ErrClosed
	}
	return kv.Stamp(db.clock.draw(1)), nil
}

// ID is the store's own, drawn when it was created.
func (db *DB) ID() [16]byte { return db.id }

// Space says how full the store is.
func (db *DB) Space(ctx context.Context) (kv.Usage, error) {
	if db.closed.Load() {
		return kv.Usage{}, kv.ErrClosed
	}
	s := db.state.Load()
	u := kv.Usage{LiveBytes: db.space.liveBytes.Load(), Pairs: db.userPairs.Load()}
	for i := range layers {
		if d := s.layer(i); d != nil {
			u.Pairs += int64(d.Len())
		}
	}
	u.HeldBytes = db.space.heldBytes()
	if db.space.segmented == nil {
		return u, nil
	}
	l, err := db.space.segmented.Space()
	if err != nil {
		return u, err
	}
	u.UsedBytes = l.Used + l.Spare
	db.space.look()
	u.FreeBytes = db.space.growth(&l)
	u.FileBytes = l.Total
	return u, nil
}

// Stats are figures of an open store.
type Stats struct {
	Roots    uint64 // ROOTs written in the life of the store: steps of checkpoints
	Height   int    // of the tree
	Replayed int    // operations that opening replayed
	Reads    uint64 // pages and chunks read from the log
	LogBytes int64  // records and chunks since the redo point
}

// Stats answers the present figures.
func (db *DB) Stats() Stats {
	return Stats{
		Roots: db.roots.Load(), Height: db.state.Load().tree.Height, Replayed: db.replayed,
		Reads: db.cache.reads.Load(), LogBytes: db.space.active.Load() + db.space.frozen.Load(),
	}
}

// named holds the segment of a chunk that was written before the append that
// names it: the redo point may pass it before a ROOT counts it.
func (w *writer) named(ref page.Ref) {
	if ref.Block < w.written {
		w.held[w.db.space.hold(ref.Place)]++
	}
}

// hold holds the segments of chunks that have just been staged. Who staged them
// would be too late: a checkpoint may pass them before it runs again.
func (w *writer) hold(j *appendJob) {
	if !j.grows {
		return
	}
	for _, p := range j.places {
		j.held = append(j.held, w.db.space.hold(p))
	}
}

// takeHeld hands the holds of the active delta over to the checkpoint.
func (w *writer) takeHeld() map[uint64]int {
	held := w.held
	w.held = make(map[uint64]int)
	return held
}

var (
	_ kv.Store    = (*DB)(nil)
	_ kv.Session  = (*session)(nil)
	_ kv.Snapshot = (*snapshot)(nil)
	_ kv.Watcher  = (*watcher)(nil)
)
