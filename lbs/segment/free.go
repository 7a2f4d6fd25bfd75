package segment

import (
	"errors"
	"fmt"

	"kivaloo/lbs"
)

// Free implements lbs.Store: it frees the segments that lie wholly before keep.
func (s *Store) Free(keep uint64) error {
	return s.free(func(sp span) bool { return sp.end <= keep && sp.end != lbs.NoBlock })
}

// FreeSegment implements lbs.Segmented.
func (s *Store) FreeSegment(first uint64) error {
	if t := *s.table.Load(); len(t) > 0 && t.last().first == first {
		return fmt.Errorf("segment %d is the last, which is never freed", first)
	}
	return s.free(func(sp span) bool { return sp.first == first && sp.end != lbs.NoBlock })
}

// free takes segments out of the table, so that no new reader finds them, waits
// for those that read, and gives the files to the pool.
func (s *Store) free(pick func(span) bool) error {
	s.freeing.Lock()
	defer s.freeing.Unlock()
	if s.closed.Load() {
		return lbs.ErrClosed
	}
	var gone []*segment
	t := s.change(func(t table) table {
		kept := t[:0]
		for _, sp := range t {
			if pick(sp) {
				gone = append(gone, sp.segment)
			} else {
				kept = append(kept, sp)
			}
		}
		return kept
	})
	if len(gone) == 0 {
		return nil
	}
	var errs []error
	for _, g := range gone {
		errs = append(errs, g.retire())
	}
	errs = append(errs, s.pool.recycle(gone))
	s.pool.want(t)
	return errors.Join(errs...)
}

// Segments implements lbs.Segmented.
func (s *Store) Segments() []lbs.Segment {
	next, t := s.Next(), *s.table.Load()
	all := make([]lbs.Segment, len(t))
	for i, sp := range t {
		end := min(sp.end, max(next, sp.first))
		all[i] = lbs.Segment{First: sp.first, Blocks: end - sp.first, Bytes: sp.bytes}
	}
	return all
}

// Space implements lbs.Segmented.
func (s *Store) Space() (lbs.Space, error) {
	if s.closed.Load() {
		return lbs.Space{}, lbs.ErrClosed
	}
	u, err := s.fs.Usage(s.dir)
	if err != nil {
		return lbs.Space{}, err
	}
	spare, reserve, target := s.pool.bytes()
	t := *s.table.Load()
	last := t.last()
	return lbs.Space{
		Used: t.bytes(), Spare: spare, Reserve: reserve,
		Tail:    max(0, last.bytes-last.offset(max(s.Next(), last.first), s.blockBytes)),
		Segment: target,
		Free:    u.Free, Total: u.Total,
	}, nil
}

// WaitSpares waits until the pool has made the spares it wants, or cannot. With it
// after every call a test or a benchmark has its disk calls in a fixed order.
func (s *Store) WaitSpares() error { return s.pool.wait() }
