package kvstore

import (
	"bytes"
	"fmt"
	"math/rand"
	"testing"

	"kivaloo/kvstore/kv"
)

// TestSpaceFollowsTheLiveData: whatever is overwritten and deleted, in whatever
// order, pages and chunks move out of segments that are mostly dead, so the log
// stays within its bound.
func TestSpaceFollowsTheLiveData(t *testing.T) {
	rng := rand.New(rand.NewSource(int64(testSeed(t))))
	db := openDir(t, t.TempDir()+"/store", Options{
		LogBytes: 256 << 10, SegmentBytesMin: 256 << 10, SegmentBytesMax: 256 << 10,
	})
	defer db.Close()
	want := map[string]string{}
	written := 0
	for range 6000 {
		key := fmt.Sprintf("%04d", rng.Intn(800))
		value := string(bytes.Repeat([]byte{byte('a' + rng.Intn(26))}, rng.Intn(300)))
		if rng.Intn(8) == 0 {
			value = string(bytes.Repeat([]byte{byte('a' + rng.Intn(26))}, 3000+rng.Intn(6000)))
		}
		set(t, db, key, value)
		want[key] = value
		written += len(value)
	}
	if err := db.checkpoint.attempt(); err != nil {
		t.Fatal(err)
	}
	u, err := db.Space(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes written, %d live, %d used", written, u.LiveBytes, u.UsedBytes)
	// Promise 10, with the reserve and recycled files counted as used.
	if bound := 5*u.LiveBytes/2 + 2*(256<<10) + 4*(256<<10); u.UsedBytes > bound {
		t.Errorf("%d bytes used, the bound is %d", u.UsedBytes, bound)
	}
	compare(t, readPairs(t, db), want)
	fsck(t, db)
	emptied(t, db, want)
}

// emptied deletes everything, and finds the log almost empty.
func emptied(t *testing.T, db *DB, pairs map[string]string) {
	t.Helper()
	if _, err := db.Commit(ctx, &kv.Txn{Effects: []kv.Effect{{Op: kv.DeletePrefix}}}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second one frees what the first one's records were in
		set(t, db, "last", "")
		if err := db.checkpoint.attempt(); err != nil {
			t.Fatal(err)
		}
	}
	u, err := db.Space(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if u.LiveBytes > 4096 {
		t.Errorf("%d bytes live after all was deleted", u.LiveBytes)
	}
	if u.UsedBytes > 8*(256<<10) {
		t.Errorf("%d bytes used after all was deleted", u.UsedBytes)
	}
	if root := db.checkpoint.root; root.SystemPairs != 0 || root.UserPairs != 1 || len(root.Free) != 0 {
		t.Errorf("%d system pairs, %d user pairs, %d ranges to free", root.SystemPairs, root.UserPairs, len(root.Free))
	}
	fsck(t, db)
}
