package kvstore

import (
	"encoding/binary"
	"testing"

	"kivaloo/kvstore/btree"
	"kivaloo/kvstore/delta"
	"kivaloo/kvstore/item"
	"kivaloo/kvstore/page"
)

// A checkup walks all that a store's tree holds, and compares it with the
// accounts: what is counted and not there leaks, and what is there and not
// counted is freed while it is needed.
type checkup struct {
	t      *testing.T
	db     *DB
	state  *state
	live   map[uint64]int64  // found, by segment
	owners map[uint64]string // key by blob
	chunks map[uint64]int    // chunks by blob
	pairs  [2]int64          // of users, of the system
	links  links
}

// fsck checks a store that nobody writes to, after a checkpoint: accounts and
// counts are right, each blob has one owner and each chunk a blob, links, bodies and
// names belong together, all of it can be read, and nothing is held or left to free.
func fsck(t *testing.T, db *DB) {
	t.Helper()
	for range 2 { // one that failed before is ended first
		if err := db.checkpoint.attempt(); err != nil {
			t.Errorf("checkpoint: %v", err)
			return
		}
	}
	db.checkpoint.running.Lock()
	defer db.checkpoint.running.Unlock()
	c := &checkup{
		t: t, db: db, state: db.state.Load(),
		live: map[uint64]int64{}, owners: map[uint64]string{}, chunks: map[uint64]int{},
		links: newLinks(),
	}
	c.walkPages()
	c.walkPairs()
	c.compareBlobs()
	c.links.compare(t)
	c.compareRoot()
	c.compareSegments()
}

func (c *checkup) walkPages() {
	err := btree.Check(c.db.cache, c.state.tree, func(ref page.Ref, level int, p *page.Page, err error) error {
		c.found(ref)
		return err
	})
	if err != nil {
		c.t.Errorf("the tree: %v", err)
	}
}

func (c *checkup) found(ref page.Ref) {
	c.live[c.db.space.segment(ref.Block)] += int64(page.Padded(int(ref.Bytes)))
}

func (c *checkup) walkPairs() {
	cur := c.state.cursor(c.db.cache)
	ok, err := cur.seek(nil)
	for ; ok && err == nil; ok, err = cur.next() {
		var p pair
		if p, err = cur.pair(true); err == nil {
			c.pair(cur.key(), &p)
		}
	}
	if err != nil {
		c.t.Errorf("walking the pairs: %v", err)
	}
}

func (c *checkup) pair(key []byte, p *pair) {
	if key[0] == userSpace {
		c.pairs[0]++
	} else {
		c.pairs[1]++
	}
	if isChunkKey(key[0], key[1:]) {
		ref, err := item.Ref(p.value)
		if err != nil {
			c.t.Errorf("reference at %q: %v", key, err)
		}
		c.found(ref)
		c.chunks[binary.BigEndian.Uint64(key[2:])]++
		return
	}
	c.links.add(c.t, key, p)
	if p.flags&delta.Blob != 0 {
		c.blob(key, p)
	}
}

func (c *checkup) blob(key []byte, p *pair) {
	b, err := item.DecodeBlob(p.value)
	if err != nil {
		c.t.Errorf("blob of %q: %v", key, err)
		return
	}
	if owner, ok := c.owners[b.ID]; ok {
		c.t.Errorf("blob %d belongs to %q and to %q", b.ID, owner, key)
	}
	c.owners[b.ID] = string(key)
	_, err = readValue(p, 0, -1, func(b *item.Blob, n uint32) ([]byte, error) { return c.db.chunkOf(c.state, b, n, nil) })
	if err != nil {
		c.t.Errorf("value of %q: %v", key, err)
	}
}

func (c *checkup) compareBlobs() {
	for id, n := range c.chunks {
		if _, ok := c.owners[id]; !ok {
			c.t.Errorf("%d chunks of blob %d have no owner", n, id)
		}
	}
}

func (c *checkup) compareRoot() {
	r := &c.db.checkpoint.root
	if r.UserPairs != c.pairs[0] || r.SystemPairs != c.pairs[1] {
		c.t.Errorf("the ROOT counts %d and %d pairs, there are %d and %d", r.UserPairs, r.SystemPairs, c.pairs[0], c.pairs[1])
	}
	if n := int64(len(c.links.leads)); r.Links != n || c.db.treeLinks.Load() != n {
		c.t.Errorf("the ROOT counts %d links, the store %d, there are %d", r.Links, c.db.treeLinks.Load(), n)
	}
	if len(r.Free) > 0 {
		c.t.Errorf("%d ranges are still to be freed", len(r.Free))
	}
}

func (c *checkup) compareSegments() {
	for _, g := range c.db.space.accounts() {
		if c.live[g.First] != g.Live {
			c.t.Errorf("segment %d: %d live bytes by the accounts, %d found", g.First, g.Live, c.live[g.First])
		}
		delete(c.live, g.First)
	}
	for first, n := range c.live {
		c.t.Errorf("segment %d: %d live bytes are in no account", first, n)
	}
	s := c.db.space
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.held) > 0 {
		c.t.Errorf("segments are held: %v", s.mu.held)
	}
}
