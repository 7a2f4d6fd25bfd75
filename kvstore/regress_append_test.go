package kvstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"kivaloo/kvstore/kv"
)

// A block that holds an older record in place of the last one, as after a write
// that the disk lost or put elsewhere, is right by its own CRC. It was replayed,
// and the store opened with acknowledged changes gone. Now the trailer says which
// record belongs to it.
func TestAnotherRecordIsDamage(t *testing.T) {
	dir := t.TempDir() + "/store"
	db := openDir(t, dir, Options{})
	var at [2]uint64
	for i, c := range []string{"a", "b"} {
		txn := &kv.Txn{} // a record that fills its block, and a trailer in the next
		for j := range 2 {
			txn.Effects = append(txn.Effects, kv.Effect{Op: kv.Put, Key: fmt.Append(nil, "key", j), Value: bytes.Repeat([]byte(c), 1950)})
		}
		at[i] = db.log.Next()
		commit(t, db, txn)
	}
	set(t, db, "after", "") // proves the append before
	db.Kill()
	files, _ := filepath.Glob(dir + "/seg_*")
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	copy(b[4096+at[1]*4096:][:4096], b[4096+at[0]*4096:][:4096])
	os.WriteFile(files[0], b, 0o600)
	if db, err := Open(ctx, Options{Dir: dir}); !errors.Is(err, kv.ErrCorrupt) {
		v, _ := get(t, db, "key0")
		t.Errorf("opened, %v, with %.4q where %q was acknowledged", err, v, "bbbb")
		db.Kill()
	}
}

// Small changes of large values write whole chunks: a transaction within all
// limits could need an append longer than the block store takes, and the log
// failed for all.
func TestATransactionThatWritesTooMuch(t *testing.T) {
	var patches, copies kv.Txn
	for i := range 2500 {
		patches.Effects = append(patches.Effects, kv.Effect{Op: kv.Patch, Key: []byte("big"), Offset: int64(1 + i), Value: []byte("a")})
	}
	for i := range 5 {
		copies.Effects = append(copies.Effects, kv.Effect{Op: kv.CopyRange, Key: []byte("big"), To: fmt.Append(nil, "copy", i), Length: 60 << 20})
	}
	for _, c := range []struct {
		name  string
		bytes int
		txn   *kv.Txn
	}{
		{"many small patches", 256 << 10, &patches},
		{"copies", 60 << 20, &copies},
	} {
		t.Run(c.name, func(t *testing.T) {
			db, _ := openMemory(t, Options{})
			defer db.Kill()
			commit(t, db, put("big", bytes.Repeat([]byte("b"), c.bytes)))
			if _, err := db.Commit(ctx, c.txn); !errors.Is(err, kv.ErrTooLarge) {
				t.Errorf("the transaction: %v", err)
			}
			commit(t, db, put("other", nil))
			fsck(t, db)
		})
	}
}
