package segment

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"

	"kivaloo/lbs"
	"kivaloo/lbs/disk"
)

// Options say how to open a store. The zero value opens what is there.
type Options struct {
	// BlockBytes is the block size: 0 takes the store's own, and
	// lbs.BlockBytesDefault for a new store.
	BlockBytes int

	// Create makes a store where there is none: in a directory that is missing
	// (its parent must be there) or empty.
	Create bool

	// Rand is where a new store's id and salt come from; nil is crypto/rand.
	Rand io.Reader

	// Logger hears what an operator should know; nil is silence.
	Logger *slog.Logger

	// MinSegmentBytes and MaxSegmentBytes bound the size of segment files; 0 is
	// the default. Tests make them small.
	MinSegmentBytes int64
	MaxSegmentBytes int64
}

const (
	// A segment is a sixteenth of the store, so that cleaning can give back space
	// in steps of a few percent; below 1 MiB files would be too many, above 64 MiB
	// the scan of the last one would make opening slow.
	segmentShare    = 16
	minSegmentBytes = 1 << 20
	maxSegmentBytes = 64 << 20

	// On a disk of less than 12 MiB, 1 MiB would be too much: the reserve, the last
	// segment and the one before it would be most of it. This holds two chunks of
	// the engine (128 KiB and a header each), and some pages.
	smallSegmentBytes = 288 << 10
	smallSegmentShare = 12
	// smallBlockBytesMax: in larger blocks it would hold but one.
	smallBlockBytesMax = 8 << 10
)

// Store is a log in segment files. It implements lbs.Segmented.
type Store struct {
	identity
	fs   disk.FS
	dir  string
	lock io.Closer
	log  *slog.Logger
	opts Options

	pool   *pool
	damage []lbs.Damage // found at open

	table  atomic.Pointer[table]
	next   atomic.Uint64         // number of the next block; all before it are durable
	failed atomic.Pointer[error] // why nothing more is acknowledged, or nil
	closed atomic.Bool

	// Locks, taken in this order: writing and freeing stand for work that is under
	// way, calls of the disk included, and Close waits for it; mu is held only while
	// the table is replaced.

	// writing is the append: there is one.
	writing struct {
		sync.Mutex
		file     disk.File // of the last segment
		sequence uint64    // of the next append
		previous uint32    // CRC of the seal before
		scratch  []byte    // for payloads without room for a seal
	}
	freeing sync.Mutex
	mu      sync.Mutex
}

var _ lbs.Segmented = (*Store)(nil)

// Open opens the store in a directory, or makes one. It locks the directory
// first, and refuses what is not a store, or not the one asked for, before it has
// changed anything:
//
//	lbs.ErrInUse     another process has it open
//	lbs.ErrNotStore  the directory is neither empty nor a store, or Create is not set
//	lbs.ErrFormat    the store has another block size or a newer version
//	lbs.ErrDamaged   its format record, a segment header or its segments are damaged
//
// Damaged appends do not keep a store from opening; Damage names them. Opening
// reads no more than the last segment, or the one before when that is empty.
func Open(fsys disk.FS, dir string, opts Options) (*Store, error) {
	opts, err := opts.complete()
	if err != nil {
		return nil, err
	}
	if opts.Create {
		if err := fsys.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	lock, err := fsys.Lock(dir)
	switch {
	case errors.Is(err, disk.ErrLocked):
		return nil, fmt.Errorf("%s: %w", dir, lbs.ErrInUse)
	case errors.Is(err, syscall.ENOTDIR):
		return nil, fmt.Errorf("%s: %w: it is no directory", dir, lbs.ErrNotStore)
	case opts.Create && errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w: it is a link that leads nowhere", dir, lbs.ErrNotStore)
	case err != nil:
		return nil, err
	}
	s := &Store{fs: fsys, dir: dir, lock: lock, log: opts.Logger, opts: opts}
	if err := s.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", dir, err), s.release())
	}
	return s, nil
}

func (o Options) complete() (Options, error) {
	if o.BlockBytes != 0 {
		if err := checkBlockBytes(o.BlockBytes); err != nil {
			return o, err
		}
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MinSegmentBytes == 0 {
		o.MinSegmentBytes = minSegmentBytes
	}
	if o.MaxSegmentBytes == 0 {
		o.MaxSegmentBytes = max(maxSegmentBytes, o.MinSegmentBytes)
	}
	if o.MinSegmentBytes < 0 || o.MaxSegmentBytes < o.MinSegmentBytes || o.MaxSegmentBytes > maxFileBytes {
		return o, fmt.Errorf("segments of %d to %d bytes are not possible", o.MinSegmentBytes, o.MaxSegmentBytes)
	}
	return o, nil
}

// start does what Open does, under the lock.
func (s *Store) start() error {
	l, err := list(s.fs, s.dir)
	if err != nil {
		return err
	}
	if !l.record {
		if err := s.mayCreate(l); err != nil {
			return err
		}
		if l, err = s.create(l); err != nil {
			return fmt.Errorf("create store: %w", err)
		}
	}
	if err := s.readFormat(); err != nil {
		return err
	}
	if err := s.checkSegments(l.segments); err != nil {
		return err
	}
	return s.recover(l)
}

// readFormat takes the identity from the format record, and compares it with what
// was asked for.
func (s *Store) readFormat() error {
	f, err := s.fs.Open(s.path(formatName))
	if err != nil {
		return err
	}
	defer f.Close()
	var p [recordBytes]byte
	n, err := f.ReadAt(p[:], 0)
	if err != nil && err != io.EOF {
		return err
	}
	if s.identity, err = decodeIdentity(p[:n]); err != nil {
		return err
	}
	if want := s.opts.BlockBytes; want != 0 && want != s.blockBytes {
		return fmt.Errorf("%w: blocks have %d bytes, not %d", lbs.ErrFormat, s.blockBytes, want)
	}
	return nil
}

// BlockBytes implements lbs.Store.
func (s *Store) BlockBytes() int { return s.blockBytes }

// ID is the store's identity, drawn when it was created.
func (s *Store) ID() [16]byte { return s.id }

// Next implements lbs.Store.
func (s *Store) Next() uint64 { return s.next.Load() }

// Last implements lbs.Store. Numbers have no gaps, so it is the one before Next,
// and NoBlock is the one before 0.
func (s *Store) Last() uint64 { return s.next.Load() - 1 }

// Damage implements lbs.Segmented.
func (s *Store) Damage() []lbs.Damage { return append([]lbs.Damage(nil), s.damage...) }

// Close implements lbs.Store. It waits for an append that is under way, for
// readers, and for the pool.
func (s *Store) Close() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed.Swap(true) {
		return lbs.ErrClosed
	}
	return s.release()
}

// release gives back all that opening has taken so far.
func (s *Store) release() error {
	s.freeing.Lock()
	defer s.freeing.Unlock()
	var errs []error
	if s.pool != nil {
		s.pool.close()
	}
	s.mu.Lock()
	old := s.table.Swap(&table{})
	s.mu.Unlock()
	if old != nil {
		for _, sp := range *old {
			errs = append(errs, sp.retire())
		}
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// fail makes the store refuse every later append, and answers the error.
func (s *Store) fail(cause error) error {
	err := fmt.Errorf("%w: %w", lbs.ErrFailed, cause)
	s.failed.CompareAndSwap(nil, &err)
	return *s.failed.Load()
}

func (s *Store) path(name string) string { return s.dir + "/" + name }

// syncNames makes the names in the store's directory durable, and its own name.
// Who may not read the directory above cannot have made it either.
func (s *Store) syncNames() error {
	if err := s.fs.SyncDir(s.dir); err != nil {
		return err
	}
	err := s.fs.SyncDir(s.dir + "/..")
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}
