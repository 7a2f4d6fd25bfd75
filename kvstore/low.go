package kvstore

import (
	"fmt"

	"kivaloo/kvstore/kv"
	"kivaloo/lbs"
)

// What is done on a disk that is low. Deleting frees nothing until it is merged,
// and merging frees little until something is cleaned, so both live on the reserve
// of two segments until then. DESIGN.md ("Full disks") says why what is left always
// suffices. All figures are parts of a segment, the block store's grain.
const (
	// lowShare of a segment is how much a deletion or a step of a checkpoint appends
	// at once, and with it what the end of a segment can waste.
	lowShare = 8
	// lowBytesMin is the least of it: on small disks appends have a few pages each.
	lowBytesMin = 32 << 10

	// Of the room for deletions and the checkpoint, counted without what segment ends
	// may waste, the reserve makes one and three quarters of a segment. In eighths of
	// a segment:
	roomForDeleting = 11 // below, deletions wait for the checkpoint
	roomForMerging  = 10 // below, the checkpoint cleans before it merges on
	roomAfterwards  = 14 // up to here, a checkpoint ends with cleaning
	roomForGrowing  = 24 // and up to here, if there was no room for somebody to write

	// boundShare of what is left to deletions is the log bound: merging takes as much
	// as what is merged, and often more.
	boundShare = 2
	// roomToKeep is what a step of a checkpoint leaves, if it can: to clean a segment.
	roomToKeep = 8
	// stepShare of the room is what it writes otherwise, at least.
	stepShare = 8

	// A store may have live data in no more than half of the disk, and in two thirds
	// of what is left without so many segments: the reserve, the last segment, those
	// that hold what is being merged. Then some segment is always empty enough to be
	// cleaned.
	tightShare    = 2
	tightSegments = 5
)

// waitsMax is how many checkpoints one who finds no room waits for, as long as they
// may free something: the first may do no more than move the redo point, and what
// the next frees may go to somebody else.
const waitsMax = 4

// lowBytes is lowShare of a segment.
func (s *space) lowBytes(u *lbs.Space) int64 {
	return min(max(u.Segment/lowShare, lowBytesMin, 2*int64(s.log.BlockBytes())), jobBytesMax)
}

// room is how much deletions and the checkpoint may append, at least, before the
// block store has no room for more.
func (s *space) room(u *lbs.Space) int64 {
	if u.Segment <= 0 {
		return u.Spare + u.Free
	}
	waste := s.lowBytes(u) + segmentHeaderBytes
	whole := u.Spare + u.Free/u.Segment*u.Segment
	if whole < u.Segment {
		whole = u.Spare + u.Free // in a short segment
	}
	segments := (whole + u.Segment - 1) / u.Segment
	return max(0, whole-segments*waste) + max(0, u.Tail-waste)
}

// segmentHeaderBytes is about what a segment takes for itself.
const segmentHeaderBytes = 4096

// parts is so many eighths of a segment.
func parts(u *lbs.Space, eighths int64) int64 { return u.Segment / 8 * eighths }

// lowSpace is what the block store has, if the disk is low.
func (s *space) lowSpace() (u lbs.Space, low bool) {
	if s.segmented == nil || !s.low.Load() {
		return u, false
	}
	u, err := s.segmented.Space()
	return u, err == nil
}

// unmerged is how much the checkpoint has to merge.
func (s *space) unmerged() int64 { return s.active.Load() + s.frozen.Load() }

// deletable says that there is room for deletions beside the checkpoint's.
func (s *space) deletable() bool {
	u, low := s.lowSpace()
	return !low || s.room(&u) >= parts(&u, roomForDeleting)
}

// kept says that snapshots keep segments: a checkpoint may free nothing, whatever
// it leaves dead.
func (s *space) kept() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.pins) > 0
}

// appendBytes is how much of at most so many bytes goes into one append: on a disk
// that is low no more than the end of a segment may waste.
func (s *space) appendBytes(most int) int {
	if s.segmented == nil || !s.low.Load() {
		return most
	}
	return int(min(int64(most), s.share.Load()))
}

// stepBytes is how much of at most so many bytes a step of a checkpoint may write.
func (s *space) stepBytes(most int) int {
	u, low := s.lowSpace()
	if !low {
		return most
	}
	r := s.room(&u)
	return int(max(1, min(int64(most), max(r-parts(&u, roomToKeep), r/stepShare))))
}

// look finds out whether the disk is full, or will be before a checkpoint of the
// normal size is done: then deleting and merging go on in small steps. (Waiting for
// the first refusal is too late: what then has come together no longer fits.)
func (s *space) look() {
	s.unlooked.Store(0)
	if s.segmented == nil {
		return
	}
	if u, err := s.segmented.Space(); err == nil {
		s.share.Store(s.lowBytes(&u))
		s.lowBound.Store(max(s.lowBytes(&u), (s.room(&u)-parts(&u, roomForDeleting))/boundShare))
		low := u.Free+u.Spare-u.Reserve < 2*s.usualBound()+u.Reserve
		s.low.Store(low)
		s.tight.Store(low && s.needed(&u) > most(&u))
	}
}

// most is how many bytes may be live on this disk.
func most(u *lbs.Space) int64 {
	all := u.Used + u.Spare + u.Free
	return max(0, min(all/tightShare, (all-tightSegments*u.Segment)/3*2))
}

// needed is what is live or will be: a segment that is held is all needed, as far as
// it is written, and what is not merged yet may be.
func (s *space) needed(u *lbs.Space) int64 {
	segments := s.segmented.Segments()
	sum := s.unmerged()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, g := range segments {
		if s.mu.held[g.First] > 0 {
			sum += g.Bytes
			if i == len(segments)-1 {
				sum -= u.Tail
			}
		} else {
			sum += max(0, s.mu.live[g.First])
		}
	}
	return sum
}

// growth is how much there is for what grows, beside what is set aside for it. (Of
// that some is staged by now: what is held is not counted once more.)
func (s *space) growth(u *lbs.Space) int64 {
	free := u.Free + u.Spare - u.Reserve
	if s.low.Load() {
		free = min(free, most(u)-s.liveBytes.Load()-s.unmerged())
	}
	return max(0, free-s.reserved.Load())
}

// admit refuses what grows while more is live than can be cleaned on this disk.
func (s *space) admit() error {
	if s.tight.Load() {
		s.look() // nothing else would: what is refused is not appended
	}
	if s.tight.Load() {
		s.refused.Store(true)
		return fmt.Errorf("%w: cleaning needs what is left", kv.ErrNoSpace)
	}
	return nil
}
