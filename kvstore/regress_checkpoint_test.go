package kvstore

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"kivaloo/kvstore/btree"
	"kivaloo/kvstore/kv"
	"kivaloo/kvstore/page"
	"kivaloo/lbs/disk/crashdisk"
)

// eachStep carries a checkpoint out, and looks at each of its ROOTs. Its cleaning is
// given, or planned.
func eachStep(t *testing.T, db *DB, clean *cleaning, look func(step int)) {
	t.Helper()
	c := db.checkpoint
	c.running.Lock()
	defer c.running.Unlock()
	err := c.begin()
	if clean != nil {
		c.clean = clean
	}
	for n := 0; err == nil && c.frozen != nil; n++ {
		if err = c.step(); err == nil {
			look(n)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Touches of pages of the system keyspace had the merge of the users' go on into
// it, and what the delta had there was taken for done: chunks of acknowledged
// patches were never named.
func TestTouchesEndWithTheirPhase(t *testing.T) {
	db, _ := openMemory(t, Options{LogBytes: 16 << 20, PageBytes: 512})
	defer db.Kill()
	key := func(i int) string { return fmt.Sprintf("k%03d", i) }
	for i := range 100 {
		commit(t, db, put(key(i), bytes.Repeat([]byte("o"), 3000)))
	}
	checkpoint(t, db)
	clean := &cleaning{touches: systemLeaves(t, db)}
	for i := range 100 {
		commit(t, db, &kv.Txn{Effects: []kv.Effect{{Op: kv.Patch, Key: []byte(key(i)), Value: []byte("NEW")}}})
	}
	db.opts.LogBytes = 4 << 10 // steps are as short
	eachStep(t, db, clean, func(int) {})
	for i := range 100 {
		if v, ok := get(t, db, key(i)); !ok || !strings.HasPrefix(v, "NEWo") {
			t.Fatalf("%s is %.4q, %v after a patch", key(i), v, ok)
		}
	}
	fsck(t, db)
}

func systemLeaves(t *testing.T, db *DB) (touches []btree.Touch) {
	t.Helper()
	err := btree.Check(db.cache, db.state.Load().tree, func(ref page.Ref, level int, p *page.Page, err error) error {
		if err == nil && level == 0 && p.Space() == systemSpace && len(p.Lower()) > 3 {
			touches = append(touches, btree.Touch{Key: p.Lower(), Place: ref.Place})
		}
		return err
	})
	if err != nil || len(touches) == 0 {
		t.Fatalf("%d touches, %v", len(touches), err)
	}
	return touches
}

// All that a checkpoint had still to free was in each of its ROOTs, one range for
// each value dropped, until a ROOT was too long to be read. Now there are steps
// in between that free it. A power cut behind any step is made up for.
func TestRootsStayShort(t *testing.T) {
	db, d := openMemory(t, Options{LogBytes: 64 << 20})
	defer db.Kill()
	const values = 10000
	putMany(t, db, values)
	checkpoint(t, db)
	commit(t, db, &kv.Txn{Effects: []kv.Effect{{Op: kv.DeletePrefix}}})
	longest, n := 0, 0
	var cut []*crashdisk.Disk
	eachStep(t, db, nil, func(step int) {
		longest = max(longest, len(db.checkpoint.root.Free))
		cut = append(cut, d.Clone(uint64(step)))
		n++
	})
	t.Logf("%d steps, at most %d ranges", n, longest)
	if longest < freeRangesMax || longest > 2*freeRangesMax {
		t.Errorf("a ROOT has %d ranges to free; they should come to %d and not to twice that", longest, freeRangesMax)
	}
	checkEmpty(t, db)
	for _, d := range cut {
		again, err := Open(ctx, Options{Dir: "store", FS: d.Crash(), LogBytes: 64 << 20})
		if err != nil {
			t.Fatal(err)
		}
		checkEmpty(t, again)
		again.Kill()
	}
}

// putMany puts values that are just too long to be inline.
func putMany(t *testing.T, db *DB, n int) {
	t.Helper()
	value := make([]byte, kv.InlineBytesMax+1)
	for i := 0; i < n; {
		txn := &kv.Txn{}
		for ; i < n && len(txn.Effects) < 500; i++ {
			txn.Effects = append(txn.Effects, kv.Effect{Op: kv.Put, Key: fmt.Appendf(nil, "%06d", i), Value: value})
		}
		commit(t, db, txn)
	}
}

// checkEmpty: everything that a store of no pairs had is freed.
func checkEmpty(t *testing.T, db *DB) {
	t.Helper()
	fsck(t, db)
	root, live := &db.checkpoint.root, db.space.liveBytes.Load()
	if root.UserPairs+root.SystemPairs != 0 || live > 4096 {
		t.Errorf("%d and %d pairs and %d live bytes are left", root.UserPairs, root.SystemPairs, live)
	}
}
