package kvstore

import (
	"kivaloo/kvstore/item"
)

// This file gives segments back, but for those that snapshots need.

// dead answers the segments that nothing needs once a ROOT with this redo point
// is durable and proven: no live bytes, no record to replay, no held chunk, no
// copy of the ROOT, no snapshot.
func (s *space) dead(redo uint64, root item.RootPlace) (dead []uint64) {
	segments := s.segmented.Segments()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.pinning > 0 {
		return nil
	}
	clear(s.mu.unneeded)
	for i, g := range segments {
		if i == len(segments)-1 || segments[i+1].First > redo {
			break
		}
		inRoot := false
		for _, b := range root.Block {
			inRoot = inRoot || (b >= g.First && b < segments[i+1].First)
		}
		switch {
		case s.mu.live[g.First] > 0 || s.mu.held[g.First] > 0 || inRoot:
		case s.mu.pins[g.First] > 0:
			s.mu.unneeded[g.First] = g.Bytes
		default:
			dead = append(dead, g.First)
		}
	}
	return dead
}

// canFree says whether free would do anything.
func (s *space) canFree(redo uint64, root item.RootPlace) bool {
	return s.segmented == nil || len(s.dead(redo, root)) > 0
}

// free gives dead segments back to the block store.
func (s *space) free(redo uint64, root item.RootPlace) error {
	if s.segmented == nil {
		return s.freePrefix(redo, root)
	}
	for _, first := range s.dead(redo, root) {
		if err := s.segmented.FreeSegment(first); err != nil {
			return err
		}
		s.mu.Lock()
		delete(s.mu.live, first)
		delete(s.mu.spoiled, first)
		s.mu.Unlock()
	}
	return nil
}

// freePrefix frees the beginning of the log up to the first block that something
// needs.
func (s *space) freePrefix(redo uint64, root item.RootPlace) error {
	keep := min(redo, root.Block[0], root.Block[1])
	s.mu.Lock()
	for first, live := range s.mu.live {
		if live > 0 {
			keep = min(keep, first)
		}
	}
	for first := range s.mu.held {
		keep = min(keep, first)
	}
	clear(s.mu.unneeded)
	own := keep
	for first := range s.mu.pins {
		keep = min(keep, first)
	}
	if keep < own {
		s.mu.unneeded[keep] = int64(own-keep) * int64(s.log.BlockBytes())
	}
	pinning := s.mu.pinning > 0
	s.mu.Unlock()
	if pinning {
		return nil
	}
	return s.log.Free(keep)
}

// A keptSegments is the set of segments that a snapshot may read.
type keptSegments map[uint64]struct{}

// pin takes the state that load answers, and keeps from being freed what it may
// read: segments of pages and chunks in its tree, and of chunks that its deltas
// name. What is born later, or was dead already, is not kept.
func (s *space) pin(load func() *state) (*state, keptSegments) {
	p := make(keptSegments)
	s.mu.Lock()
	s.mu.pinning++
	st := load() // under the lock: what is live and dying belongs to this state
	for first, live := range s.mu.live {
		if live > 0 {
			p[first] = struct{}{}
		}
	}
	for first := range s.mu.dying {
		p[first] = struct{}{}
	}
	s.mu.Unlock()
	chunks := st.chunkBlocks()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, block := range chunks {
		p[s.segmentLocked(block)] = struct{}{}
	}
	for first := range p {
		s.mu.pins[first]++
	}
	s.mu.pinning--
	return st, p
}

// unpin lets a snapshot's segments go, and says whether that frees any.
func (s *space) unpin(p keptSegments) (frees bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for first := range p {
		if s.mu.pins[first]--; s.mu.pins[first] > 0 {
			continue
		}
		delete(s.mu.pins, first)
		_, unneeded := s.mu.unneeded[first]
		frees = frees || unneeded
	}
	return frees
}

// heldBytes is what the segments take that are kept for snapshots alone.
func (s *space) heldBytes() (sum int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for first, bytes := range s.mu.unneeded {
		if s.mu.pins[first] > 0 {
			sum += bytes
		}
	}
	return sum
}
