package kvstore

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"kivaloo/kvstore/kv"
)

// Staged data belonged to its session until the commit that used it was done. A
// session that ended beside it let the data go, and a checkpoint freed the segment
// of a value that was acknowledged afterwards; two commits that used the same
// data made two pairs that shared chunks, and deleting one emptied the other.
// Now a commit takes what it uses.

func staged(t *testing.T, s kv.Session, data []byte) kv.Staged {
	t.Helper()
	st, err := s.Stage(ctx, data)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func putStaged(key string, st kv.Staged) *kv.Txn {
	return &kv.Txn{Effects: []kv.Effect{{Op: kv.Put, Key: []byte(key), Staged: []kv.Staged{st}}}}
}

func TestSessionClosesBesideItsCommit(t *testing.T) {
	db, g := openGated(t, Options{LogBytes: 128 << 10})
	defer db.Kill()
	s, _ := db.Session(ctx)
	want := bytes.Repeat([]byte("s"), 100<<10)
	st := staged(t, s, want)
	for i := range 150 { // the staged chunk must lie in a segment that may be freed
		commit(t, db, put(fmt.Sprint("k", i%10), make([]byte, 2000)))
	}
	g.delay.Store(int64(time.Millisecond))
	for i := range 1000 { // checkpoints pass while the commit waits its turn
		db.CommitAsync(put(fmt.Sprint("q", i%100), make([]byte, 2000)), func(kv.Result, error) {})
	}
	done := make(chan error, 1)
	go func() { _, err := s.Commit(ctx, putStaged("staged", st)); done <- err }()
	for n := 0; n < 1000 && len(s.(*session).stagedNow()) > 0; n++ { // until the commit has taken it
		time.Sleep(10 * time.Microsecond)
	}
	s.Close()
	if err := <-done; err != nil {
		t.Fatalf("a commit that was under way: %v", err)
	}
	if v, ok := get(t, db, "staged"); !ok || v != string(want) {
		t.Errorf("%d bytes, %v, are left of an acknowledged value", len(v), ok)
	}
	fsck(t, db)
}

func (s *session) stagedNow() map[uint64]stagedChunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := map[uint64]stagedChunk{}
	for id, c := range s.mu.staged {
		held[id] = c
	}
	return held
}

func TestStagedDataIsUsedOnce(t *testing.T) {
	db, _ := openMemory(t, Options{})
	defer db.Kill()
	s, _ := db.Session(ctx)
	st := staged(t, s, bytes.Repeat([]byte("s"), 100<<10))
	var errs [2]error
	var wg sync.WaitGroup
	db.evaluating.Lock()
	for i := range errs {
		wg.Go(func() { _, errs[i] = s.Commit(ctx, putStaged(fmt.Sprint("k", i), st)) })
	}
	time.Sleep(20 * time.Millisecond)
	db.evaluating.Unlock()
	wg.Wait()
	if (errs[0] == nil) == (errs[1] == nil) {
		t.Errorf("two commits of the same data: %v", errs)
	}
	s.Close()
	fsck(t, db)
}

// TestStagedDataOfARefusedCommitIsKept: who is refused may try again.
func TestStagedDataOfARefusedCommitIsKept(t *testing.T) {
	db, _ := openMemory(t, Options{})
	defer db.Kill()
	s, _ := db.Session(ctx)
	st := staged(t, s, bytes.Repeat([]byte("s"), 100<<10))
	txn := putStaged("k", st)
	txn.Guards = []kv.Guard{{Op: kv.Present, Key: []byte("nobody")}}
	if _, err := s.Commit(ctx, txn); err == nil {
		t.Fatal("the guard held")
	}
	if _, err := s.Commit(ctx, putStaged("k", st)); err != nil {
		t.Error(err)
	}
	s.Close()
	fsck(t, db)
}
