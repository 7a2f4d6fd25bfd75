package kvstore

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kivaloo/kvstore/kv"
)

// TestClockJumpsHarmNothing sets the clock forwards and backwards under a running
// store: stamps grow all the same, each change is there, and what is odd is said
// once. Opened again, the store refuses a clock that is far behind, until told.
func TestClockJumpsHarmNothing(t *testing.T) {
	var now atomic.Int64
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var log bytes.Buffer
	opts := Options{
		Now:    func() time.Time { return time.Unix(0, now.Load()) },
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}
	now.Store(start.UnixNano())
	dir := t.TempDir() + "/store"
	db := openDir(t, dir, opts)
	last := kv.Stamp(0)
	for _, year := range []int{2026, 2036, 2025, 1970, 1900, 2999, 2110, 2026, 2026} {
		now.Store(time.Date(year, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
		for range 3 {
			res, err := db.Commit(ctx, put("k", []byte(time.Unix(0, now.Load()).String())))
			if err != nil {
				t.Fatalf("in %d: %v", year, err)
			}
			p, err := db.Get(ctx, kv.GetRequest{Key: []byte("k"), Want: kv.WantAll})
			if err != nil || res.Version <= last || res.Version >= kv.StampMax || p.Version != res.Version || p.Modified != p.Version {
				t.Fatalf("in %d: version %d after %d; pair %+v, %v", year, res.Version, last, p, err)
			}
			last = res.Version
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "far behind"); n != 2 {
		t.Errorf("it was said %d times that the clock is behind, want 2:\n%s", n, log.String())
	}
	opts.Dir = dir
	if _, err := Open(ctx, opts); !errors.Is(err, ErrClock) {
		t.Fatalf("opened with a clock that is 84 years behind: %v", err)
	}
	opts.AcceptClock = true
	db, err := Open(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if res, err := db.Commit(ctx, put("k", nil)); err != nil || res.Version <= last {
		t.Errorf("version %d after %d, %v", res.Version, last, err)
	}
}
