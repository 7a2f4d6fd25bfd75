package kvstore

import (
	"fmt"
	"sync"
	"testing"

	"kivaloo/kvstore/kv"
	"kivaloo/lbs/disk"
	"kivaloo/lbs/disk/faultdisk"
	"kivaloo/lbs/segment"
)

// openCounting opens a store on the system's disk of which every call is counted,
// and waits until the segments to come are ready: filling them flushes as well.
func openCounting(t *testing.T) (*DB, *faultdisk.Disk) {
	d := faultdisk.New(disk.OS{})
	db, err := Open(ctx, Options{Dir: t.TempDir() + "/store", FS: d, Create: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	set(t, db, "first", "")
	if err := db.log.(*segment.Store).WaitSpares(); err != nil {
		t.Fatal(err)
	}
	return db, d
}

// TestLoneCommitCostsOneFlush: one write and one Datasync, and no other call of the
// disk, whatever the transaction does.
func TestLoneCommitCostsOneFlush(t *testing.T) {
	db, d := openCounting(t)
	for i, e := range []kv.Effect{
		{Op: kv.Put, Key: []byte("a"), Value: []byte("value")},
		{Op: kv.Put, Key: []byte("b"), Value: make([]byte, 5000)},
		{Op: kv.Patch, Key: []byte("b"), Offset: 10, Value: []byte("patch")},
		{Op: kv.Move, Key: []byte("a"), To: []byte("c")},
		{Op: kv.SetMeta, Key: []byte("c"), Meta: []byte("meta")},
		{Op: kv.Delete, Key: []byte("c")},
		{Op: kv.DeletePrefix, Key: []byte("b")},
	} {
		before := [...]int{d.Count(faultdisk.Datasync), d.Count(faultdisk.Write), d.Count(faultdisk.Any)}
		if _, err := db.Commit(ctx, &kv.Txn{Effects: []kv.Effect{e}}); err != nil {
			t.Fatal(err)
		}
		flushes, writes, calls := d.Count(faultdisk.Datasync)-before[0], d.Count(faultdisk.Write)-before[1], d.Count(faultdisk.Any)-before[2]
		if flushes != 1 || writes != 1 {
			t.Errorf("effect %d (op %d): %d flushes, %d writes", i, e.Op, flushes, writes)
		}
		// A patch may have to read the chunk that it changes.
		if calls > 2 && e.Op != kv.Patch {
			t.Errorf("effect %d (op %d): %d disk calls", i, e.Op, calls)
		}
	}
}

// TestConditionThatFailsCostsNoFlush: nor does what only reads.
func TestConditionThatFailsCostsNoFlush(t *testing.T) {
	db, d := openCounting(t)
	before := d.Count(faultdisk.Any)
	txn := &kv.Txn{
		Guards:  []kv.Guard{{Op: kv.Absent, Key: []byte("first")}},
		Effects: []kv.Effect{{Op: kv.Put, Key: []byte("first")}},
	}
	if _, err := db.Commit(ctx, txn); err == nil {
		t.Error("a key that is there is absent")
	}
	if _, err := db.Commit(ctx, &kv.Txn{}); err != nil {
		t.Error(err)
	}
	get(t, db, "first")
	if n := d.Count(faultdisk.Any) - before; n != 0 {
		t.Errorf("%d disk calls", n)
	}
}

// TestCrowdSharesFlushes: 64 writers need far fewer flushes than commits.
func TestCrowdSharesFlushes(t *testing.T) {
	db, d := openCounting(t)
	const writers, each = 64, 20
	before := d.Count(faultdisk.Datasync)
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			for n := range each {
				e := kv.Effect{Op: kv.Put, Key: fmt.Appendf(nil, "%d/%d", i, n), Value: []byte("value")}
				if _, err := db.Commit(ctx, &kv.Txn{Effects: []kv.Effect{e}}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	flushes := d.Count(faultdisk.Datasync) - before
	t.Logf("%d commits, %d flushes", writers*each, flushes)
	if flushes > writers*each/4 {
		t.Errorf("%d commits took %d flushes", writers*each, flushes)
	}
}
