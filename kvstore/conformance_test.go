package kvstore_test

import (
	"context"
	"testing"

	"kivaloo/kvstore"
	"kivaloo/kvstore/kv"
	"kivaloo/kvstore/kvtest"
	"kivaloo/lbs/disk/crashdisk"
)

// engineLacks is what the engine does not do yet.
const engineLacks = kvtest.Links

// subject opens an engine on a disk in memory whose power can be cut.
type subject struct {
	tb   testing.TB
	disk *crashdisk.Disk
	opts kvstore.Options
	db   *kvstore.DB
}

func newSubject(tb testing.TB, opts kvstore.Options) *kvtest.Subject {
	s := &subject{tb: tb, disk: crashdisk.New(1), opts: opts}
	if _, err := s.open(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.db.Close() })
	return &kvtest.Subject{Store: s.db, Reopen: s.reopen, Crash: s.crash, Lacks: engineLacks}
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

func (s *subject) reopen() (kv.Store, error) {
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
	kvtest.Run(t, func(tb testing.TB) *kvtest.Subject { return newSubject(tb, kvstore.Options{}) })
}

// TestConformanceSmallLog has a checkpoint every few transactions and small pages,
// so that the tree is high: with the default bound all would stay in the delta.
func TestConformanceSmallLog(t *testing.T) {
	kvtest.Run(t, func(tb testing.TB) *kvtest.Subject {
		return newSubject(tb, kvstore.Options{LogBytes: 64 << 10, PageBytes: 512, CacheBytes: 1 << 20})
	})
}
