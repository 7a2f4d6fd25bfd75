package segment

import (
	"errors"
	"fmt"
	"io"

	"kivaloo/lbs"
	"kivaloo/lbs/disk"
)

// directWindow is how much is read at once around the page cache.
const directWindow = 1 << 20

// unclosedMax is how many segments before the last a cut can leave with the name
// of a last one: the one that was the last, and the one before it, whose closed
// name waits for the same directory sync as the new last one's.
const unclosedMax = 2

// checkSegments says whether the names of the segments can be those of one log.
// It changes nothing.
func (s *Store) checkSegments(segments []found) error {
	if len(segments) == 0 {
		return fmt.Errorf("%w: a format record, but no segment", lbs.ErrDamaged)
	}
	for i, f := range segments[:len(segments)-1] {
		next := segments[i+1]
		blocks := f.blocks
		if blocks == lbs.NoBlock && i >= len(segments)-1-unclosedMax {
			blocks = next.first - f.first // its name is behind: see closeNames
		}
		room := uint64(max(0, f.bytes-headerBytes)) / uint64(s.blockBytes)
		if f.first >= next.first || blocks > next.first-f.first || blocks > room {
			return fmt.Errorf("%w: %s (%d bytes) cannot stand before %s", lbs.ErrDamaged, f.name, f.bytes, next.name)
		}
	}
	// A segment is closed when the name of the next is durable, and the last is
	// never freed. To go on here would use its numbers a second time.
	if last := segments[len(segments)-1]; last.blocks != lbs.NoBlock {
		return fmt.Errorf("%w: %s is closed, and the segment after it is missing: %s",
			lbs.ErrDamaged, last.name, openName(last.first+last.blocks))
	}
	return nil
}

// recover brings the store to where the last append that is durable ended.
func (s *Store) recover(l listing) error {
	last := l.segments[len(l.segments)-1]
	f, err := s.fs.Open(s.path(last.name))
	if err != nil {
		return err
	}
	img, t, h, err := s.scanFile(f, last)
	if err == nil {
		err = s.resume(l, f, img, h, t)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	return nil
}

// resume writes the last append again, so that it is durable whatever the page
// cache held, and takes up the chain where it ended.
func (s *Store) resume(l listing, f disk.File, img *image, h header, t tail) error {
	if t.blocks == 0 && len(l.segments) > 1 {
		before, err := s.scanBefore(l.segments[len(l.segments)-2], h.first)
		if err != nil {
			return err
		}
		t.damage = append(before, t.damage...)
	}
	// Names first: nothing may be built on a segment whose name can be lost.
	if err := s.adoptNames(&l); err != nil {
		return err
	}
	if err := s.writeAgain(f, img, t.last); err != nil {
		return err
	}
	s.damage = t.damage
	s.writing.file, s.writing.sequence, s.writing.previous = f, t.sequence, t.previous
	s.next.Store(h.first + t.blocks)
	s.report(t)
	s.adopt(l, f)
	return nil
}

// scanBefore looks at a segment that ended where an empty one begins. All of its
// appends are acknowledged.
func (s *Store) scanBefore(f found, end uint64) ([]lbs.Damage, error) {
	if f.blocks != lbs.NoBlock && f.first+f.blocks != end {
		return nil, nil // the one that ended there is freed
	}
	file, err := s.fs.Open(s.path(f.name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	_, t, h, err := s.scanFile(file, f)
	t.prove(h, end)
	return t.damage, err
}

// scanFile reads a segment around the page cache, and finds its tail.
func (s *Store) scanFile(file disk.File, f found) (img *image, t tail, h header, err error) {
	img, err = readImage(file, f.bytes)
	if err != nil {
		return img, t, h, err
	}
	if !img.direct {
		s.log.Warn("the file system refuses direct reads; the last append is read through the page cache", "dir", s.dir)
	}
	if h, err = s.decodeHeader(img.bytes, f.first); err != nil {
		return img, t, h, errors.Join(headerError(f.name, err), img.err)
	}
	t = s.scan(h, img.bytes[headerBytes:])
	// What cannot be read after the end may have been acknowledged.
	if end := headerBytes + int64(t.blocks)*int64(s.blockBytes); img.bad.to > end {
		return img, t, h, fmt.Errorf("%s: cannot tell where the log ends: %w", f.name, img.err)
	}
	return img, t, h, nil
}

func headerError(name string, err error) error {
	if err == nil || errors.Is(err, lbs.ErrFormat) {
		return err
	}
	return fmt.Errorf("%w: %s: %w", lbs.ErrDamaged, name, err)
}

// An image is a segment file in memory, for as long as opening takes.
type image struct {
	bytes  []byte
	direct bool                     // read around the page cache
	bad    struct{ from, to int64 } // what could not be read lies in between, and is zero
	err    error                    // why
}

func readImage(f disk.File, size int64) (*image, error) {
	if size < headerBytes || size > maxFileBytes {
		return nil, fmt.Errorf("%w: a segment file of %d bytes", lbs.ErrDamaged, size)
	}
	img := &image{bytes: disk.AlignedBuffer(int(size)), direct: true}
	for at := int64(0); at < size; at += directWindow {
		img.read(f, at, directWindow)
	}
	img.bytes = img.bytes[:size]
	return img, nil
}

// read fills a window; where that fails, it tries the smallest windows one by one,
// so that one bad sector costs no more than it must.
func (img *image) read(f disk.File, at, window int64) {
	p := img.bytes[at:min(at+window, int64(len(img.bytes)))]
	n, direct, err := f.ReadDirect(p, at)
	img.direct = img.direct && direct
	switch {
	case err == nil || err == io.EOF:
		clear(p[n:])
	case window > disk.DirectBytes:
		for inner := at; inner < at+int64(len(p)); inner += disk.DirectBytes {
			img.read(f, inner, disk.DirectBytes)
		}
	default:
		clear(p)
		if img.err == nil {
			img.bad.from, img.err = at, err
		}
		img.bad.to = at + int64(len(p))
	}
}

// adoptNames closes what should be closed, removes temporaries, and makes all
// names durable.
func (s *Store) adoptNames(l *listing) error {
	if err := s.closeNames(l.segments); err != nil {
		return err
	}
	for _, name := range l.temps {
		if err := s.fs.Remove(s.path(name)); err != nil {
			return err
		}
	}
	return s.syncNames()
}

// closeNames gives the segments before the last the names of closed ones, where a
// cut has lost that. None of those that follow them can have been freed: that
// takes a directory sync that would have kept the name.
func (s *Store) closeNames(segments []found) error {
	synced := false
	for i := range segments[:len(segments)-1] {
		f := &segments[i]
		if f.blocks != lbs.NoBlock {
			continue
		}
		// The next one's name first: a closed name says that it is durable.
		if !synced {
			if err := s.fs.SyncDir(s.dir); err != nil {
				return err
			}
			synced = true
		}
		f.blocks = segments[i+1].first - f.first
		if err := s.rename(f, closedName(f.first, f.blocks)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) rename(f *found, name string) error {
	if err := s.fs.Rename(s.path(f.name), s.path(name)); err != nil {
		return err
	}
	f.name = name
	return nil
}

func (s *Store) writeAgain(f disk.File, img *image, r run) error {
	if r == (run{}) {
		return nil
	}
	size := uint64(s.blockBytes)
	from, to := headerBytes+r.from*size, headerBytes+r.to*size
	if _, err := f.WriteAt(img.bytes[from:to], int64(from)); err != nil {
		return fmt.Errorf("write the last append again: %w", err)
	}
	return f.Datasync()
}

func (s *Store) report(t tail) {
	if t.torn {
		s.log.Info("dropped an append that was never acknowledged", "dir", s.dir, "first", s.Next())
	}
}

// adopt makes the table and the pool of what was found.
func (s *Store) adopt(l listing, lastFile disk.File) {
	t := make(table, len(l.segments))
	for i, f := range l.segments {
		t[i] = span{first: f.first, end: f.first + f.blocks, segment: newSegment(f.name, f.bytes, nil)}
	}
	last := &t[len(t)-1]
	last.end = lbs.NoBlock
	last.file.Store(&lastFile)
	s.table.Store(&t)
	s.pool = newPool(s, l.spares)
	s.pool.want(t)
}
