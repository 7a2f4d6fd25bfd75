package kvstore

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kivaloo/kvstore/kv"
)

// Deletions took the reserve of a full disk block by block, until the checkpoint
// that would have freed something found no room for its pages: then all was
// refused, for ever. Now they leave it that room.
func TestDeletingEverythingOnAFullDisk(t *testing.T) {
	db, d := openMemory(t, Options{})
	defer db.Kill()
	d.SetBytes(12 << 20)
	n := fill(t, db, "fill")
	for i := range n {
		if _, err := db.Commit(ctx, remove(fillKey("fill", i))); err != nil {
			t.Fatalf("deleting %d of %d: %v", i, n, err)
		}
	}
	u, _ := db.Space(ctx)
	t.Logf("%d pairs were deleted; %+v", n, u)
	checkpoint(t, db)
	if m := fill(t, db, "again"); m < n*3/4 {
		t.Errorf("%d pairs fit after %d were deleted", m, n)
	}
	d.SetBytes(1 << 40)
	fsck(t, db)
}

// A transaction that says it deletes what is not there, and puts something, got at
// the reserve.
func TestWhatDeletesNothingLeavesTheReserve(t *testing.T) {
	for name, e := range map[string]kv.Effect{
		"put":   {Op: kv.Put, Key: []byte("sneak"), Value: make([]byte, 450)},
		"patch": {Op: kv.Patch, Key: []byte("blob"), Offset: 7, Value: []byte("x")},
	} {
		t.Run(name, func(t *testing.T) {
			db, g := openGated(t, Options{})
			defer db.Kill()
			commit(t, db, put("blob", make([]byte, 128<<10)))
			g.refuse.Store(true)
			fill(t, db, "fill")
			txn := &kv.Txn{Effects: []kv.Effect{{Op: kv.Delete, Key: []byte("nobody")}, e}}
			if _, err := db.Commit(ctx, txn); !errors.Is(err, kv.ErrNoSpace) {
				t.Errorf("into the reserve: %v", err)
			}
			txn.Effects[0].Key = []byte("blob")
			if _, err := db.Commit(ctx, txn); name == "put" && err != nil {
				t.Errorf("beside a deletion: %v", err)
			}
		})
	}
}

// Each put that was refused took a deletion that had come with it along, to be
// evaluated again with the next puts: those who tried again at once starved it.
func TestWritersThatRetryDoNotStarveDeletes(t *testing.T) {
	const deletes, writers = 30, 16
	db, g := openGated(t, Options{})
	defer db.Kill()
	for i := range deletes {
		commit(t, db, put(fillKey("k", i), nil))
	}
	g.refuse.Store(true)
	g.delay.Store(int64(time.Millisecond))
	var refused atomic.Int64
	var wg sync.WaitGroup
	quit := make(chan struct{})
	for w := range writers {
		wg.Go(func() { retry(db, fillKey("w", w), quit, &refused) })
	}
	within(t, hangAfter, "deleting", func() {
		for i := range deletes {
			commit(t, db, remove(fillKey("k", i)))
		}
	})
	n := refused.Load()
	close(quit)
	wg.Wait()
	t.Logf("%d refusals meanwhile", n)
	if n > 10*deletes*writers {
		t.Errorf("%d writers were refused %d times during %d deletions", writers, n, deletes)
	}
}

func retry(db *DB, key string, quit chan struct{}, refused *atomic.Int64) {
	for {
		select {
		case <-quit:
			return
		default:
		}
		if _, err := db.Commit(ctx, put(key, make([]byte, 200))); errors.Is(err, kv.ErrNoSpace) {
			refused.Add(1)
		}
	}
}

// A disk that had grown was not looked at again while all that grows was refused,
// and nothing else was asked for.
func TestRoomThatComesFromElsewhere(t *testing.T) {
	db, d := openMemory(t, Options{})
	defer db.Kill()
	d.SetBytes(8 << 20)
	fill(t, db, "fill")
	checkpoint(t, db)
	d.SetBytes(1 << 40)
	commit(t, db, put("more", make([]byte, 2000)))
	fsck(t, db)
}
