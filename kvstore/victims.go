package kvstore

import (
	"cmp"
	"math"
	"slices"

	"kivaloo/lbs"
)

// This file decides what is cleaned, and when an idle store may rest.

const (
	// StoragePriceDefault is the original's: keeping a gigabyte for a month costs as
	// much as a million I/Os.
	StoragePriceDefault = 1.0
	// NoCleaning as a storage price: space costs nothing. What is dead as a whole is
	// freed all the same.
	NoCleaning = -1.0

	// targetDefault is the part of the log that cleaning keeps live: modelled, twice
	// the space costs 26 percent more writes, and ten times the space saves none of
	// those that matter.
	targetDefault = 0.5
	// targetMin: below it the log and its spares, an eighth of it, would take more
	// than two and a half times what is live. targetMax: above it a byte that is
	// freed costs six that are copied.
	targetMin = 0.45
	targetMax = 0.85
	// targetStep is how much each doubling of the price adds.
	targetStep = 0.1

	// ceilingLive is how often what is live the segments may take at any time, beside
	// one log bound. With the other log bound and with spares, an eighth of all and
	// three more, that is what the store promises.
	ceilingLive  = 2.2
	ceilingLeast = 1.6 // however much is kept for snapshots
	spareShare   = 8   // of the block store
	// cheapShare: a segment of which no more than this part is live is cleaned in any
	// case.
	cheapShare = 1.0 / 16

	// cleanBytes is what one checkpoint may copy in any case. If more than that was
	// appended since the one before, it may copy as much: what cleaning has to free in
	// the long run is what is appended, its own copies included.
	cleanBytes = 4 << 20

	// restBytes is what an idle store may take beyond what is live: the segment that
	// is being written, the one that it follows, and what they begin with.
	restBytes = 3 << 20
)

// liveTarget is the part of the log that cleaning keeps live, for a storage price
// as Options have it; 0: nothing is cleaned.
func liveTarget(price float64) float64 {
	switch {
	case price < 0:
		return 0
	case price == 0:
		price = StoragePriceDefault
	}
	return min(max(targetDefault+targetStep*math.Log2(price), targetMin), targetMax)
}

// A candidate is a segment that might be cleaned.
type candidate struct {
	lbs.Segment
	live   int64
	pinned bool // a snapshot reads it: cleaning frees nothing before that is released
}

// victims are the segments to clean now, the emptiest first: as many as bring what
// is live to its part of the log, and all that cost next to nothing, but at most so
// many bytes to copy. (On a disk that is low makeRoom cleans instead.)
func (s *space) victims(redo uint64, most int64) []lbs.Segment {
	if s.target == 0 {
		return nil
	}
	candidates, excess := s.candidates(redo, s.target)
	taken, _ := s.taken()
	excess = max(excess, taken-s.ceiling())
	slices.SortFunc(candidates, func(a, b candidate) int {
		if a.pinned != b.pinned {
			return cmp.Compare(pinnedLast(a), pinnedLast(b))
		}
		return cmp.Compare(float64(a.live)/float64(a.Bytes), float64(b.live)/float64(b.Bytes))
	})
	var victims []lbs.Segment
	for copied := int64(0); len(candidates) > 0; candidates = candidates[1:] {
		c := &candidates[0]
		if excess <= 0 && (c.pinned || float64(c.live) > cheapShare*float64(c.Bytes)) {
			break
		}
		if copied += c.live; copied > most && len(victims) > 0 {
			break
		}
		excess -= c.Bytes - c.live
		victims = append(victims, c.Segment)
	}
	return victims
}

func pinnedLast(c candidate) int {
	if c.pinned {
		return 1
	}
	return 0
}

// ceiling is what the segments may take at any time, but for those that are kept for
// snapshots alone. These have spares as well, which must come from somewhere.
func (s *space) ceiling() int64 {
	live := float64(s.liveBytes.Load())
	most := ceilingLive*live - float64(s.heldBytes())/spareShare
	return int64(max(most, ceilingLeast*live)) + s.usualBound()
}

// candidates are the segments before the redo point that are live by no more than
// a share of theirs, and how many bytes all segments before it take more than what
// is live there allows. What is dead as a whole is not counted: it is freed, or
// kept for a snapshot, without being cleaned.
func (s *space) candidates(redo uint64, share float64) (list []candidate, excess int64) {
	segments := s.segmented.Segments()
	s.mu.Lock()
	defer s.mu.Unlock()
	used, live := int64(0), int64(0)
	for i, g := range segments {
		if i+1 == len(segments) || segments[i+1].First > redo {
			break
		}
		c := candidate{Segment: g, live: s.mu.live[g.First], pinned: s.mu.pins[g.First] > 0}
		if _, spoiled := s.mu.spoiled[g.First]; spoiled || s.mu.held[g.First] > 0 || c.live <= 0 {
			continue
		}
		used += g.Bytes
		live += c.live
		if float64(c.live) <= share*float64(g.Bytes) {
			list = append(list, c)
		}
	}
	return list, used - int64(float64(live)/s.target)
}

// taken is what all segments take, but for those that are kept for snapshots
// alone; settled says that it is no more than what is live calls for.
func (s *space) taken() (bytes int64, settled bool) {
	if s.segmented == nil {
		return 0, true
	}
	for _, g := range s.segmented.Segments() {
		bytes += g.Bytes
	}
	bytes -= s.heldBytes()
	return bytes, float64(bytes) <= restBytes+float64(s.liveBytes.Load())/max(s.target, targetMin)
}
