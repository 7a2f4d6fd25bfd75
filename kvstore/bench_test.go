package kvstore

import (
	"encoding/binary"
	"fmt"
	"math/rand"
	"sync"
	"testing"

	"kivaloo/kvstore/kv"
)

func benchOpen(b *testing.B) *DB {
	db, err := Open(ctx, Options{Dir: b.TempDir() + "/store", Create: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	return db
}

// benchKey is a key of 40 bytes, benchValue a value of 40.
func benchKey(dst []byte, i int) []byte {
	dst = binary.BigEndian.AppendUint64(dst[:0], uint64(i>>16))
	for range 4 {
		dst = binary.BigEndian.AppendUint64(dst, uint64(i)*0x9e3779b97f4a7c15)
	}
	return dst
}

var benchValue = make([]byte, 40)

// BenchmarkDurablePut puts pairs one by one, by a number of writers at once.
func BenchmarkDurablePut(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			db := benchOpen(b)
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for i := w; i < b.N; i += writers {
						e := kv.Effect{Op: kv.Put, Key: benchKey(nil, i), Value: benchValue}
						if _, err := db.Commit(ctx, &kv.Txn{Effects: []kv.Effect{e}}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// load puts n pairs, 4096 under way at a time, in order or at random.
func load(b testing.TB, db *DB, n int, order func(i int) int) {
	var wg sync.WaitGroup
	window := make(chan struct{}, 4096)
	for i := range n {
		window <- struct{}{}
		wg.Add(1)
		txn := &kv.Txn{Effects: []kv.Effect{{Op: kv.Put, Key: benchKey(nil, order(i)), Value: benchValue}}}
		db.CommitAsync(txn, func(_ kv.Result, err error) {
			if err != nil {
				b.Error(err)
			}
			<-window
			wg.Done()
		})
	}
	wg.Wait()
}

// BenchmarkBulk puts pairs with 4096 under way.
func BenchmarkBulk(b *testing.B) {
	for _, order := range []string{"ascending", "random"} {
		b.Run(order, func(b *testing.B) {
			db := benchOpen(b)
			perm := rand.Perm(b.N)
			b.ReportAllocs()
			b.ResetTimer()
			load(b, db, b.N, func(i int) int {
				if order == "random" {
					return perm[i]
				}
				return i
			})
		})
	}
}

// BenchmarkBulkLinked is BenchmarkBulk on a store that has a link: each put looks up
// what it covers.
func BenchmarkBulkLinked(b *testing.B) {
	db := benchOpen(b)
	for _, txn := range []*kv.Txn{put("linked", nil), link("linked", "link")} {
		if _, err := db.Commit(ctx, txn); err != nil {
			b.Fatal(err)
		}
	}
	perm := rand.Perm(b.N)
	b.ReportAllocs()
	b.ResetTimer()
	load(b, db, b.N, func(i int) int { return perm[i] })
}

// BenchmarkGet reads random pairs of a million, from pages.
func BenchmarkGet(b *testing.B) {
	const pairs = 1 << 20
	db := benchOpen(b)
	load(b, db, pairs, func(i int) int { return i })
	if err := db.checkpoint.attempt(); err != nil {
		b.Fatal(err)
	}
	var key [40]byte
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		k := benchKey(key[:0], int(uint32(i)*2654435761)%pairs)
		if _, err := db.Get(ctx, kv.GetRequest{Key: k, Want: kv.WantValue}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkScan reads the same pairs in order.
func BenchmarkScan(b *testing.B) {
	const pairs = 1 << 18
	db := benchOpen(b)
	load(b, db, pairs, func(i int) int { return i })
	if err := db.checkpoint.attempt(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; {
		for _, err := range kv.All(ctx, db, kv.ScanRequest{Want: kv.WantValue}) {
			if err != nil {
				b.Fatal(err)
			}
			if n++; n >= b.N {
				break
			}
		}
	}
}
