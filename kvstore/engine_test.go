package kvstore

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"kivaloo/kvstore/kv"
)

var ctx = context.Background()

func openDir(t *testing.T, dir string, opts Options) *DB {
	t.Helper()
	opts.Dir, opts.Create = dir, true
	db, err := Open(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func set(t *testing.T, s kv.Store, key, value string) {
	t.Helper()
	_, err := s.Commit(ctx, &kv.Txn{Effects: []kv.Effect{{Op: kv.Put, Key: []byte(key), Value: []byte(value)}}})
	if err != nil {
		t.Fatalf("set %q: %v", key, err)
	}
}

func get(t *testing.T, s kv.Reader, key string) (string, bool) {
	t.Helper()
	p, err := s.Get(ctx, kv.GetRequest{Key: []byte(key), Want: kv.WantAll})
	if errors.Is(err, kv.ErrNotFound) {
		return "", false
	}
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	return string(p.Value), true
}

func TestReopenFindsWhatWasAcknowledged(t *testing.T) {
	for _, end := range []struct {
		name string
		stop func(db *DB)
	}{
		{"clean stop", func(db *DB) { db.Close() }},
		{"death", func(db *DB) { db.Kill() }},
	} {
		t.Run(end.name, func(t *testing.T) {
			dir := t.TempDir() + "/store"
			for round := range 4 {
				db := openDir(t, dir, Options{LogBytes: 64 << 10})
				for i := range round * 300 {
					if v, ok := get(t, db, fmt.Sprint("key", i)); !ok || v != fmt.Sprint("value", i) {
						t.Fatalf("round %d: key%d is %q, %v", round, i, v, ok)
					}
				}
				for i := round * 300; i < (round+1)*300; i++ {
					set(t, db, fmt.Sprint("key", i), fmt.Sprint("value", i))
				}
				end.stop(db)
			}
		})
	}
}
