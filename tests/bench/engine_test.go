package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"kivaloo/cmd/kivaloo/bench/pairs"
)

// cacheBytes is the cache that each store gets, where it has one of its own.
const cacheBytes = 128 << 20

// An engine is an embedded store. Whatever it has done when a call returns is on
// the disk. All methods but close are called by several goroutines at once.
type engine interface {
	// put puts one pair, with company if there is any at the time.
	put(p *pairs.Pair) error
	// batch puts pairs by one transaction.
	batch(list []pairs.Pair) error
	// get appends the value of a key to dst.
	get(dst, key []byte) ([]byte, error)
	// scan calls visit with pairs in order from the first on, until it answers false.
	scan(visit func(key, value []byte) bool) error
	close() error
}

// engines are all that are compared. The first is ours.
var engines = []struct {
	name string
	open func(dir string) (engine, error)
}{
	{"kivaloo", openKivaloo},
	{"pebble", openPebble},
	{"bbolt", openBolt},
	{"badger", openBadger},
}

// TestEnginesAgree: what is compared does the same.
func TestEnginesAgree(t *testing.T) {
	set := pairs.Make(3000)
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), e.name)
			s, err := e.open(dir)
			if err != nil {
				t.Fatal(err)
			}
			fill(t, s, set.Pairs)
			if err := s.close(); err != nil {
				t.Fatal(err)
			}
			if s, err = e.open(dir); err != nil {
				t.Fatal(err)
			}
			defer s.close()
			compare(t, s, set.Pairs)
		})
	}
}

// fill puts pairs: half of them in batches, half one by one, each twice.
func fill(t *testing.T, s engine, list []pairs.Pair) {
	t.Helper()
	wrong := make([]pairs.Pair, len(list))
	for i, p := range list {
		wrong[i] = pairs.Pair{Key: p.Key}
	}
	half := len(list) / 2
	for _, batch := range [][]pairs.Pair{wrong, list[:half]} {
		if err := s.batch(batch); err != nil {
			t.Fatal(err)
		}
	}
	const each = 50 // a flush each takes its time
	for i := half; i < half+each; i++ {
		if err := s.put(&list[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.batch(list[half+each:]); err != nil {
		t.Fatal(err)
	}
}

func compare(t *testing.T, s engine, list []pairs.Pair) {
	t.Helper()
	for _, p := range list {
		if value, err := s.get(nil, p.Key[:]); err != nil || !bytes.Equal(value, p.Value[:]) {
			t.Fatalf("get %x: %x, %v", p.Key, value, err)
		}
	}
	at := 0
	err := s.scan(func(key, value []byte) bool {
		if at < len(list) && bytes.Equal(key, list[at].Key[:]) && bytes.Equal(value, list[at].Value[:]) {
			at++
			return true
		}
		t.Errorf("pair %d is %x, %x", at, key, value)
		return false
	})
	if err != nil || at != len(list) {
		t.Errorf("%d pairs of %d, %v", at, len(list), err)
	}
}

// A store is an engine with the place of its files.
type store struct {
	engine
	name, dir string
}

// openStore makes a store in a new folder.
func openStore(name string, open func(dir string) (engine, error)) (store, error) {
	dir, err := os.MkdirTemp(*dirFlag, "kivaloo-bench-"+name+"-")
	if err != nil {
		return store{}, err
	}
	s, err := open(filepath.Join(dir, name))
	if err != nil {
		return store{}, fmt.Errorf("open %s: %w", name, err)
	}
	return store{s, name, dir}, nil
}

// discard closes a store and removes it.
func (s *store) discard() error { return errors.Join(s.close(), os.RemoveAll(s.dir)) }
