package kvstore

import (
	"errors"
	"sync"
	"sync/atomic"

	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
	"kivaloo/kvstore/page"
	"kivaloo/lbs"
)

// A cache keeps pages and chunks that were read and found right. What lies at a
// place never changes and no place is used twice, so nothing in it is ever stale.
// It is bounded by bytes, evicts by the clock algorithm, and reads each item once
// however many ask for it. What is in it is found without a lock. Safe for
// concurrent use.
type cache struct {
	log    lbs.Store
	shards [cacheShards]cacheShard
	reads  atomic.Uint64 // items read from the log
}

const (
	cacheShards = 16 // enough that two cores seldom meet

	// slotBytes is about what a page takes beside its bytes.
	slotBytes = 256
	// bucketBytes is the cache's size for each bucket: a typical page.
	bucketBytes = 4096
)

type cacheKey struct {
	block  uint64
	offset uint32
}

// A cacheShard is a hash table of chains. Readers follow the chains without the
// lock: a slot that is taken out still leads to those behind it.
type cacheShard struct {
	buckets  []atomic.Pointer[slot]
	bytesMax int64

	mu struct {
		sync.Mutex // held neither while reading nor while checking
		ring       []*slot
		hand       int
		bytes      int64
	}
}

// A slot holds one item. loaded is closed by who reads it, after which page, chunk
// and err do not change; ready spares those who come later the channel's lock.
type slot struct {
	key    cacheKey
	ref    page.Ref
	next   atomic.Pointer[slot] // in its bucket
	ready  atomic.Bool
	loaded chan struct{}
	page   *page.Page
	chunk  []byte
	err    error
	bytes  int64
	used   atomic.Bool
	at     int // in the ring, or nowhere; guarded by the shard's mu
}

// nowhere is the place of a slot that has been removed.
const nowhere = -1

func newCache(log lbs.Store, bytes int64) *cache {
	c := &cache{log: log}
	for i := range c.shards {
		c.shards[i].bytesMax = bytes / cacheShards
		c.shards[i].buckets = make([]atomic.Pointer[slot], max(16, bytes/cacheShards/bucketBytes))
	}
	return c
}

func (k cacheKey) hash() uint64 {
	h := (k.block*0x9e3779b97f4a7c15 + uint64(k.offset)) * 0x9e3779b97f4a7c15
	return h ^ h>>32
}

func (c *cache) shard(k cacheKey) *cacheShard { return &c.shards[k.hash()%cacheShards] }

func (sh *cacheShard) bucket(k cacheKey) *atomic.Pointer[slot] {
	return &sh.buckets[k.hash()/cacheShards%uint64(len(sh.buckets))]
}

// find answers the slot of a key, or nil. It takes no lock.
func (sh *cacheShard) find(k cacheKey) *slot {
	s := sh.bucket(k).Load()
	for s != nil && s.key != k {
		s = s.next.Load()
	}
	return s
}

// Page implements btree.Source.
func (c *cache) Page(ref page.Ref, level int) (*page.Page, error) {
	s, err := c.get(ref, func(s *slot, raw []byte) (err error) {
		s.page, err = page.Open(raw, ref, level)
		return err
	})
	if err != nil {
		return nil, corrupt("page", ref, err)
	}
	if s.page == nil || s.page.Level() != level {
		return nil, &kv.CorruptError{What: "page", Block: ref.Block, Offset: int(ref.Offset),
			Reason: "something else than a page of that level lies there"}
	}
	return s.page, nil
}

// chunk answers a chunk's data.
func (c *cache) chunk(ref page.Ref, blob uint64, number uint32) ([]byte, error) {
	s, err := c.get(ref, func(s *slot, raw []byte) (err error) {
		s.chunk, err = item.Chunk(raw, ref, blob, number)
		return err
	})
	if err != nil {
		return nil, corrupt("chunk", ref, err)
	}
	if s.page != nil {
		return nil, &kv.CorruptError{What: "chunk", Block: ref.Block, Offset: int(ref.Offset), Reason: "a page lies there"}
	}
	return s.chunk, nil
}

// corrupt says which bytes are wrong; what could not be read at all stays what it
// was.
func corrupt(what string, ref page.Ref, err error) error {
	var known *kv.CorruptError
	if errors.As(err, &known) || !(errors.Is(err, item.ErrBad) || isDamage(err)) {
		return err
	}
	return &kv.CorruptError{What: what, Block: ref.Block, Offset: int(ref.Offset), Reason: err.Error()}
}

// get answers the slot of an item, reading and opening it where it is missing.
func (c *cache) get(ref page.Ref, open func(s *slot, raw []byte) error) (*slot, error) {
	key := cacheKey{ref.Block, ref.Offset}
	sh := c.shard(key)
	s := sh.find(key)
	if s == nil {
		added := &slot{key: key, ref: ref, loaded: make(chan struct{}), bytes: int64(ref.Bytes) + slotBytes}
		if s = sh.addUnlessThere(added); s == added {
			return c.loadInto(sh, s, ref, open)
		}
	}
	if s.ref != ref {
		// Two references to one place: at most one is right, and its bytes tell.
		s = &slot{loaded: make(chan struct{})}
		c.load(s, ref, open)
		return s, s.err
	}
	if !s.ready.Load() {
		<-s.loaded
	}
	if !s.used.Load() {
		s.used.Store(true)
	}
	return s, s.err
}

// loadInto reads an item into a slot that others wait for already.
func (c *cache) loadInto(sh *cacheShard, s *slot, ref page.Ref, open func(s *slot, raw []byte) error) (*slot, error) {
	c.load(s, ref, open)
	if s.err != nil {
		sh.mu.Lock()
		sh.remove(s)
		sh.mu.Unlock()
	}
	return s, s.err
}

func (c *cache) load(s *slot, ref page.Ref, open func(s *slot, raw []byte) error) {
	defer func() {
		s.ready.Store(true)
		close(s.loaded)
	}()
	c.reads.Add(1)
	raw := make([]byte, ref.Bytes)
	if s.err = c.log.ReadAt(raw, ref.Block, int(ref.Offset)); s.err == nil {
		s.err = open(s, raw)
	}
}

// addUnlessThere takes a slot in, or answers the one that has its key.
func (sh *cacheShard) addUnlessThere(s *slot) *slot {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if there := sh.find(s.key); there != nil {
		return there
	}
	sh.mu.bytes += s.bytes
	for sh.mu.bytes > sh.bytesMax && len(sh.mu.ring) > 0 {
		sh.evict()
	}
	bucket := sh.bucket(s.key)
	s.next.Store(bucket.Load())
	bucket.Store(s)
	s.at = len(sh.mu.ring)
	sh.mu.ring = append(sh.mu.ring, s)
	return s
}

// drop forgets a page or chunk that the newest tree does not use any more. Readers
// of older states, who are few, read it again from the log.
func (c *cache) drop(p page.Place) {
	key := cacheKey{p.Block, p.Offset}
	sh := c.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s := sh.find(key); s != nil {
		sh.remove(s)
	}
}

// evict moves the clock's hand to a slot not used since it last came by.
func (sh *cacheShard) evict() {
	for {
		if sh.mu.hand >= len(sh.mu.ring) {
			sh.mu.hand = 0
		}
		s := sh.mu.ring[sh.mu.hand]
		if s.used.Load() {
			s.used.Store(false)
			sh.mu.hand++
			continue
		}
		sh.remove(s)
		sh.mu.hand++ // what has come to this place is the newest: its turn is last
		return
	}
}

// remove forgets a slot, if that has not happened yet. The ring's last slot takes
// its place there: a ring that kept what is gone would keep its pages in memory.
func (sh *cacheShard) remove(s *slot) {
	if s.at == nowhere {
		return
	}
	last := len(sh.mu.ring) - 1
	sh.mu.ring[s.at] = sh.mu.ring[last]
	sh.mu.ring[s.at].at = s.at
	sh.mu.ring[last] = nil
	sh.mu.ring = sh.mu.ring[:last]
	s.at = nowhere
	link := sh.bucket(s.key)
	for link.Load() != s {
		link = &link.Load().next
	}
	link.Store(s.next.Load())
	sh.mu.bytes -= s.bytes
}

// insert takes in a page that has just been written.
func (c *cache) insert(p page.Place, data []byte) {
	ref := page.Ref{Place: p, CRC: page.CRC(data)}
	ref.Bytes = uint32(page.Padded(len(data)))
	s := &slot{key: cacheKey{p.Block, p.Offset}, ref: ref, page: page.Sealed(data), bytes: int64(ref.Bytes) + slotBytes}
	s.loaded = alreadyLoaded
	s.ready.Store(true)
	c.shard(s.key).addUnlessThere(s)
}

// alreadyLoaded is the closed channel of slots that are born loaded.
var alreadyLoaded = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
