package kvstore

import (
	"bytes"
	"cmp"
	"errors"
	"slices"

	"kivaloo/kvstore/btree"
	"kivaloo/kvstore/delta"
	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
	"kivaloo/kvstore/page"
	"kivaloo/lbs"
)

// A cleaning moves what is live in mostly dead segments, so that a checkpoint
// leaves them dead: pages are written again where they are touched, chunks are
// copied as they are.
type cleaning struct {
	tree    *state // what is asked whether a chunk is live
	touches []btree.Touch
	chunks  []chunkMove
	copies  [][]byte // the chunks that have not been appended yet: the last ones
	bytes   int      // of those
}

// A chunkMove is a chunk that has been copied.
type chunkMove struct {
	key      []byte
	from, to page.Ref
}

// planCleaning picks segments, and copies their live chunks.
func (c *checkpointer) planCleaning() (*cleaning, error) {
	cl := &cleaning{tree: c.db.state.Load()}
	if c.db.space.segmented == nil {
		return cl, nil
	}
	most := max(cleanBytes, c.appendedSincePlan())
	for _, g := range c.db.space.victims(c.root.Redo, most) {
		err := c.cleanSegment(cl, g)
		if errors.Is(err, kv.ErrCorrupt) {
			c.spoil(g, err)
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	if err := c.copyChunks(cl); err != nil {
		return nil, err
	}
	cl.sort()
	return cl, nil
}

func (cl *cleaning) sort() {
	slices.SortFunc(cl.touches, func(a, b btree.Touch) int {
		return cmp.Or(bytes.Compare(a.Key, b.Key), cmp.Compare(a.Level, b.Level))
	})
}

// cleanBetween cleans between two steps of a checkpoint, if the log has come to take
// more than it may. A merge of changes all over the tree leaves a few live pages in
// each of the old segments; to wait for its end would take twice the space.
func (c *checkpointer) cleanBetween() error {
	s := c.db.space
	taken, _ := s.taken()
	if s.target == 0 || s.low.Load() || taken < max(s.ceiling(), c.cleaned+s.liveBytes.Load()/cleanAgainShare) {
		return nil
	}
	clean, err := c.planCleaning()
	if err != nil {
		c.db.logger.Debug("nothing is cleaned between two steps", "cause", err)
		return nil
	}
	if len(clean.touches)+len(clean.chunks) > 0 {
		err = c.mergeCleaning(clean)
	}
	c.cleaned, _ = s.taken()
	return err
}

// cleanAgainShare: the log is not cleaned again before it has grown by this part of
// what is live; it may be that nothing more can be done.
const cleanAgainShare = 8

// mergeCleaning merges nothing but what the cleaning moves. A checkpoint that is
// under way goes on afterwards where it was.
func (c *checkpointer) mergeCleaning(clean *cleaning) error {
	end := phases[len(phases)-1]
	for from := []byte{}; from != nil; {
		m := &merge{db: c.db, free: slices.Clone(c.root.Free), kept: c.kept}
		d := new(delta.Delta)
		m.moved = clean.moveChunks(d, c.root.Stamp)
		tree, next, err := c.merge(m, newChanges(d, from, end), from, clean.before(end), c.stepBytes())
		if err != nil {
			return err
		}
		if err := c.writeRoot(m, c.nextRoot(m, tree, false)); err != nil {
			return err
		}
		if err := c.conclude(m, tree, false); err != nil {
			return err
		}
		from = next
	}
	return nil
}

// appendedSincePlan is how much has been appended since this was last asked.
func (c *checkpointer) appendedSincePlan() int64 {
	next := c.db.log.Next()
	n := int64(next-c.planned) * int64(c.db.blockBytes)
	c.planned = next
	return n
}

// spoil leaves a segment that is damaged out from now on: it keeps its room, and
// merging goes on.
func (c *checkpointer) spoil(g lbs.Segment, err error) {
	s := c.db.space
	s.mu.Lock()
	s.mu.spoiled[g.First] = struct{}{}
	s.mu.Unlock()
	c.db.logger.Error("a segment cannot be cleaned", "first", g.First, "blocks", g.Blocks, "error", err)
}

// cleanSegment finds the items of a segment, append by append from its end.
func (c *checkpointer) cleanSegment(cl *cleaning, g lbs.Segment) error {
	r := &recovery{db: c.db}
	for last := g.First + g.Blocks - 1; ; {
		t, err := r.readTrailer(last)
		if err != nil {
			return err
		}
		if err := c.cleanAppend(cl, t); err != nil {
			return err
		}
		if t.First <= g.First || t.Previous == lbs.NoBlock || t.Previous < g.First {
			return nil
		}
		last = t.Previous
	}
}

// cleanAppend looks at each item of an append.
func (c *checkpointer) cleanAppend(cl *cleaning, t *item.Trailer) error {
	b := make([]byte, t.Bytes-item.TrailerBytes)
	if err := c.db.log.ReadAt(b, t.First, 0); err != nil {
		return err
	}
	for at := 0; at+item.Step <= len(b); {
		n := item.Length(b[at:])
		if n == 0 {
			at = item.Align(at+1, c.db.blockBytes) // padding
			continue
		}
		place := page.Place{Block: t.First + uint64(at/c.db.blockBytes), Offset: uint32(at % c.db.blockBytes), Bytes: uint32(n)}
		if err := c.cleanItem(cl, b[at:at+n], place); err != nil {
			return err
		}
		at = item.Align(at+n, c.db.blockBytes)
	}
	return nil
}

// cleanItem moves one item, if it is a page or chunk that is still in use.
func (c *checkpointer) cleanItem(cl *cleaning, b []byte, place page.Place) error {
	ref := page.Ref{Place: place, CRC: item.StoredCRC(b)}
	if item.IsPage(b) {
		ref.Bytes = uint32(page.Padded(len(b)))
		p, err := page.Open(append(bytes.Clone(b), make([]byte, int(ref.Bytes)-len(b))...), ref, int(b[13]))
		if err != nil {
			return nil // whoever reads it will say so; here it is only not moved
		}
		cl.touches = append(cl.touches, btree.Touch{Key: p.Lower(), Level: p.Level(), Place: ref.Place})
		return nil
	}
	blob, number, ok := item.ChunkName(b)
	if !ok {
		return nil
	}
	key := appendChunkKey(nil, blob, number)
	p, found, err := cl.tree.get(c.db.cache, key, false)
	if err != nil || !found || !bytes.Equal(p.value, item.AppendRef(nil, ref)) {
		return err
	}
	if cl.bytes+len(b) > c.db.space.appendBytes(jobBytesMax) {
		if err := c.copyChunks(cl); err != nil {
			return err
		}
	}
	cl.chunks = append(cl.chunks, chunkMove{key: key, from: ref})
	cl.copies = append(cl.copies, b)
	cl.bytes += len(b)
	return nil
}

// copyChunks appends the chunks that have come together: small ones share blocks.
func (c *checkpointer) copyChunks(cl *cleaning) error {
	if len(cl.copies) == 0 {
		return nil
	}
	places, err := c.db.append(cl.copies)
	if err != nil {
		return err
	}
	moves := cl.chunks[len(cl.chunks)-len(places):]
	for i, p := range places {
		moves[i].to = page.Ref{Place: p, CRC: moves[i].from.CRC}
	}
	cl.copies, cl.bytes = nil, 0
	return nil
}

// before answers the touches of pages that begin below end.
func (cl *cleaning) before(end []byte) []btree.Touch {
	n, _ := slices.BinarySearchFunc(cl.touches, end, func(t btree.Touch, end []byte) int {
		return bytes.Compare(t.Key, end)
	})
	return cl.touches[:n]
}

// touchesFrom says that a page is touched that begins at a key or above.
func (cl *cleaning) touchesFrom(from []byte) bool {
	return len(cl.before(from)) < len(cl.touches)
}

// moveChunks adds the copies to the changes of the system keyspace, but for chunks
// that the delta has replaced or dropped in the meantime.
func (cl *cleaning) moveChunks(d *delta.Delta, stamp uint64) (from map[string][]byte) {
	from = make(map[string][]byte)
	for _, m := range cl.chunks {
		if d.Get(m.key) != nil || d.Covering(m.key) != nil {
			continue
		}
		from[string(m.key)] = item.AppendRef(nil, m.from)
		d.Put(&delta.Entry{
			Key: m.key, Value: item.AppendRef(nil, m.to), Flags: delta.Fresh,
			Birth: stamp, Modified: stamp, Version: stamp,
		})
	}
	return from
}
