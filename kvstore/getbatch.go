package kvstore

import (
	"context"
	"sync"

	"kivaloo/kvstore/btree"
	"kivaloo/kvstore/kv"
)

// getBatchMax is how many pairs are looked up side by side. More gains nothing:
// their way down the tree is overlapped in smaller groups (btree.GetBatch).
const getBatchMax = 64

// GetBatch is Get for many requests: pairs and errs, as long as reqs, take the
// answers. Each sees a state that was the newest at some moment of the call. It
// allocates nothing where pages are in memory, and takes less time for each than
// Get, since the waiting for memory overlaps.
func (db *DB) GetBatch(ctx context.Context, reqs []kv.GetRequest, pairs []kv.Pair, errs []error) {
	l := lookupsPool.Get().(*lookups)
	defer lookupsPool.Put(l)
	for at := 0; at < len(reqs); at += getBatchMax {
		end := min(at+getBatchMax, len(reqs))
		l.run(ctx, db, reqs[at:end], pairs[at:end], errs[at:end])
	}
	clear(l.hits[:]) // pages are not kept for the sake of a pool
}

// lookups are keys on their way to the tree; the deltas do not have them.
type lookups struct {
	keys  [getBatchMax][]byte
	which [getBatchMax]int // request of each
	hits  [getBatchMax]btree.Hit
	bytes []byte // of the keys
}

var lookupsPool = sync.Pool{New: func() any { return new(lookups) }}

// run answers at most getBatchMax requests.
func (l *lookups) run(ctx context.Context, db *DB, reqs []kv.GetRequest, pairs []kv.Pair, errs []error) {
	n := 0
	l.bytes = l.bytes[:0]
	s, closed := db.state.Load(), db.closed.Load()
	for i := range reqs {
		if !closed && l.toTree(s, &reqs[i], n) {
			l.which[n] = i
			n++
			continue
		}
		pairs[i], errs[i] = db.Get(ctx, reqs[i])
	}
	btree.GetBatch(db.cache, s.tree, l.keys[:n], l.hits[:n])
	for j := range n {
		i := l.which[j]
		pairs[i], errs[i] = db.answerHit(ctx, s, &reqs[i], &l.hits[j])
	}
}

// toTree says whether a request is for the tree alone to answer, as most are, and
// makes its internal key.
func (l *lookups) toTree(s *state, req *kv.GetRequest, n int) bool {
	if len(req.Key) > kv.KeyBytesMax || req.Space > kv.Root || req.Offset != 0 || req.Length < 0 {
		return false
	}
	from := len(l.bytes)
	l.bytes = appendKey(l.bytes, req.Space, req.Key)
	l.keys[n] = l.bytes[from:len(l.bytes):len(l.bytes)]
	e, _, covered := s.inDeltas(l.keys[n], 0)
	return e == nil && !covered
}

// answerHit answers a request with what the tree has. What went wrong is tried
// again by Get, which knows what to do about a page that has gone meanwhile.
func (db *DB) answerHit(ctx context.Context, s *state, req *kv.GetRequest, h *btree.Hit) (kv.Pair, error) {
	switch {
	case h.Err != nil:
		return db.Get(ctx, *req)
	case h.Page == nil:
		return kv.Pair{}, kv.ErrNotFound
	}
	p := treePair(h.Page, h.Index, req.Want&kv.WantStamps != 0)
	out, err := db.pairFrom(s, &p, req)
	if err != nil {
		return db.Get(ctx, *req)
	}
	return out, nil
}
