package segment

import (
	"errors"
	"fmt"
	"io"

	"kivaloo/lbs"
	"kivaloo/lbs/disk"
)

const (
	// scratchMax bounds what is kept from one append to the next; larger payloads
	// without room for a seal are rare.
	scratchMax = 1 << 20

	// maxFileBytes is what the largest append needs, and some.
	maxFileBytes = lbs.AppendBytesMax + 2*lbs.BlockBytesMax + headerBytes
)

// Append implements lbs.Store: one write and one flush, and nothing else unless
// the segment is full.
func (s *Store) Append(first uint64, payload []byte, room lbs.Room) (uint64, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.mayAppend(first, len(payload), room); err != nil {
		return s.Next(), err
	}
	blocks := s.blocksFor(len(payload))
	if err := s.makeRoom(first, blocks, room); err != nil {
		return s.Next(), err
	}
	sealed, q := s.sealed(payload, blocks)
	at := s.table.Load().last().offset(first, s.blockBytes)
	if err := s.write(sealed, at); err != nil {
		return s.Next(), err
	}
	s.writing.sequence, s.writing.previous = q.sequence+1, q.crc
	s.next.Store(first + blocks)
	if t := *s.table.Load(); t.last().first == first {
		s.pool.want(t) // this append has used up a spare
	}
	return first + blocks, nil
}

func (s *Store) mayAppend(first uint64, bytes int, room lbs.Room) error {
	switch err := s.failed.Load(); {
	case s.closed.Load():
		return lbs.ErrClosed
	case err != nil:
		return *err
	case first != s.Next():
		return fmt.Errorf("%w: %d, next is %d", lbs.ErrNotNext, first, s.Next())
	case bytes < 1 || bytes > lbs.AppendBytesMax:
		return fmt.Errorf("append of %d bytes is not possible", bytes)
	}
	if room == lbs.Ordinary {
		return s.pool.admit()
	}
	return nil
}

func (s *Store) blocksFor(bytes int) uint64 {
	return uint64((bytes + recordBytes + s.blockBytes - 1) / s.blockBytes)
}

// fits says whether so many blocks fit into the last segment.
func (sp span) fits(next, blocks uint64, blockBytes int) bool {
	end := sp.offset(next, blockBytes) + int64(blocks)*int64(blockBytes)
	return end <= sp.bytes
}

// makeRoom begins the next segment if these blocks do not fit into the last one, or
// it is far too large.
func (s *Store) makeRoom(first, blocks uint64, room lbs.Room) error {
	fits := s.table.Load().last().fits(first, blocks, s.blockBytes)
	if fits && !s.outgrown(first, blocks) {
		return nil
	}
	err := s.activate(blocks, room)
	if fits && errors.Is(err, lbs.ErrNoSpace) {
		return nil // the large one will do
	}
	return err
}

// outgrownFactor: a last segment so many times as large as segments should be is
// left before it is full.
const outgrownFactor = 4

// outgrown says that the last segment is far too large for what the store has come
// to hold, and that a small one is at hand: the last segment is never freed, and a
// store that has shrunk would else take its room for ever.
func (s *Store) outgrown(next, blocks uint64) bool {
	t := *s.table.Load()
	last := t.last()
	return last.first != next && last.bytes >= outgrownFactor*s.pool.targetBytes() &&
		s.pool.hasSmaller(headerBytes+int64(blocks)*int64(s.blockBytes), last.bytes/outgrownFactor)
}

// offset is where a block lies in its file.
func (sp span) offset(block uint64, blockBytes int) int64 {
	return headerBytes + int64(block-sp.first)*int64(blockBytes)
}

// sealed is payload with zeros and the seal after it, in the payload's own memory
// where there is room.
func (s *Store) sealed(payload []byte, blocks uint64) ([]byte, seal) {
	total := int(blocks) * s.blockBytes
	var p []byte
	if cap(payload) >= total {
		p = payload[:total]
	} else {
		p = s.scratch(total)
		copy(p, payload)
	}
	clear(p[len(payload):])
	q := seal{
		first:    s.Next(),
		sequence: s.writing.sequence,
		blocks:   uint32(blocks),
		payload:  s.crc(p[:total-recordBytes]),
		previous: s.writing.previous,
	}
	s.encodeSeal(p[total-recordBytes:], &q)
	return p, q
}

func (s *Store) scratch(bytes int) []byte {
	if bytes > scratchMax {
		return make([]byte, bytes)
	}
	if cap(s.writing.scratch) < bytes {
		s.writing.scratch = make([]byte, bytes)
	}
	return s.writing.scratch[:bytes]
}

// write makes the bytes of an append durable.
func (s *Store) write(p []byte, at int64) error {
	n, err := s.writing.file.WriteAt(p, at)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if disk.IsNoSpace(err) {
		// A file system that writes elsewhere (btrfs) refuses although the file was
		// filled. Nothing was flushed, and the next append begins at the same place.
		return noSpace(err)
	}
	if err != nil {
		return s.fail(err)
	}
	if err := s.writing.file.Datasync(); err != nil {
		return s.fail(err)
	}
	return nil
}

func noSpace(cause error) error { return fmt.Errorf("%w: %w", lbs.ErrNoSpace, cause) }

// activate makes a spare the last segment. The append before is flushed already,
// so that the new segment proves it.
func (s *Store) activate(blocks uint64, room lbs.Room) error {
	if err := s.closeBefore(); err != nil {
		return s.refuse(err)
	}
	sp, err := s.pool.take(headerBytes+int64(blocks)*int64(s.blockBytes), room)
	if err != nil {
		return s.refuse(err)
	}
	f, err := s.writeHeader(sp)
	if err != nil {
		s.pool.discard(sp)
		return s.refuse(err)
	}
	err = s.nameLast(sp)
	if err == nil {
		err = s.closeLast()
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	s.publishLast(newSegment(openName(s.Next()), sp.bytes, f))
	return nil
}

// refuse turns an error from before anything of the log was touched into what an
// append answers.
func (s *Store) refuse(err error) error {
	if err == lbs.ErrClosed {
		return err
	}
	if disk.IsNoSpace(err) {
		return noSpace(err)
	}
	return s.fail(err)
}

// writeHeader gives a spare the header of the next segment, durably, so that no
// segment is ever seen without.
func (s *Store) writeHeader(sp spare) (disk.File, error) {
	f, err := s.fs.Open(s.path(sp.name))
	if err != nil {
		return nil, err
	}
	p := make([]byte, headerBytes)
	s.encodeHeader(p, header{first: s.Next(), sequence: s.writing.sequence, previous: s.writing.previous})
	_, err = f.WriteAt(p, 0)
	if err == nil {
		err = f.Datasync()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// nameLast gives the spare the name of the last segment. An empty last segment, too
// small for this append, is replaced: its first number is the same.
func (s *Store) nameLast(sp spare) error {
	if err := s.fs.Rename(s.path(sp.name), s.path(openName(s.Next()))); err != nil {
		s.pool.add(sp)
		return s.refuse(err)
	}
	// Before the first append: it is not durable while its segment's name is not.
	if err := s.fs.SyncDir(s.dir); err != nil {
		return s.fail(err)
	}
	return nil
}

// closeLast gives what is the last segment until now the name of a closed one. Only
// now: such a name says that the next segment's is durable, and where that one is
// missing all the same, somebody has taken it away. The directory sync of the next
// activation makes it durable: until then the next segment cannot be freed, and
// what is missing in the old name can be read from the new one.
func (s *Store) closeLast() error {
	old := s.table.Load().last()
	if old.first == s.Next() {
		return nil // it was replaced
	}
	err := s.giveName(old.segment, closedName(old.first, s.Next()-old.first))
	if err == nil || disk.IsNoSpace(err) {
		return nil // closeBefore tries again
	}
	return s.fail(err)
}

// closeBefore gives the segment before the last its name where a full disk has
// refused that.
func (s *Store) closeBefore() error {
	if _, ok := s.table.Load().unclosed(); !ok {
		return nil
	}
	s.freeing.Lock() // by now the name belongs to whoever frees it
	defer s.freeing.Unlock()
	before, ok := s.table.Load().unclosed()
	if !ok {
		return nil
	}
	return s.giveName(before.segment, closedName(before.first, before.end-before.first))
}

func (s *Store) giveName(g *segment, name string) error {
	if err := s.fs.Rename(s.path(g.name), s.path(name)); err != nil {
		return err
	}
	g.name = name
	return nil
}

func (s *Store) publishLast(g *segment) {
	next := s.Next()
	var replaced *segment
	s.change(func(t table) table {
		last := &t[len(t)-1]
		last.end = next
		if last.first == next {
			replaced = last.segment
			t = t[:len(t)-1]
		}
		return append(t, span{first: next, end: lbs.NoBlock, segment: g})
	})
	s.writing.file = *g.file.Load()
	if replaced != nil {
		_ = replaced.retire() // its file has lost its name, and holds nothing
	}
}

// change replaces the table by what edit makes of a copy of it.
func (s *Store) change(edit func(table) table) table {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := *s.table.Load()
	t := edit(append(make(table, 0, len(old)+1), old...))
	s.table.Store(&t)
	return t
}
