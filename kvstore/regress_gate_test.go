package kvstore

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"kivaloo/kvstore/kv"
	"kivaloo/lbs"
	"kivaloo/lbs/disk/crashdisk"
	"kivaloo/lbs/segment"
)

// A gate is a block store whose appends take their time, or are refused as on a
// full disk: what meets a batch that is being flushed can then be tried.
type gate struct {
	*segment.Store
	delay  atomic.Int64
	refuse atomic.Bool // ordinary appends
}

func (g *gate) Append(first uint64, p []byte, room lbs.Room) (uint64, error) {
	time.Sleep(time.Duration(g.delay.Load()))
	if g.refuse.Load() && room == lbs.Ordinary {
		return first, lbs.ErrNoSpace
	}
	return g.Store.Append(first, p, room)
}

// Space implements lbs.Segmented.
func (g *gate) Space() (lbs.Space, error) {
	u, err := g.Store.Space()
	if g.refuse.Load() {
		u.Free, u.Spare = 0, u.Reserve
	}
	return u, err
}

func openGated(t *testing.T, opts Options) (*DB, *gate) {
	t.Helper()
	s, err := segment.Open(crashdisk.New(1), "store", segment.Options{
		Create: true, MinSegmentBytes: 256 << 10, MaxSegmentBytes: 256 << 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{Store: s}
	opts.Log = g
	db, err := Open(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	return db, g
}

// openMemory opens a new store on a disk in memory.
func openMemory(t *testing.T, opts Options) (*DB, *crashdisk.Disk) {
	t.Helper()
	d := crashdisk.New(1)
	opts.Dir, opts.FS, opts.Create = "store", d, true
	db, err := Open(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	return db, d
}

func put(key string, value []byte) *kv.Txn {
	return &kv.Txn{Effects: []kv.Effect{{Op: kv.Put, Key: []byte(key), Value: value}}}
}

func remove(key string) *kv.Txn {
	return &kv.Txn{Effects: []kv.Effect{{Op: kv.Delete, Key: []byte(key)}}}
}

func commit(t *testing.T, s kv.Store, txn *kv.Txn) {
	t.Helper()
	if _, err := s.Commit(ctx, txn); err != nil {
		t.Fatal(err)
	}
}

// checkpoint merges all that there is.
func checkpoint(t *testing.T, db *DB) {
	t.Helper()
	if err := db.checkpoint.attempt(); err != nil {
		t.Fatal(err)
	}
}

// pinned opens a session that pins the pair of a key.
func pinned(t *testing.T, db *DB, key string) (kv.Session, kv.Stamp) {
	t.Helper()
	s, err := db.Session(ctx)
	if err != nil {
		t.Fatal(err)
	}
	p, err := db.Get(ctx, kv.GetRequest{Key: []byte(key), Want: kv.WantAll})
	if err == nil {
		err = s.Pin(ctx, []byte(key), p.Birth)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s, p.Birth
}

// within runs what must not hang.
func within(t *testing.T, limit time.Duration, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { f(); close(done) }()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("%s is not done after %v", what, limit)
	}
}

func fillKey(prefix string, i int) string { return fmt.Sprint(prefix, i) }

// fill puts pairs until the disk is full, and answers how many fitted.
func fill(t *testing.T, db *DB, prefix string) int {
	t.Helper()
	for n := 0; ; n++ {
		_, err := db.Commit(ctx, put(fillKey(prefix, n), make([]byte, 2000)))
		if errors.Is(err, kv.ErrNoSpace) {
			return n
		}
		if err != nil || n > 1e5 {
			t.Fatalf("put %d: %v", n, err)
		}
	}
}
