package kvstore

import (
	"fmt"
	"io/fs"
	"math"
	"math/rand"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"kivaloo/kvstore/kv"
	"kivaloo/lbs/disk"
	"kivaloo/lbs/disk/faultdisk"
)

// diskUsage is what du says of a directory.
func diskUsage(t *testing.T, dir string) (sum int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) { // a file may go while we look
		t.Fatal(err)
	}
	return sum
}

// removeAll deletes the first n pairs of load, one by one.
func removeAll(t testing.TB, db *DB, n int) {
	var wg sync.WaitGroup
	window := make(chan struct{}, 4096)
	for i := range n {
		window <- struct{}{}
		wg.Add(1)
		db.CommitAsync(&kv.Txn{Effects: []kv.Effect{{Op: kv.Delete, Key: benchKey(nil, i)}}}, func(_ kv.Result, err error) {
			if err != nil {
				t.Error(err)
			}
			<-window
			wg.Done()
		})
	}
	wg.Wait()
}

// TestDeletingEverythingShrinksTheStore: segments, the last one among them, were as
// large as the store had once been, and so were the spares. Ten seconds after all
// was deleted there is almost nothing left, and then nobody writes any more.
func TestDeletingEverythingShrinksTheStore(t *testing.T) {
	pairs := 200000
	if testing.Short() {
		pairs = 60000
	}
	d, dir := faultdisk.New(disk.OS{}), t.TempDir()+"/store"
	db := openDir(t, dir, Options{FS: d})
	defer db.Close()
	load(t, db, pairs, func(i int) int { return i })
	checkpoint(t, db)
	full := diskUsage(t, dir)
	removeAll(t, db, pairs)
	within := 10 * time.Second
	for began := time.Now(); diskUsage(t, dir) > 10<<20; time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > within {
			t.Fatalf("%d bytes are left of %d after %v", diskUsage(t, dir), full, within)
		}
	}
	t.Logf("%d bytes are left of %d", diskUsage(t, dir), full)
	rests(t, d)
}

// rests waits until nobody calls the disk any more.
func rests(t *testing.T, d *faultdisk.Disk) {
	t.Helper()
	for quiet, began := 0, time.Now(); quiet < 3; {
		before := d.Count(faultdisk.Any)
		time.Sleep(time.Second)
		if quiet++; d.Count(faultdisk.Any) > before {
			quiet = 0
		}
		if time.Since(began) > 2*hangAfter {
			t.Fatalf("%d disk calls in a second, though nobody asks for anything", d.Count(faultdisk.Any)-before)
		}
	}
}

// thinned is a store of runs of pairs, of which most have been deleted: what is left
// lies all over its segments.
func thinned(t *testing.T, dir string, opts Options) *DB {
	db := openDir(t, dir, opts)
	const runs, pairs = 150, 1000 // about a hundred pages to a segment, twelve to a run
	for r := range runs {
		txn := &kv.Txn{}
		for i := range pairs {
			txn.Effects = append(txn.Effects, kv.Effect{Op: kv.Put, Key: fmt.Appendf(nil, "%04d/%04d", r, i), Value: make([]byte, 70)})
		}
		commit(t, db, txn)
	}
	checkpoint(t, db)
	for r := range runs {
		if r%4 > 0 {
			commit(t, db, &kv.Txn{Effects: []kv.Effect{{Op: kv.DeletePrefix, Key: fmt.Appendf(nil, "%04d/", r)}}})
		}
	}
	return db
}

// wellUsed says whether a store takes no more than it should at rest.
func wellUsed(t *testing.T, db *DB) bool {
	t.Helper()
	u, err := db.Space(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", u)
	const spares = 4 << 20
	return float64(u.UsedBytes) <= float64(u.LiveBytes)/targetDefault+restBytes+spares
}

// TestIdleStoreIsCleaned: one checkpoint cleans a part of what there is to clean; a
// store that is left alone is cleaned until what is live has its part of the log.
func TestIdleStoreIsCleaned(t *testing.T) {
	d := faultdisk.New(disk.OS{})
	db := thinned(t, t.TempDir()+"/store", Options{FS: d, SegmentBytesMax: 1 << 20})
	defer db.Close()
	before, _ := db.Space(ctx)
	rests(t, d)
	if after, _ := db.Space(ctx); !wellUsed(t, db) || after.UsedBytes > before.UsedBytes/2 {
		t.Errorf("the store rests, and is not clean: it had %d bytes, most was deleted, and it has %d", before.UsedBytes, after.UsedBytes)
	}
	fsck(t, db)
}

// TestStoreIsCleanedAfterItIsOpened: what was left to clean when a store was closed
// is cleaned when it is opened again, though nobody writes.
func TestStoreIsCleanedAfterItIsOpened(t *testing.T) {
	dir := t.TempDir() + "/store"
	db := thinned(t, dir, Options{SegmentBytesMax: 1 << 20, StoragePrice: NoCleaning})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	d := faultdisk.New(disk.OS{})
	db = openDir(t, dir, Options{FS: d, SegmentBytesMax: 1 << 20})
	defer db.Close()
	if wellUsed(t, db) {
		t.Error("there is nothing to clean")
	}
	rests(t, d)
	if !wellUsed(t, db) {
		t.Error("the store rests, and is not clean")
	}
}

// TestStoragePrice: the dearer space is, the less of it is taken and the more is
// written. Without cleaning nothing is moved, and what is dead is freed all the same.
func TestStoragePrice(t *testing.T) {
	type outcome struct {
		live, used, appended int64
	}
	updates := 12000
	if testing.Short() {
		updates = 4000
	}
	run := func(price float64) (o outcome) {
		db, _ := openMemory(t, Options{
			StoragePrice: price, LogBytes: 128 << 10, CacheBytes: 1 << 20,
			SegmentBytesMin: 128 << 10, SegmentBytesMax: 128 << 10,
		})
		defer db.Kill()
		rng := rand.New(rand.NewSource(7))
		for range updates {
			commit(t, db, put(fillKey("k", int(math.Abs(rng.NormFloat64())*400)), make([]byte, 1000)))
		}
		checkpoint(t, db)
		checkpoint(t, db)
		u, _ := db.Space(ctx)
		o = outcome{u.LiveBytes, u.UsedBytes, int64(db.log.Next()) * int64(db.blockBytes)}
		fsck(t, db)
		commit(t, db, &kv.Txn{Effects: []kv.Effect{{Op: kv.DeletePrefix}}})
		checkpoint(t, db)
		commit(t, db, put("last", nil))
		checkpoint(t, db)
		if u, _ := db.Space(ctx); u.UsedBytes > 16*(128<<10) {
			t.Errorf("price %v: %d bytes used after all was deleted", price, u.UsedBytes)
		}
		return o
	}
	none, cheap, dear := run(NoCleaning), run(StoragePriceDefault), run(16)
	t.Logf("no cleaning %+v, default %+v, dear %+v", none, cheap, dear)
	if none.used < cheap.used || cheap.used < dear.used {
		t.Error("dearer space should be used less")
	}
	if none.appended > cheap.appended || cheap.appended > dear.appended {
		t.Error("dearer space should cost more writes")
	}
}

func TestLiveTarget(t *testing.T) {
	for _, c := range []struct{ price, target float64 }{
		{NoCleaning, 0}, {0, 0.5}, {1, 0.5}, {2, 0.6}, {4, 0.7}, {1000, 0.85}, {0.001, 0.45}, {math.Inf(1), 0.85},
	} {
		if got := liveTarget(c.price); math.Abs(got-c.target) > 1e-9 {
			t.Errorf("price %v: %v of the log are kept live, want %v", c.price, got, c.target)
		}
	}
}
