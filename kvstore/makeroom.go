package kvstore

import (
	"errors"

	"kivaloo/kvstore/btree"
	"kivaloo/kvstore/delta"
	"kivaloo/kvstore/kv"
	"kivaloo/lbs"
)

// A segment is cleaned on a disk that is low if that gains at least this part of
// it.
const gainShare = 16

// What moving so many live bytes costs beside them.
const (
	endsShare = 8 // the ends of blocks and of appends
	// innerShare of the tree, or less, is inner pages above what is moved.
	innerShare = 128
	// onceBytes is what moving anything at all costs: a ROOT, the append that proves
	// it, and the ends of three levels of pages.
	onceBytes = 32 << 10
)

func (s *space) movingCost(live int64) int64 {
	return live + live/endsShare + min(live, s.liveBytes.Load()/innerShare) + onceBytes
}

// makeRoom cleans segments on a disk that is low, each in steps of its own, until
// there is room for so many eighths of a segment, or no segment is worth it.
func (c *checkpointer) makeRoom(eighths int64) error {
	s := c.db.space
	if _, low := s.lowSpace(); !low {
		return nil
	}
	if err := c.free(); err != nil {
		return err
	}
	tried := make(map[uint64]bool)
	for {
		u, low := s.lowSpace()
		if !low || s.room(&u) >= parts(&u, eighths) {
			return nil
		}
		g, ok := s.victim(c.root.Redo, s.room(&u), tried)
		if !ok {
			return nil
		}
		tried[g.First] = true
		c.settled.Store(false)
		err := c.cleanOut(g)
		if errors.Is(err, kv.ErrCorrupt) {
			c.spoil(g, err)
		} else if err != nil {
			return err
		}
	}
}

// victim is the segment that gains most when it is cleaned, with no more than the
// given room.
func (s *space) victim(redo uint64, room int64, tried map[uint64]bool) (best lbs.Segment, ok bool) {
	segments := s.segmented.Segments()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.pinning > 0 {
		return best, false // nothing is freed while a snapshot finds out what it needs
	}
	most := int64(0)
	for i, g := range segments {
		live := s.mu.live[g.First]
		_, spoiled := s.mu.spoiled[g.First]
		old := i+1 < len(segments) && segments[i+1].First <= redo
		if !old || live <= 0 || s.mu.held[g.First] > 0 || s.mu.pins[g.First] > 0 || spoiled || tried[g.First] {
			continue
		}
		cost := s.movingCost(live)
		if gain := g.Bytes - cost; cost <= room && gain >= g.Bytes/gainShare && gain > most {
			best, most, ok = g, gain, true
		}
	}
	return best, ok
}

// cleanOut moves all that is live out of a segment in one step, and frees it. What is merged of
// a frozen delta, and what is not, stays as it is: chunks are moved in the tree
// alone, also such as the delta is about to drop.
func (c *checkpointer) cleanOut(g lbs.Segment) error {
	tree := btree.Tree{Root: c.root.Tree, Height: c.root.Height}
	cl := &cleaning{tree: &state{active: new(delta.Delta), tree: tree}}
	if err := c.cleanSegment(cl, g); err != nil {
		return err
	}
	if err := c.copyChunks(cl); err != nil {
		return err
	}
	cl.sort()
	return c.move(cl)
}

// move has the tree lead to where things are moved, in one step: the room for it
// was looked at before.
func (c *checkpointer) move(cl *cleaning) error {
	m := &merge{db: c.db, free: c.root.Free, kept: c.kept}
	d, from := new(delta.Delta), []byte{}
	m.moved = cl.moveChunks(d, c.root.Stamp)
	tree, _, err := c.merge(m, newChanges(d, from, phases[len(phases)-1]), from, cl.touches, 0)
	if err != nil {
		return err
	}
	root := c.nextRoot(m, tree, false)
	if root.Redo, err = c.needed(); err != nil {
		return err
	}
	if err := c.writeRoot(m, root); err != nil {
		return err
	}
	return c.conclude(m, tree, false)
}

// needed is the redo point of a ROOT that merges nothing: all that is merged may
// lie before it. Else what is moved now could not be moved, or freed, again.
func (c *checkpointer) needed() (redo uint64, err error) {
	if c.frozen != nil {
		return c.root.Redo, nil
	}
	err = c.db.queue.soon(func(w *writer) { redo = w.needed() })
	return max(redo, c.root.Redo), err
}
