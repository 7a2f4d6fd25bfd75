package kvstore

import (
	"testing"
	"time"

	"kivaloo/kvstore/kv"
)

// A pin that waited for the writer while its session was closed wrote to a map
// that was gone.
func TestPinBesideClose(t *testing.T) {
	db, _ := openMemory(t, Options{})
	defer db.Kill()
	commit(t, db, put("k", nil))
	p, _ := db.Get(ctx, kv.GetRequest{Key: []byte("k"), Want: kv.WantAll})
	s, _ := db.Session(ctx)
	db.evaluating.Lock() // as while the writer evaluates
	done := make(chan error, 2)
	go func() { done <- s.Pin(ctx, []byte("k"), p.Birth) }()
	time.Sleep(10 * time.Millisecond)
	go func() { done <- s.Close() }()
	time.Sleep(10 * time.Millisecond)
	db.evaluating.Unlock()
	<-done
	<-done
	if len(db.pins.byBirth) != 0 {
		t.Error("a pin is left of a session that has ended")
	}
}

// Pins were answered as of the last transaction evaluated, durable or not. If that
// was refused then, who pinned the pair where it had always been was told that it
// is not there, and a pin of where it never came to be kept nothing.
func TestPinDuringARefusedMove(t *testing.T) {
	db, g := openGated(t, Options{})
	defer db.Kill()
	commit(t, db, put("a", []byte("v")))
	p, _ := db.Get(ctx, kv.GetRequest{Key: []byte("a"), Want: kv.WantAll})
	s, _ := db.Session(ctx)
	g.refuse.Store(true)
	g.delay.Store(int64(30 * time.Millisecond))
	for _, c := range []struct {
		key  string
		pins bool
	}{{"a", true}, {"b", false}} {
		refused := make(chan error, 1)
		db.CommitAsync(&kv.Txn{Effects: []kv.Effect{{Op: kv.Move, Key: []byte("a"), To: []byte("b")}}},
			func(_ kv.Result, err error) { refused <- err })
		time.Sleep(10 * time.Millisecond)
		if err := s.Pin(ctx, []byte(c.key), p.Birth); (err == nil) != c.pins {
			t.Errorf("pin of %s: %v", c.key, err)
		}
		if err := <-refused; err == nil {
			t.Fatal("the move was not refused")
		}
	}
	commit(t, db, remove("a"))
	if _, err := db.Get(ctx, kv.GetRequest{Space: kv.Orphan, Key: kv.OrphanKey(p.Birth), Want: kv.WantAll}); err != nil {
		t.Errorf("the pinned pair, after it was deleted: %v", err)
	}
	s.Close()
}

// An orphan's chunks were to be freed by a phase of the checkpoint that had come
// to them before: they stayed for ever. Now chunks sort behind all their owners.
func TestOrphansLeaveNothing(t *testing.T) {
	for _, between := range []bool{false, true} {
		db, _ := openMemory(t, Options{})
		defer db.Kill()
		commit(t, db, put("file", make([]byte, 500<<10)))
		s, _ := pinned(t, db, "file")
		commit(t, db, remove("file"))
		if between {
			checkpoint(t, db)
		}
		s.Close()
		commit(t, db, put("x", nil))
		fsck(t, db)
		if root := &db.checkpoint.root; root.SystemPairs != 0 {
			t.Errorf("checkpoint before the last close: %v; %d system pairs are left", between, root.SystemPairs)
		}
	}
}
