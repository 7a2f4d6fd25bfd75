package bench

import (
	"errors"
	"os"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"kivaloo/cmd/kivaloo/bench/pairs"
)

var bucketName = []byte("b")

// boltDB is bbolt. Writers who come together share a transaction.
type boltDB struct {
	db      *bbolt.DB
	waiting *atomic.Int64
}

func openBolt(dir string) (engine, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// As etcd has it: a list of free pages that is cheap to keep, and not on disk.
	db, err := bbolt.Open(dir+"/db", 0o600, &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	db.MaxBatchDelay = time.Millisecond
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bucketName)
		return err
	})
	return boltDB{db, new(atomic.Int64)}, err
}

// put shares a transaction if somebody else is putting: alone, it would wait for
// company that does not come.
func (b boltDB) put(p *pairs.Pair) error {
	set := func(tx *bbolt.Tx) error { return tx.Bucket(bucketName).Put(p.Key[:], p.Value[:]) }
	defer b.waiting.Add(-1)
	if b.waiting.Add(1) == 1 {
		return b.db.Update(set)
	}
	return b.db.Batch(set)
}

func (b boltDB) batch(list []pairs.Pair) error {
	return b.db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(bucketName)
		for i := range list {
			if err := bucket.Put(list[i].Key[:], list[i].Value[:]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b boltDB) get(dst, key []byte) ([]byte, error) {
	err := b.db.View(func(tx *bbolt.Tx) error {
		value := tx.Bucket(bucketName).Get(key)
		if value == nil {
			return errors.New("no such key")
		}
		dst = append(dst, value...)
		return nil
	})
	return dst, err
}

func (b boltDB) scan(visit func(key, value []byte) bool) error {
	return b.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketName).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if !visit(k, v) {
				break
			}
		}
		return nil
	})
}

func (b boltDB) close() error { return b.db.Close() }
