package bench

import (
	"github.com/dgraph-io/badger/v4"

	"kivaloo/cmd/kivaloo/bench/pairs"
)

// badgerDB is Badger with SyncWrites.
type badgerDB struct{ db *badger.DB }

func openBadger(dir string) (engine, error) {
	opts := badger.DefaultOptions(dir).WithSyncWrites(true).WithLogger(quiet{}).
		WithBlockCacheSize(cacheBytes).WithDetectConflicts(false)
	db, err := badger.Open(opts)
	return badgerDB{db}, err
}

func (b badgerDB) put(p *pairs.Pair) error {
	return b.db.Update(func(txn *badger.Txn) error { return txn.Set(p.Key[:], p.Value[:]) })
}

func (b badgerDB) batch(list []pairs.Pair) error {
	return b.db.Update(func(txn *badger.Txn) error {
		for i := range list {
			if err := txn.Set(list[i].Key[:], list[i].Value[:]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b badgerDB) get(dst, key []byte) ([]byte, error) {
	err := b.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(key)
		if err != nil {
			return err
		}
		return item.Value(func(value []byte) error {
			dst = append(dst, value...)
			return nil
		})
	})
	return dst, err
}

func (b badgerDB) scan(visit func(key, value []byte) bool) error {
	return b.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			more := false
			err := it.Item().Value(func(value []byte) error {
				more = visit(it.Item().Key(), value)
				return nil
			})
			if err != nil || !more {
				return err
			}
		}
		return nil
	})
}

func (b badgerDB) close() error { return b.db.Close() }
