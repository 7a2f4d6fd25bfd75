package kvstore_test

import (
	"context"
	"testing"

	"kivaloo/kvstore"
	"kivaloo/kvstore/kv"
	"kivaloo/kvstore/kvtest"
	"kivaloo/lbs/disk/crashdisk"
)

// subject opens an engine on a disk in memory whose power can be cut.
type subject struct {
	tb   testing.TB
	disk *crashdisk.Disk
	opts kvstore.Options
	db   *kvstore.DB
	most *kvstore.Stats // the most that a store of this run has come to
}

func newSubject(tb testing.TB, opts kvstore.Options, most *kvstore.Stats) *kvtest.Subject {
	s := &subject{tb: tb, disk: crashdisk.New(1), opts: opts, most: most}
	if _, err := s.open(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.note(); s.db.Close() })
	return &kvtest.Subject{
		Store: s.db, Reopen: s.reopen, Crash: s.crash,
		CutAt: func(n int) { s.disk.CutAt(n) },
	}
}

func (s *subject) open() (kv.Store, error) {
	opts := s.opts
	opts.Dir, opts.FS, opts.Create = "store", s.disk, true
	db, err := kvstore.Open(context.Background(), opts)
	if err == nil {
		s.db = db
	}
	return db, err
}

func (s *subject) note() {
	now := s.db.Stats()
	s.most.Roots = max(s.most.Roots, now.Roots)
	s.most.Height = max(s.most.Height, now.Height)
}

func (s *subject) reopen() (kv.Store, error) {
	s.note()
	if err := s.db.Close(); err != nil {
		return nil, err
	}
	return s.open()
}

func (s *subject) crash() (kv.Store, error) {
	next := s.disk.Crash()
	s.db.Kill()
	s.disk = next
	return s.open()
}

func TestConformance(t *testing.T) {
	var most kvstore.Stats
	kvtest.Run(t, func(tb testing.TB) *kvtest.Subject { return newSubject(tb, kvstore.Options{}, &most) })
}

// TestConformanceSmallLog has a checkpoint every few transactions and small pages,
// so that the tree is high: with the default bound all would stay in the delta.
func TestConformanceSmallLog(t *testing.T) {
	var most kvstore.Stats
	opts := kvstore.Options{LogBytes: 64 << 10, PageBytes: 512, CacheBytes: 1 << 20}
	kvtest.Run(t, func(tb testing.TB) *kvtest.Subject { return newSubject(tb, opts, &most) })
	t.Logf("at most %d ROOTs and a tree of height %d", most.Roots, most.Height)
	if most.Roots < 3 || most.Height < 3 {
		t.Errorf("at most %d ROOTs and a tree of height %d: too little to prove anything", most.Roots, most.Height)
	}
}
