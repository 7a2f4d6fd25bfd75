package kvstore

import (
	"testing"

	"kivaloo/kvstore/btree"
	"kivaloo/kvstore/kv"
	"kivaloo/kvstore/page"
)

// An ascending load fills its leaves, over many checkpoints too: each goes on in
// the leaf where the one before has ended. (The original's stay at 69 percent.)
func TestAscendingLoadFillsLeaves(t *testing.T) {
	db := openDir(t, t.TempDir()+"/store", Options{LogBytes: 1 << 20})
	defer db.Close()
	const pairs = 200_000
	for i := 0; i < pairs; {
		txn := &kv.Txn{}
		for range 1000 {
			txn.Effects = append(txn.Effects, kv.Effect{Op: kv.Put, Key: benchKeyInOrder(nil, i), Value: benchValue})
			i++
		}
		if _, err := db.Commit(ctx, txn); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.checkpoint.attempt(); err != nil {
		t.Fatal(err)
	}
	leaves, bytes := 0, 0
	err := btree.Check(db.cache, db.state.Load().tree, func(ref page.Ref, level int, p *page.Page, err error) error {
		if err == nil && level == 0 {
			leaves++
			bytes += len(p.Bytes())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if full := float64(bytes) / float64(leaves*btree.PageBytesDefault); full < 0.95 {
		t.Errorf("%d leaves are %.1f percent full", leaves, 100*full)
	}
	if roots := db.Stats().Roots; roots < 10 {
		t.Errorf("only %d ROOTs", roots)
	}
}

// benchKeyInOrder is a key of 40 bytes; they ascend with i.
func benchKeyInOrder(dst []byte, i int) []byte {
	key := benchKey(dst, i)
	copy(key[8:], []byte{byte(i >> 8), byte(i)})
	return key
}
