package kvstore

import (
	"bytes"
	"cmp"
	"fmt"

	"kivaloo/kvstore/btree"
	"kivaloo/kvstore/delta"
	"kivaloo/kvstore/item"
	"kivaloo/kvstore/page"
)

// A merge is one step of a checkpoint: it decides what becomes of each pair, and
// collects what the accounts will say once the step's ROOT is durable.
type merge struct {
	db *DB
	// free collects the chunks of blobs whose pairs are dropped; kept are the
	// blobs that puts of the delta have.
	free []item.KeyRange
	kept func(blob uint64) bool
	// moved are the references of chunks that the cleaning has copied, by key, as
	// they must be still for the copy to count.
	moved map[string][]byte

	born []page.Place // pages and chunks that come to life
	died []page.Place

	userPairs, systemPairs, links int64
}

// Write implements btree.Sink: the pages ride behind commits. All are queued before
// the first is waited for, so that none misses the next append.
func (m *merge) Write(pages [][]byte) ([]page.Place, error) {
	var jobs []*appendJob
	most := m.db.space.appendBytes(jobBytesMax)
	for rest := pages; len(rest) > 0; {
		n, bytes := 0, 0
		for n < len(rest) && (n == 0 || bytes+len(rest[n]) <= most) {
			bytes += len(rest[n])
			n++
		}
		jobs = append(jobs, m.db.submit(&appendJob{items: rest[:n]}))
		rest = rest[n:]
	}
	var places []page.Place
	var failed error
	for _, j := range jobs {
		at, err := j.wait()
		failed = cmp.Or(failed, err)
		places = append(places, at...)
	}
	if failed != nil {
		return nil, failed
	}
	for i, p := range places {
		m.db.cache.insert(p, pages[i])
		places[i].Bytes = uint32(page.Padded(len(pages[i])))
		m.born = append(m.born, places[i])
	}
	return places, nil
}

// dead implements btree.Options.Dead.
func (m *merge) dead(ref page.Ref) { m.died = append(m.died, ref.Place) }

// resolve implements btree.Resolve.
func (m *merge) resolve(old page.Entry, hasOld bool, change *btree.Change) (page.Entry, bool, error) {
	e := change.Payload.(*delta.Entry)
	if e.Has(delta.Deleted) {
		return page.Entry{}, false, m.drop(&old, hasOld)
	}
	if from, ok := m.moved[string(change.Key)]; ok && (!hasOld || !bytes.Equal(old.Value, from)) {
		return old, hasOld, nil
	}
	out := page.Entry{
		Value: e.Value, Meta: e.Meta, Flags: page.Flags(e.Flags & delta.PairFlags),
		Birth: e.Birth, Modified: e.Modified, Version: e.Version,
	}
	if hasOld && !e.Has(delta.Fresh) {
		out.Birth = old.Birth
		if !e.Has(delta.HasMeta) {
			out.Meta = old.Meta
		}
	}
	if hasOld && old.Flags&page.Blob != 0 && !(e.Has(delta.Blob) && sameBlob(old.Value, e.Value)) {
		m.freeBlob(&old)
	}
	if isChunkKey(change.Key[0], change.Key[1:]) {
		if err := m.replaceChunk(&old, hasOld, e.Value); err != nil {
			return page.Entry{}, false, err
		}
	}
	m.countPair(change.Key[0], out.Flags, 1)
	if hasOld {
		m.countPair(change.Key[0], old.Flags, -1)
	}
	return out, true, nil
}

// drop accounts for a pair that is deleted.
func (m *merge) drop(old *page.Entry, hasOld bool) error {
	if !hasOld {
		return nil
	}
	m.countPair(old.Space, old.Flags, -1)
	if old.Flags&page.Blob != 0 {
		m.freeBlob(old)
	}
	if isChunkKey(old.Space, old.Key) {
		return m.replaceChunk(old, true, nil)
	}
	return nil
}

// freeBlob notes that the chunks of a dropped pair are to go, unless a put of the
// delta has them: then the pair was moved. That is asked of the blob and not of
// the pair's own history, because after a crash the tree may hold the pair where
// an earlier attempt at this checkpoint has left it, on the way to where it is now.
func (m *merge) freeBlob(old *page.Entry) {
	if b, err := blobOf(old.Value); err == nil && !m.kept(b.ID) {
		start, end := chunkRange(b.ID, 0)
		m.free = append(m.free, item.KeyRange{Start: start, End: end})
	}
}

// replaceChunk accounts for a chunk that is named by another place, or by none.
func (m *merge) replaceChunk(old *page.Entry, hasOld bool, value []byte) error {
	var from, to page.Ref
	var err error
	if hasOld {
		if from, err = item.Ref(old.Value); err != nil {
			return fmt.Errorf("chunk's reference: %w", err)
		}
	}
	if value != nil {
		if to, err = item.Ref(value); err != nil {
			return fmt.Errorf("chunk's reference: %w", err)
		}
	}
	if from == to {
		return nil
	}
	if hasOld {
		m.died = append(m.died, from.Place)
	}
	if value != nil {
		m.born = append(m.born, to.Place)
	}
	return nil
}

func (m *merge) countPair(space byte, flags page.Flags, n int64) {
	if space == userSpace {
		m.userPairs += n
	} else {
		m.systemPairs += n
	}
	if flags&page.Link != 0 {
		m.links += n
	}
}

// blobsOf answers the set of blobs that the puts of a delta have, made when it is
// first asked: most deltas drop none.
func blobsOf(d *delta.Delta) func(blob uint64) bool {
	var blobs map[uint64]struct{}
	return func(blob uint64) bool {
		if blobs == nil {
			blobs = make(map[uint64]struct{})
			it := d.Iterator()
			for ok := it.Seek(nil); ok; ok = it.Next() {
				if e := it.Entry(); e.Has(delta.Blob) {
					if b, err := blobOf(e.Value); err == nil {
						blobs[b.ID] = struct{}{}
					}
				}
			}
		}
		_, ok := blobs[blob]
		return ok
	}
}
