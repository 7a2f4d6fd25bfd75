package kvstore

import (
	"fmt"
	"testing"
	"time"

	"kivaloo/kvstore/kv"
	"kivaloo/kvstore/page"
)

// A writer that was to end while the log was full waited for a checkpoint that
// would not come any more.
func TestTheEndWithAFullLog(t *testing.T) {
	for name, end := range map[string]func(*DB){
		"death": (*DB).Kill,
		"stop":  func(db *DB) { db.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			db, g := openGated(t, Options{LogBytes: 64 << 10})
			g.delay.Store(int64(time.Millisecond))
			answers := make(chan error, 4000) // several batches
			for i := range cap(answers) {
				db.CommitAsync(put(fmt.Sprint("q", i%100), make([]byte, 2000)), func(_ kv.Result, err error) { answers <- err })
			}
			time.Sleep(10 * time.Millisecond)
			within(t, hangAfter, name, func() { end(db) })
			within(t, hangAfter, "the last answer", func() {
				for range cap(answers) {
					<-answers
				}
			})
		})
	}
}

// What could not be read left a slot in the cache's ring each time.
func TestFailedReadsTakeNoMemory(t *testing.T) {
	db, _ := openMemory(t, Options{})
	defer db.Kill()
	for range 10000 {
		if _, err := db.cache.chunk(page.Ref{Place: page.Place{Block: 1 << 40, Bytes: 100}}, 1, 1); err == nil {
			t.Fatal("a chunk that was never written")
		}
	}
	slots := 0
	for i := range db.cache.shards {
		slots += len(db.cache.shards[i].mu.ring)
	}
	if slots > 1000 {
		t.Errorf("%d slots after reads that failed", slots)
	}
}

// Batches kept the memory of the longest append that they had ever been.
func TestBatchesLetGoOfLongAppends(t *testing.T) {
	db, _ := openMemory(t, Options{})
	defer db.Kill()
	done := make(chan struct{})
	for i := range 3 {
		db.CommitAsync(put(fmt.Sprint("k", i), make([]byte, 30<<20)), func(kv.Result, error) {
			if i == 2 {
				close(done)
			}
		})
	}
	<-done
	for range 3 {
		commit(t, db, put("x", nil))
	}
	kept := 0
	db.queue.control(func(w *writer) {
		for _, b := range append([]*batch{w.open}, w.spares...) {
			kept += cap(b.payload) + cap(b.body)
		}
	})
	if kept > 8*batchBodyBytesMax {
		t.Errorf("%d bytes are kept", kept)
	}
}
