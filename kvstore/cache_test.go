package kvstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand"
	"sync"
	"testing"

	"kivaloo/kvstore/kv"
)

// cachedBytes is what a cache holds, and what it says that it holds.
func cachedBytes(c *cache) (found, counted int64) {
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		counted += sh.mu.bytes
		for b := range sh.buckets {
			for s := sh.buckets[b].Load(); s != nil; s = s.next.Load() {
				found += s.bytes
			}
		}
		sh.mu.Unlock()
	}
	return found, counted
}

// cacheValue is the value of pair i after a number of rounds of changes.
func cacheValue(i, round int) []byte {
	b := bytes.Repeat([]byte{byte(i)}, 100)
	binary.BigEndian.PutUint32(b, uint32(i))
	binary.BigEndian.PutUint32(b[4:], uint32(round))
	return b
}

func putRound(t *testing.T, db *DB, pairs, round int) {
	t.Helper()
	for i := 0; i < pairs; {
		txn := &kv.Txn{}
		for ; i < pairs && len(txn.Effects) < 1000; i++ {
			txn.Effects = append(txn.Effects, kv.Effect{Op: kv.Put, Key: fmt.Appendf(nil, "%08d", i), Value: cacheValue(i, round)})
		}
		if _, err := db.Commit(ctx, txn); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.checkpoint.attempt(); err != nil {
		t.Fatal(err)
	}
}

// Pages that a checkpoint has replaced once stayed in the cache until the clock's
// hand came by, and kept out what is read.
func TestCacheForgetsWhatIsDead(t *testing.T) {
	const pairs = 20000
	db := openDir(t, t.TempDir()+"/store", Options{})
	defer db.Close()
	for round := range 4 {
		putRound(t, db, pairs, round)
	}
	found, counted := cachedBytes(db.cache)
	live := db.space.liveBytes.Load()
	if most := live + live/5; found != counted || found > most {
		t.Errorf("the cache holds %d bytes and counts %d; %d are live", found, counted, live)
	}
}

// With data ten times as large as the cache, everything is found, and the cache
// stays within its bound.
func TestCacheSmallerThanTheData(t *testing.T) {
	const cacheBytes, pairs = 1 << 20, 90000
	db := openDir(t, t.TempDir()+"/store", Options{CacheBytes: cacheBytes})
	defer db.Close()
	for round := range 2 {
		putRound(t, db, pairs, round)
	}
	if live := db.space.liveBytes.Load(); live < 10*cacheBytes {
		t.Fatalf("only %d bytes are live", live)
	}
	var readers sync.WaitGroup
	for seed := range int64(4) {
		readers.Go(func() {
			rng := rand.New(rand.NewSource(seed))
			for range 20000 {
				i := rng.Intn(pairs)
				p, err := db.Get(ctx, kv.GetRequest{Key: fmt.Appendf(nil, "%08d", i), Want: kv.WantValue})
				if err != nil || !bytes.Equal(p.Value, cacheValue(i, 1)) {
					t.Errorf("pair %d: %x, %v", i, p.Value, err)
					return
				}
			}
		})
	}
	readers.Wait()
	n := 0
	for p, err := range kv.All(ctx, db, kv.ScanRequest{Want: kv.WantValue}) {
		if err != nil || !bytes.Equal(p.Value, cacheValue(n, 1)) {
			t.Fatalf("pair %d: %q %x, %v", n, p.Key, p.Value, err)
		}
		n++
	}
	if n != pairs {
		t.Errorf("scanned %d pairs, want %d", n, pairs)
	}
	// One item over for each shard: it is let in before others go.
	if found, counted := cachedBytes(db.cache); found != counted || found > cacheBytes+cacheShards*(8<<10) {
		t.Errorf("the cache holds %d bytes and counts %d; its bound is %d", found, counted, cacheBytes)
	}
}

// The newest page took the place of the one that was evicted, under the clock's
// hand, and was evicted next: what was read in turns was never found again, however
// seldom the rest was used.
func TestCacheEvictsWhatIsNotUsed(t *testing.T) {
	sh := &newCache(nil, cacheShards<<10).shards[0]
	add := func(block uint64) *slot {
		s := &slot{key: cacheKey{block: block}, bytes: 100, loaded: alreadyLoaded}
		return sh.addUnlessThere(s)
	}
	for block := range uint64(10) {
		add(block) // and nobody asks for them again
	}
	evicted := 0
	for round := range 20 {
		for block := range uint64(4) {
			key := cacheKey{block: 100 + block}
			if s := sh.find(key); s != nil {
				s.used.Store(true)
				continue
			}
			if round > 1 {
				evicted++
			}
			add(key.block)
		}
	}
	if evicted > 0 {
		t.Errorf("pages that are used all the time were evicted %d times, for the sake of others", evicted)
	}
}

// However many ask for a page at once, it is read once.
func TestPageIsReadOnceForAll(t *testing.T) {
	dir := t.TempDir() + "/store"
	db := openDir(t, dir, Options{})
	const pairs = 30000
	putRound(t, db, pairs, 0)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openDir(t, dir, Options{})
	defer db.Close()
	before := db.Stats().Reads
	var readers sync.WaitGroup
	start := make(chan struct{})
	for range 64 {
		readers.Go(func() {
			<-start
			if _, err := db.Get(ctx, kv.GetRequest{Key: fmt.Appendf(nil, "%08d", pairs/2)}); err != nil {
				t.Error(err)
			}
		})
	}
	close(start)
	readers.Wait()
	if got, height := db.Stats().Reads-before, db.Stats().Height; got > uint64(height) || height < 2 {
		t.Errorf("%d pages were read on a way of %d", got, height)
	}
}
