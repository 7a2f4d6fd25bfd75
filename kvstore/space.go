package kvstore

import (
	"slices"
	"sync"
	"sync/atomic"

	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
	"kivaloo/kvstore/page"
	"kivaloo/lbs"
)

// Bounds of the log since the redo point: what a restart has to replay, and what
// the delta holds in memory. It grows with the store, because a checkpoint that
// merges more changes at once writes each page less often.
const (
	logBytesMin  = 4 << 20
	logBytesMax  = 64 << 20
	logLiveShare = 8 // the bound is this part of the live bytes

	// lookBytes are appended between two looks at how full the disk is.
	lookBytes = 128 << 10
)

// space accounts for what lies where in the log.
type space struct {
	log       lbs.Store
	segmented lbs.Segmented // log, or nil if it cannot free segments one by one
	fixed     int64         // log bound given by the options, or 0
	active    atomic.Int64  // bytes of commits since the last freeze, padding counted
	frozen    atomic.Int64  // the same between the redo point and that freeze
	liveBytes atomic.Int64  // of all segments together
	reserved  atomic.Int64  // bytes that sessions have set aside
	low       atomic.Bool   // the disk is full, or nearly
	tight     atomic.Bool   // and so much is live that the rest is needed for cleaning
	refused   atomic.Bool   // and something was refused since the last checkpoint
	unlooked  atomic.Int64  // bytes appended since that was found out
	share     atomic.Int64  // on a disk that is low: see lowShare
	lowBound  atomic.Int64  // the log bound then

	mu struct {
		sync.Mutex
		live map[uint64]int64 // live bytes by first block of a segment
		// held counts, by segment, chunks that are staged, or named by a delta that
		// no ROOT covers yet: they are in no tree, but needed.
		held map[uint64]int
		// keepers are the snapshots; while there is one, no segment is freed.
		keepers map[*snapshot]struct{}
		// spoiled are segments that cannot be cleaned: something in them is damaged.
		spoiled map[uint64]struct{}
	}
}

func newSpace(log lbs.Store, fixed int64) *space {
	s := &space{log: log, fixed: fixed}
	s.segmented, _ = log.(lbs.Segmented)
	s.share.Store(lowBytesMin)
	s.lowBound.Store(lowBytesMin)
	s.mu.live = make(map[uint64]int64)
	s.mu.held = make(map[uint64]int)
	s.mu.keepers = make(map[*snapshot]struct{})
	s.mu.spoiled = make(map[uint64]struct{})
	return s
}

// appended counts the bytes of an append, and those of its commits.
func (s *space) appended(bytes, commits int64) {
	s.active.Add(commits)
	if s.unlooked.Add(bytes) > lookBytes {
		s.look()
	}
}

// bound is the log bound now, usualBound what it is while there is room.
func (s *space) bound() int64 {
	if s.low.Load() {
		return min(s.usualBound(), s.lowBound.Load())
	}
	return s.usualBound()
}

func (s *space) usualBound() int64 {
	if s.fixed > 0 {
		return s.fixed
	}
	return min(logBytesMax, max(logBytesMin, s.liveBytes.Load()/logLiveShare))
}

// logFull says that writers must wait for the checkpoint.
func (s *space) logFull() bool { return s.active.Load()+s.frozen.Load() >= s.bound() }

// pressed says that the log is so near to its bound that the checkpoint should
// hurry, even if that makes commits slower.
func (s *space) pressed() bool { return s.active.Load()+s.frozen.Load() >= s.bound()/4*3 }

// wantsCheckpoint says that enough has come together to be merged.
func (s *space) wantsCheckpoint() bool {
	return s.active.Load() >= s.bound()/2
}

// freeze says that what came since the last freeze is being merged; merged that
// it is.
func (s *space) freeze() { s.frozen.Add(s.active.Swap(0)) }
func (s *space) merged() { s.frozen.Store(0) }

// segment is the first block of the segment that holds a block.
func (s *space) segment(block uint64) uint64 {
	if s.segmented == nil {
		return block &^ (pseudoSegmentBlocks - 1)
	}
	segments := s.segmented.Segments()
	i, found := slices.BinarySearchFunc(segments, block, func(g lbs.Segment, b uint64) int {
		switch {
		case g.First < b:
			return -1
		case g.First > b:
			return 1
		}
		return 0
	})
	if !found {
		i--
	}
	if i < 0 {
		return 0
	}
	return segments[i].First
}

// pseudoSegmentBlocks is the grain of accounting over a block store that only
// gives back the beginning of its log.
const pseudoSegmentBlocks = 4096

// count adds n items (1 or -1) of the given place to its segment's live bytes.
func (s *space) count(p page.Place, n int64) {
	first := s.segment(p.Block)
	bytes := n * int64(page.Padded(int(p.Bytes)))
	s.mu.Lock()
	s.mu.live[first] += bytes
	s.mu.Unlock()
	s.liveBytes.Add(bytes)
}

// hold keeps the segment of a chunk that no tree names yet.
func (s *space) hold(p page.Place) uint64 {
	first := s.segment(p.Block)
	s.mu.Lock()
	s.mu.held[first]++
	s.mu.Unlock()
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
		if a.First < b.First {
			return -1
		}
		return 1
	})
	return list
}

// dead answers the segments that nothing needs once a ROOT with this redo point
// is durable and proven: no live bytes, no record to replay, no held chunk, no
// copy of the ROOT, no snapshot.
func (s *space) dead(redo uint64, root item.RootPlace) []uint64 {
	segments := s.segmented.Segments()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.keepers) > 0 {
		return nil
	}
	var dead []uint64
	for i, g := range segments {
		if i == len(segments)-1 || segments[i+1].First > redo {
			break
		}
		inRoot := false
		for _, b := range root.Block {
			inRoot = inRoot || (b >= g.First && b < segments[i+1].First)
		}
		if s.mu.live[g.First] <= 0 && s.mu.held[g.First] == 0 && !inRoot {
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
	kept := len(s.mu.keepers) > 0
	s.mu.Unlock()
	if kept {
		return nil
	}
	return s.log.Free(keep)
}

// reserve sets room aside for a session, or gives it back.
func (s *space) reserve(n int64) error {
	if n > 0 && s.segmented != nil {
		u, err := s.segmented.Space()
		if err != nil {
			return err
		}
		if s.growth(&u) < n {
			return kv.ErrNoSpace
		}
	}
	s.reserved.Add(n)
	return nil
}
