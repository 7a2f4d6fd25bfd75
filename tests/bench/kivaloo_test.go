package bench

import (
	"context"

	"kivaloo/cmd/kivaloo/bench/pairs"
	"kivaloo/kvstore"
	"kivaloo/kvstore/kv"
)

// kivaloo is our engine, as a program has it that embeds it.
type kivaloo struct{ db *kvstore.DB }

func openKivaloo(dir string) (engine, error) {
	db, err := kvstore.Open(context.Background(), kvstore.Options{Dir: dir, Create: true, CacheBytes: cacheBytes})
	return kivaloo{db}, err
}

func putEffect(p *pairs.Pair) kv.Effect {
	return kv.Effect{Op: kv.Put, Key: p.Key[:], Value: p.Value[:]}
}

func (k kivaloo) put(p *pairs.Pair) error {
	_, err := k.db.Commit(context.Background(), &kv.Txn{Effects: []kv.Effect{putEffect(p)}})
	return err
}

func (k kivaloo) batch(list []pairs.Pair) error {
	txn := kv.Txn{Effects: make([]kv.Effect, len(list))}
	for i := range list {
		txn.Effects[i] = putEffect(&list[i])
	}
	_, err := k.db.Commit(context.Background(), &txn)
	return err
}

func (k kivaloo) get(dst, key []byte) ([]byte, error) {
	p, err := k.db.Get(context.Background(), kv.GetRequest{Key: key, Want: kv.WantValue})
	return append(dst, p.Value...), err
}

func (k kivaloo) scan(visit func(key, value []byte) bool) error {
	for p, err := range kv.All(context.Background(), k.db, kv.ScanRequest{Want: kv.WantValue}) {
		if err != nil || !visit(p.Key, p.Value) {
			return err
		}
	}
	return nil
}

func (k kivaloo) close() error { return k.db.Close() }
