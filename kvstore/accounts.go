package kvstore

import (
	"cmp"
	"slices"

	"kivaloo/kvstore/item"
	"kivaloo/kvstore/page"
)

// This file accounts for what is live in each segment, and what is held.

// pseudoSegmentBlocks is the grain of accounting over a block store that only
// gives back the beginning of its log.
const pseudoSegmentBlocks = 4096

// A segmentTable lists the first blocks of the segments there were at a moment. It
// stays right for all blocks that were written until then, so the block store need
// not be asked again for each item that is counted.
type segmentTable struct {
	firsts []uint64
	until  uint64 // one past the last block that was written
}

// find is the first block of the segment that holds a block below until.
func (t *segmentTable) find(block uint64) uint64 {
	i, found := slices.BinarySearch(t.firsts, block)
	if !found {
		i--
	}
	if i < 0 {
		return 0
	}
	return t.firsts[i]
}

// segment is the first block of the segment that holds a block.
func (s *space) segment(block uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.segmentLocked(block)
}

func (s *space) segmentLocked(block uint64) uint64 {
	if s.segmented == nil {
		return block &^ (pseudoSegmentBlocks - 1)
	}
	if t := &s.mu.table; block >= t.until {
		t.until = s.log.Next() // first: the list that is read later has all before it
		t.firsts = t.firsts[:0]
		for _, g := range s.segmented.Segments() {
			t.firsts = append(t.firsts, g.First)
		}
	}
	return s.mu.table.find(block)
}

// exchange moves the accounts by what a step of a checkpoint writes and replaces.
// Readers still see the state before, so the segments of what dies count as needed
// by whoever takes a snapshot, until settle.
func (s *space) exchange(born, died []page.Place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.countLocked(born, 1)
	s.countLocked(died, -1)
	for _, p := range died {
		s.mu.dying[s.segmentLocked(p.Block)] = struct{}{}
	}
}

// takeBack undoes exchange: the step's ROOT could not be written.
func (s *space) takeBack(born, died []page.Place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.countLocked(born, -1)
	s.countLocked(died, 1)
	clear(s.mu.dying)
}

// settle says that the tree of the last exchange is published.
func (s *space) settle() {
	s.mu.Lock()
	clear(s.mu.dying)
	s.mu.Unlock()
}

// countLocked adds n times the bytes of items to their segments.
func (s *space) countLocked(places []page.Place, n int64) {
	total := int64(0)
	for _, p := range places {
		bytes := n * int64(page.Padded(int(p.Bytes)))
		s.mu.live[s.segmentLocked(p.Block)] += bytes
		total += bytes
	}
	s.liveBytes.Add(total)
}

// hold keeps the segment of a chunk that no tree names yet.
func (s *space) hold(p page.Place) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.segmentLocked(p.Block)
	s.mu.held[first]++
	return first
}

// release takes back a number of holds on a segment.
func (s *space) release(first uint64, n int) {
	s.mu.Lock()
	if s.mu.held[first] -= n; s.mu.held[first] <= 0 {
		delete(s.mu.held, first)
	}
	s.mu.Unlock()
}

// releaseStaged takes back the hold of a staged chunk; an empty one has none.
func (s *space) releaseStaged(c *stagedChunk) {
	if c.bytes() > 0 {
		s.release(c.held, 1)
	}
}

// restore takes over the accounts of a ROOT.
func (s *space) restore(root *item.Root) {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := int64(0)
	for _, g := range root.Segments {
		s.mu.live[g.First] = g.Live
		total += g.Live
	}
	s.liveBytes.Store(total)
}

// accounts are the live bytes of all segments, for a ROOT.
func (s *space) accounts() []item.SegmentLive {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []item.SegmentLive
	for first, live := range s.mu.live {
		if live != 0 {
			list = append(list, item.SegmentLive{First: first, Live: live})
		}
	}
	slices.SortFunc(list, func(a, b item.SegmentLive) int {
		return cmp.Compare(a.First, b.First)
	})
	return list
}
