package kvtest

import (
	"errors"
	"fmt"

	"kivaloo/kvstore/kv"
)

func snapshotTests() []test {
	return []test{
		{"snapshot/sees no later writes", Snapshots, snapshotSeesNoLaterWrites},
		{"snapshot/of large values", Snapshots | Large | Parts | Names, snapshotOfLargeValues},
		{"snapshot/several", Snapshots, severalSnapshots},
		{"snapshot/version", Snapshots | Stamps, snapshotVersion},
		{"snapshot/released", Snapshots, snapshotReleased},
		{"snapshot/outlives churn", Snapshots | Large, snapshotOutlivesChurn},
	}
}

func (e *env) snapshot() kv.Snapshot {
	e.Helper()
	s, err := e.store.Snapshot(e.ctx)
	e.check(err)
	e.Cleanup(func() { s.Release() })
	return s
}

// still compares a snapshot with what there was when it was taken.
func (e *env) still(s kv.Snapshot, was []kv.Pair) {
	e.Helper()
	e.samePairs(e.all(s), was)
}

func snapshotSeesNoLaterWrites(e *env) {
	for i := range 20 {
		e.do(put(fmt.Sprint("k", i), "before"))
	}
	was := e.all(e.store)
	s := e.snapshot()
	e.still(s, was)
	for i := range 20 {
		e.do(put(fmt.Sprint("k", i), "after"))
		e.do(del(fmt.Sprint("k", i/2)))
		e.do(put(fmt.Sprint("l", i), "new"))
	}
	e.still(s, was)
	p, err := s.Get(e.ctx, kv.GetRequest{Key: []byte("k1"), Want: kv.WantValue})
	if err != nil || string(p.Value) != "before" {
		e.Fatalf("%q, %v", p.Value, err)
	}
	if _, err := s.Get(e.ctx, kv.GetRequest{Key: []byte("l1")}); !errors.Is(err, kv.ErrNotFound) {
		e.Fatalf("the snapshot sees what came later: %v", err)
	}
	if e.has(Listings) {
		e.scans(s, was, kv.ScanRequest{Reverse: true, Limit: 3, Want: e.want()})
	}
	e.same()
}

func snapshotOfLargeValues(e *env) {
	e.do(put("a/k", text(3*kv.ChunkBytes)))
	e.do(put("a/l", text(kv.InlineBytesMax)))
	was := e.all(e.store)
	s := e.snapshot()
	e.do(patch("a/k", kv.ChunkBytes+7, "changed"))
	e.do(truncate("a/k", kv.ChunkBytes+100))
	e.still(s, was)
	e.do(movePrefix("a/", "b/"))
	e.do(del("b/k"))
	e.still(s, was)
	e.same()
}

func severalSnapshots(e *env) {
	var taken []kv.Snapshot
	var was [][]kv.Pair
	for i := range 5 {
		e.do(put("k", fmt.Sprint(i)))
		e.do(put(fmt.Sprint("k", i), ""))
		taken, was = append(taken, e.snapshot()), append(was, e.all(e.store))
	}
	e.check(taken[1].Release())
	e.check(taken[4].Release())
	e.do(put("k", "last"))
	for _, i := range []int{0, 2, 3} {
		e.still(taken[i], was[i])
	}
}

func snapshotVersion(e *env) {
	last := e.do(put("k", "1"))
	s := e.snapshot()
	e.do(put("k", "2"))
	if s.Version() != last.Version {
		e.Fatalf("version %d, want %d", s.Version(), last.Version)
	}
}

func snapshotReleased(e *env) {
	s := e.snapshot()
	e.check(s.Release())
	if _, err := s.Get(e.ctx, kv.GetRequest{}); !errors.Is(err, kv.ErrClosed) {
		e.Fatalf("get: %v, want ErrClosed", err)
	}
	if _, err := s.Scan(e.ctx, kv.ScanRequest{}); !errors.Is(err, kv.ErrClosed) {
		e.Fatalf("scan: %v, want ErrClosed", err)
	}
}

// snapshotOutlivesChurn writes enough for a store to move and free what the
// snapshot reads, if it were not careful.
func snapshotOutlivesChurn(e *env) {
	for i := range 50 {
		e.do(put(fmt.Sprint("k", i), text(kv.InlineBytesMax*(i%4))))
	}
	was := e.all(e.store)
	s := e.snapshot()
	for i := range 400 {
		e.do(put(fmt.Sprint("k", i%50), text(20000+i)))
	}
	e.still(s, was)
	e.same()
}
