package segment

import (
	"bytes"
	"fmt"
	"io"
	"math"

	"kivaloo/lbs"
	"kivaloo/lbs/disk"
)

// mayCreate says why there can be no new store in a directory without a format
// record, or nil.
func (s *Store) mayCreate(l listing) error {
	if len(l.strangers) > 0 {
		return fmt.Errorf("%w: it holds %q", lbs.ErrNotStore, l.strangers[0])
	}
	for _, f := range l.segments {
		empty, err := s.isEmpty(f)
		if err != nil {
			return err
		}
		if !empty {
			return fmt.Errorf("%w: %s is there, but no format record", lbs.ErrDamaged, f.name)
		}
	}
	if !s.opts.Create {
		return fmt.Errorf("%w: the directory is empty", lbs.ErrNotStore)
	}
	return nil
}

// isEmpty says whether a segment is what an unfinished creation leaves: number 0,
// zeros after the header, and a header of ours, or none. More the header cannot
// say without a format record.
func (s *Store) isEmpty(f found) (bool, error) {
	if f.name != openName(0) {
		return false, nil
	}
	file, err := s.fs.Open(s.path(f.name))
	if err != nil {
		return false, err
	}
	defer file.Close()
	head := make([]byte, min(f.bytes, headerBytes))
	if _, err := file.ReadAt(head, 0); err != nil && err != io.EOF {
		return false, err
	}
	if !isZero(head) && !bytes.HasPrefix(head, []byte(headerMagic)) {
		return false, nil
	}
	return isZeroFrom(file, headerBytes, f.bytes)
}

func isZeroFrom(file disk.File, at, end int64) (bool, error) {
	p := make([]byte, zeroBytes)
	for at < end {
		n, err := file.ReadAt(p[:min(int64(len(p)), end-at)], at)
		if err != nil && err != io.EOF || n == 0 {
			return false, err
		}
		if !isZero(p[:n]) {
			return false, nil
		}
		at += int64(n)
	}
	return true, nil
}

func isZero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

// create makes a new store: first segment 0, then the format record, which makes
// the directory a store. What an unfinished creation has left is removed. The
// names are made durable by opening what was created.
func (s *Store) create(l listing) (listing, error) {
	for _, name := range l.leftovers() {
		if err := s.fs.Remove(s.path(name)); err != nil {
			return l, err
		}
	}
	blockBytes := s.opts.BlockBytes
	if blockBytes == 0 {
		blockBytes = lbs.BlockBytesDefault
	}
	var err error
	if s.identity, err = newIdentity(blockBytes, s.opts.Rand); err != nil {
		return l, err
	}
	if err := s.createSegment0(); err != nil {
		return l, err
	}
	// The record's name must not outlive a cut that segment 0's name does not.
	if err := s.fs.SyncDir(s.dir); err != nil {
		return l, err
	}
	if err := s.createFormat(); err != nil {
		return l, err
	}
	s.log.Info("created a store", "dir", s.dir, "block_bytes", blockBytes)
	return list(s.fs, s.dir)
}

func (l *listing) leftovers() []string {
	names := append([]string(nil), l.temps...)
	for _, f := range append(append([]found(nil), l.segments...), l.spares...) {
		names = append(names, f.name)
	}
	return names
}

func (s *Store) createSegment0() error {
	temp := s.path(spareName(0) + tempSuffix)
	err := s.writeFile(temp, func(f disk.File) error {
		if err := zeroFill(f, s.segmentBytes(0, s.limit(0)), nil); err != nil {
			return err
		}
		p := make([]byte, headerBytes)
		s.encodeHeader(p, header{})
		_, err := f.WriteAt(p, 0)
		return err
	})
	if err != nil {
		return err
	}
	return s.fs.Rename(temp, s.path(openName(0)))
}

func (s *Store) createFormat() error {
	temp := s.path(formatName + tempSuffix)
	err := s.writeFile(temp, func(f disk.File) error {
		_, err := f.WriteAt(s.encode(), 0)
		return err
	})
	if err != nil {
		return err
	}
	return s.fs.Rename(temp, s.path(formatName))
}

// writeFile makes a file whose contents are durable, but not its name.
func (s *Store) writeFile(name string, write func(disk.File) error) error {
	f, err := s.fs.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := write(f); err != nil {
		return err
	}
	return f.Sync()
}

// segmentBytes is the size of the next segment file of a store that takes so much,
// and may take so much at most: its share of the former, down to a power of two so
// that files of few sizes are recycled among each other; on a small disk one of two
// sizes below those, near to its share of the latter; and room for one block in any
// case.
func (s *Store) segmentBytes(used, limit int64) int64 {
	size := s.opts.MinSegmentBytes
	for size*2 <= used/segmentShare {
		size *= 2
	}
	if s.blockBytes <= smallBlockBytesMax {
		for small := int64(2 * smallSegmentBytes); small >= smallSegmentBytes; small /= 2 {
			if limit/smallSegmentShare < size && small < size {
				size = small
			}
		}
	}
	return roundUp(max(min(size, s.opts.MaxSegmentBytes), int64(headerBytes+s.blockBytes)))
}

// limit is what a store could take on its disk that takes so much now.
func (s *Store) limit(taken int64) int64 {
	u, err := s.fs.Usage(s.dir)
	if err != nil {
		return math.MaxInt64 // whoever needs the room will see
	}
	return taken + u.Free
}

// roundUp keeps files whole numbers of what a direct read takes.
func roundUp(bytes int64) int64 {
	return (bytes + disk.DirectBytes - 1) / disk.DirectBytes * disk.DirectBytes
}
