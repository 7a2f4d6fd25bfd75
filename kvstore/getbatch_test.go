package kvstore

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"testing"
	"time"

	"kivaloo/kvstore/kv"
)

// TestGetBatchIsGet compares the two on pairs that lie in pages, in the frozen and
// the active delta, deleted there by key or by range, inline and as blobs, and under several names.
func TestGetBatchIsGet(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewSource(seed))
	db := openDir(t, t.TempDir()+"/store", Options{LogBytes: 64 << 10})
	defer db.Close()
	for range 40 {
		if _, err := db.Commit(ctx, randomBatchTxn(rng)); err != nil {
			t.Fatal(err)
		}
		compareGets(t, db, rng)
	}
	if db.Stats().Roots < 3 {
		t.Errorf("only %d ROOTs", db.Stats().Roots)
	}
}

func randomBatchTxn(rng *rand.Rand) *kv.Txn {
	txn := &kv.Txn{}
	for range 30 {
		e := kv.Effect{Op: kv.Put, Key: fmt.Appendf(nil, "%03d", rng.Intn(1000))}
		switch rng.Intn(13) {
		case 0:
			e.Op = kv.Delete
		case 1:
			e.Op, e.Key = kv.DeletePrefix, e.Key[:2]
		case 2:
			e.Value = bytes.Repeat(e.Key, 2000) // a blob
		case 12:
			// To keys of their own, which are free: else the transaction would fail.
			txn.Effects = append(txn.Effects, kv.Effect{Op: kv.Put, Key: e.Key})
			e.Op, e.To = kv.Link, fmt.Appendf(nil, "%03d/%d", rng.Intn(1000), rng.Int())
		case 3:
			e.SetMeta, e.Meta = true, []byte("meta")
			fallthrough
		default:
			e.Value = fmt.Appendf(nil, "%d", rng.Int())
		}
		txn.Effects = append(txn.Effects, e)
	}
	return txn
}

func compareGets(t *testing.T, db *DB, rng *rand.Rand) {
	t.Helper()
	var keys [][]byte
	for key := range readPairs(t, db) {
		keys = append(keys, []byte(key))
	}
	for range 50 { // mostly none
		keys = append(keys, fmt.Appendf(nil, "%03d", rng.Intn(1000)))
	}
	reqs := make([]kv.GetRequest, 1+rng.Intn(200))
	for i := range reqs {
		reqs[i] = kv.GetRequest{Key: keys[rng.Intn(len(keys))], Want: kv.Want(rng.Intn(4))}
		switch rng.Intn(10) {
		case 0:
			reqs[i].Offset, reqs[i].Length = rng.Int63n(3000), rng.Int63n(5000)
		case 1:
			reqs[i].Length = 5
		case 2:
			reqs[i].Key = make([]byte, kv.KeyBytesMax+1)
		case 3:
			reqs[i].Length = -1
		}
	}
	pairs, errs := make([]kv.Pair, len(reqs)), make([]error, len(reqs))
	db.GetBatch(ctx, reqs, pairs, errs)
	for i, req := range reqs {
		want, err := db.Get(ctx, req)
		if fmt.Sprintf("%+v", pairs[i]) != fmt.Sprintf("%+v", want) || fmt.Sprint(errs[i]) != fmt.Sprint(err) {
			t.Fatalf("%+v:\n%+v, %v\nbut Get says\n%+v, %v", req, pairs[i], errs[i], want, err)
		}
	}
}

func TestGetBatchOfAClosedStore(t *testing.T) {
	db := openDir(t, t.TempDir()+"/store", Options{})
	set(t, db, "k", "v")
	db.Close()
	reqs, pairs, errs := []kv.GetRequest{{Key: []byte("k")}}, make([]kv.Pair, 1), make([]error, 1)
	if db.GetBatch(ctx, reqs, pairs, errs); !errors.Is(errs[0], kv.ErrClosed) {
		t.Errorf("%+v, %v", pairs[0], errs[0])
	}
}
