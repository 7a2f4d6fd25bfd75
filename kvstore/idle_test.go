package kvstore

import (
	"bytes"
	"testing"
	"time"

	"kivaloo/kvstore/kv"
)

// TestIdleStoreGivesSpaceBack: a few deletions are little log, so no checkpoint
// came for them, and large files that were gone took their space for ever.
func TestIdleStoreGivesSpaceBack(t *testing.T) {
	db := openDir(t, t.TempDir()+"/store", Options{})
	defer db.Close()
	value := bytes.Repeat([]byte("v"), 8<<20)
	for _, key := range []string{"a", "b", "c", "d"} {
		e := kv.Effect{Op: kv.Put, Key: []byte(key), Value: value}
		if _, err := db.Commit(ctx, &kv.Txn{Effects: []kv.Effect{e}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"a", "b", "c", "d"} {
		if _, err := db.Commit(ctx, &kv.Txn{Effects: []kv.Effect{{Op: kv.Delete, Key: []byte(key)}}}); err != nil {
			t.Fatal(err)
		}
	}
	var used int64
	for range 100 {
		time.Sleep(100 * time.Millisecond)
		u, err := db.Space(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if used = u.UsedBytes; used <= 12<<20 {
			return
		}
	}
	t.Errorf("%d bytes used ten seconds after all was deleted", used)
}
