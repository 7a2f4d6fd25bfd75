package kvstore

import (
	"sync"
	"sync/atomic"

	"kivaloo/kvstore/kv"
	"kivaloo/lbs"
)

// Bounds of the log since the redo point: what a restart has to replay, and what
// the delta holds in memory. It grows with the store, because a checkpoint that
// merges more changes at once writes each page less often.
const (
	logBytesMin  = 4 << 20
	logBytesMax  = 48 << 20 // half a million small changes: opening takes a third of a second
	logLiveShare = 2        // the bound is this part of the live bytes

	// lookBytes are appended between two looks at how full the disk is.
	lookBytes = 128 << 10
)

// space accounts for what lies where in the log.
type space struct {
	log       lbs.Store
	segmented lbs.Segmented // log, or nil if it cannot free segments one by one
	fixed     int64         // log bound given by the options, or 0
	target    float64       // part of the log that cleaning keeps live; 0: no cleaning
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
		// spoiled are segments that cannot be cleaned: something in them is damaged.
		spoiled map[uint64]struct{}
		table   segmentTable
		// dying are segments of what a step has replaced, until its tree is published.
		dying map[uint64]struct{}
		// pins counts, by segment, the snapshots that may read something in it;
		// pinning those that are being taken, and keep everything meanwhile.
		pins    map[uint64]int
		pinning int
		// unneeded are the segments that were found dead but for snapshots, with what
		// they take on the disk.
		unneeded map[uint64]int64
	}
}

func newSpace(log lbs.Store, opts *Options) *space {
	s := &space{log: log, fixed: opts.LogBytes, target: liveTarget(opts.StoragePrice)}
	s.segmented, _ = log.(lbs.Segmented)
	s.share.Store(lowBytesMin)
	s.lowBound.Store(lowBytesMin)
	s.mu.live = make(map[uint64]int64)
	s.mu.held = make(map[uint64]int)
	s.mu.spoiled = make(map[uint64]struct{})
	s.mu.dying = make(map[uint64]struct{})
	s.mu.pins = make(map[uint64]int)
	s.mu.unneeded = make(map[uint64]int64)
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
