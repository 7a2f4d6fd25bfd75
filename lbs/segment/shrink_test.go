package segment

import (
	"errors"
	"testing"

	"kivaloo/lbs/disk"
	"kivaloo/lbs/disk/crashdisk"
	"kivaloo/lbs/lbstest"
)

// grown is a store that has come to large segments.
func grown(t *testing.T, seed uint64) *world {
	w := newWorld(seed, 512)
	w.opts.MaxSegmentBytes = 256 << 10
	w.disk = crashdisk.New(seed)
	s, err := w.open(w.disk)
	must(t, err)
	for range 70 {
		must(t, w.append(s, 29<<10))
	}
	if all := s.Segments(); all[len(all)-1].Bytes < 8*w.opts.MinSegmentBytes {
		t.Fatalf("the last segment has %d bytes only", all[len(all)-1].Bytes)
	}
	must(t, s.Close())
	return w
}

// shrink frees all segments but the last of a store, over and over, with small
// appends between.
func (w *world) shrink(s *Store) error {
	for range 4 {
		all := s.Segments()
		for _, g := range all[:len(all)-1] {
			if err := w.free(s, g); err != nil {
				return err
			}
		}
		if err := w.append(s, 700); err != nil {
			return err
		}
	}
	return nil
}

// TestShrunkStoreLeavesItsLargeSegment: the last segment is never freed, so a store
// of which all was deleted kept one that had a sixteenth of what it once held, and
// spares like it.
func TestShrunkStoreLeavesItsLargeSegment(t *testing.T) {
	w := grown(t, lbstest.Seed(t))
	s, err := w.open(w.disk)
	must(t, err)
	defer s.Close()
	must(t, w.shrink(s))
	must(t, w.shrink(s))
	must(t, w.check(s))
	u, err := s.Space()
	must(t, err)
	if most := 6 * (12<<10 + headerBytes); u.Used+u.Spare > int64(most) {
		t.Errorf("%d bytes used and %d spare, want no more than %d together", u.Used, u.Spare, most)
	}
}

// TestShrinkingIsCut cuts the power at every call while a store shrinks.
func TestShrinkingIsCut(t *testing.T) {
	seed := lbstest.Seed(t)
	before := grown(t, seed)
	for cut := 1; ; cut += slower() {
		for fate := range uint64(2) {
			w := before.fork()
			d := before.disk.Clone(seed + fate<<32 + uint64(cut))
			s, err := w.open(d)
			must(t, err)
			d.CutAt(cut)
			err = w.shrink(s)
			_ = s.Close()
			if err == nil {
				return
			}
			if !errors.Is(err, crashdisk.ErrPowerCut) {
				t.Fatalf("cut at call %d: %v", cut, err)
			}
			if err := w.revive(d.Crash()); err != nil {
				t.Fatalf("fate %d, cut at call %d: %v", fate, cut, err)
			}
		}
	}
}

// TestShrinkingNeedsNoRoom: on a full disk the large segment is written on.
func TestShrinkingNeedsNoRoom(t *testing.T) {
	w := grown(t, lbstest.Seed(t))
	s, err := w.open(w.disk)
	must(t, err)
	defer s.Close()
	w.disk.SetBytes(1)
	for range 4 {
		all := s.Segments()
		for _, g := range all[:len(all)-1] {
			must(t, s.FreeSegment(g.First))
			w.freed = append(w.freed, g)
		}
		if err := w.append(s, 700); err != nil && !disk.IsNoSpace(err) {
			t.Fatal(err)
		}
		must(t, w.wait(s))
	}
	must(t, w.check(s))
}
