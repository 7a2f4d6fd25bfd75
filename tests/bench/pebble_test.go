package bench

import (
	"errors"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"kivaloo/cmd/kivaloo/bench/pairs"
)

// pebbleDB is Pebble with Sync: its defaults, with the cache that all get, and
// filters, without which random reads would be no match for anybody. Its write
// buffer is a flag: a large one takes a short benchmark whole.
type pebbleDB struct{ db *pebble.DB }

func openPebble(dir string) (engine, error) {
	cache := pebble.NewCache(cacheBytes)
	defer cache.Unref()
	opts := &pebble.Options{Cache: cache, MemTableSize: *memtableFlag, Logger: quiet{}}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebble.Open(dir, opts)
	return pebbleDB{db}, err
}

func (p pebbleDB) put(pair *pairs.Pair) error {
	return p.db.Set(pair.Key[:], pair.Value[:], pebble.Sync)
}

func (p pebbleDB) batch(list []pairs.Pair) error {
	b := p.db.NewBatch()
	for i := range list {
		if err := b.Set(list[i].Key[:], list[i].Value[:], nil); err != nil {
			return err
		}
	}
	return errors.Join(b.Commit(pebble.Sync), b.Close())
}

func (p pebbleDB) get(dst, key []byte) ([]byte, error) {
	value, closer, err := p.db.Get(key)
	if err != nil {
		return dst, err
	}
	return append(dst, value...), closer.Close()
}

func (p pebbleDB) scan(visit func(key, value []byte) bool) error {
	it, err := p.db.NewIter(nil)
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		if !visit(it.Key(), it.Value()) {
			break
		}
	}
	return it.Close()
}

func (p pebbleDB) close() error { return p.db.Close() }

// quiet is a logger for stores that tell of everything they do.
type quiet struct{}

func (quiet) Infof(string, ...any)                {}
func (quiet) Debugf(string, ...any)               {}
func (quiet) Warningf(string, ...any)             {}
func (quiet) Errorf(format string, args ...any)   { slog.Error(format, "args", args) }
func (q quiet) Fatalf(format string, args ...any) { panic(format) }
