package segment

import (
	"fmt"
	"sort"
	"sync"
	"sync/atomic"

	"kivaloo/lbs"
	"kivaloo/lbs/disk"
)

// A span is a segment in the table, with the numbers of its blocks.
type span struct {
	first uint64
	end   uint64 // one past its last number; NoBlock for the last segment
	*segment
}

// A table lists the segments in order of their numbers. It is never changed, only
// replaced.
type table []span

// find answers the span that holds a block.
func (t table) find(block uint64) (span, bool) {
	i := sort.Search(len(t), func(i int) bool { return t[i].end > block })
	if i == len(t) || t[i].first > block {
		return span{}, false
	}
	return t[i], true
}

func (t table) last() span { return t[len(t)-1] }

// unclosed answers the segment before the last if its name is not yet the one of a
// closed segment. No other can be so: see activate.
func (t table) unclosed() (span, bool) {
	if len(t) < 2 {
		return span{}, false
	}
	before := t[len(t)-2]
	return before, before.name == openName(before.first)
}

// bytes is what all segments take together.
func (t table) bytes() (sum int64) {
	for _, sp := range t {
		sum += sp.bytes
	}
	return sum
}

// A segment is one file of blocks. Who reads holds a reference; the table holds
// one too, and gives it up when the segment is freed. When the last is gone,
// nobody reads any more, and the file may begin its next life.
type segment struct {
	name  string // changed by Append only: while it is the last, or with freeing held
	bytes int64  // size of the file

	refs atomic.Int64
	idle chan struct{} // closed with the last reference

	file atomic.Pointer[disk.File]
	mu   sync.Mutex // held while the file is opened
}

func newSegment(name string, bytes int64, f disk.File) *segment {
	g := &segment{name: name, bytes: bytes, idle: make(chan struct{})}
	g.refs.Store(1)
	if f != nil {
		g.file.Store(&f)
	}
	return g
}

// hold takes a reference, unless the segment is freed.
func (g *segment) hold() bool {
	for {
		n := g.refs.Load()
		if n == 0 {
			return false
		}
		if g.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (g *segment) release() {
	if g.refs.Add(-1) == 0 {
		close(g.idle)
	}
}

// retire gives up the table's reference, waits for readers, who hold theirs for
// one read only, and closes the file.
func (g *segment) retire() error {
	g.release()
	<-g.idle
	if f := g.file.Load(); f != nil {
		return (*f).Close()
	}
	return nil
}

// open answers the segment's file, opened at its first use and kept open. The
// caller holds a reference.
func (s *Store) open(sp span) (disk.File, error) {
	if f := sp.file.Load(); f != nil {
		return *f, nil
	}
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if f := sp.file.Load(); f != nil {
		return *f, nil
	}
	f, err := s.fs.Open(s.path(sp.name))
	if err != nil {
		return nil, err
	}
	if _, err := s.readHeader(f, sp.name, sp.first); err != nil {
		f.Close()
		return nil, err
	}
	sp.file.Store(&f)
	return f, nil
}

// readHeader reads a segment's header, which must be this store's and have this
// first number.
func (s *Store) readHeader(f disk.File, name string, first uint64) (header, error) {
	var p [recordBytes]byte
	if _, err := f.ReadAt(p[:], 0); err != nil {
		return header{}, fmt.Errorf("%s: header: %w", name, err)
	}
	h, err := s.decodeHeader(p[:], first)
	return h, headerError(name, err)
}

// ReadAt implements lbs.Store. It takes no lock: a reference keeps the segment's
// file from being used again while it is read.
func (s *Store) ReadAt(p []byte, block uint64, offset int) error {
	if offset < 0 {
		return fmt.Errorf("read at negative offset %d", offset)
	}
	if s.closed.Load() {
		return lbs.ErrClosed
	}
	size := uint64(s.blockBytes)
	block, inside := block+uint64(offset)/size, uint64(offset)%size
	end := block + (inside+uint64(len(p))+size-1)/size // one past the last block touched

	// The end of the log first: what lies before it is in any table read later.
	next := s.next.Load()
	sp, ok := s.table.Load().find(block)
	if !ok || end < block || end > min(sp.end, next) || block >= next || !sp.hold() {
		return s.noBlock(block)
	}
	defer sp.release()
	f, err := s.open(sp)
	if err != nil {
		return err
	}
	at := headerBytes + int64(block-sp.first)*int64(size) + int64(inside)
	if _, err := f.ReadAt(p, at); err != nil {
		return fmt.Errorf("block %d: %w", block, err)
	}
	return nil
}

func (s *Store) noBlock(block uint64) error {
	if s.closed.Load() {
		return lbs.ErrClosed
	}
	return fmt.Errorf("block %d: %w", block, lbs.ErrNoBlock)
}
