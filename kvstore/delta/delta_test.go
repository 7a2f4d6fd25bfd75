package delta

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand"
	"slices"
	"testing"
	"time"
)

var seedFlag = flag.Int64("seed", 0, "seed of random tests (0: from the clock)")

func newRand(t *testing.T) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = time.Now().UnixNano()
	}
	t.Logf("repeat with -seed %d", seed)
	return rand.New(rand.NewSource(seed))
}

func put(key string, version uint64, flags Flags) *Entry {
	return &Entry{Key: []byte(key), Value: []byte("v"), Birth: version, Modified: version, Version: version, Flags: flags}
}

// TestWhatAPutInherits: a put inherits from the pair below only as long as nothing
// in the delta has ended that pair.
func TestWhatAPutInherits(t *testing.T) {
	tests := []struct {
		name    string
		changes func(d *Delta)
		want    Flags
	}{
		{"put", func(d *Delta) { d.Put(put("k", 1, 0)) }, 0},
		{"delete", func(d *Delta) { d.Delete([]byte("k"), 1, false) }, Deleted},
		{"delete, put", func(d *Delta) {
			d.Delete([]byte("k"), 1, true)
			d.Put(put("k", 2, 0))
		}, Fresh},
		{"delete prefix, put", func(d *Delta) {
			d.DeleteRange([]byte("a"), []byte("z"), 1, true)
			d.Put(put("k", 2, 0))
		}, Fresh},
		{"put, delete prefix, put", func(d *Delta) {
			d.Put(put("k", 1, 0))
			d.DeleteRange([]byte("a"), nil, 2, true)
			d.Put(put("k", 3, 0))
		}, Fresh},
		{"delete, put, put", func(d *Delta) {
			d.Delete([]byte("k"), 1, false)
			d.Put(put("k", 2, 0))
			d.Put(put("k", 3, 0))
		}, Fresh},
		{"metadata, put", func(d *Delta) {
			d.Put(put("k", 2, HasMeta))
			d.Put(put("k", 3, 0))
		}, HasMeta},
		{"metadata, fresh put", func(d *Delta) {
			d.Put(put("k", 2, HasMeta))
			d.Put(put("k", 3, Fresh))
		}, Fresh},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var d Delta
			test.changes(&d)
			if got := d.Get([]byte("k")).Flags; got != test.want {
				t.Errorf("flags %b, want %b", got, test.want)
			}
		})
	}
}

// TestDroppedPutsAreReported: what a put of the delta itself owned would be lost
// for ever if nobody were told that it was covered before it reached a page.
func TestDroppedPutsAreReported(t *testing.T) {
	var d Delta
	var dropped []uint64
	d.Dropped = func(old, next *Entry) { dropped = append(dropped, old.Version) }
	d.Put(put("a", 1, Blob))
	d.Put(put("a", 2, Blob))           // covers 1
	d.Delete([]byte("a"), 3, true)     // moved: 2 goes on
	d.Put(put("b", 4, 0))              //
	d.Delete([]byte("b"), 5, false)    // covers 4
	d.Delete([]byte("b"), 6, false)    //
	d.Put(put("c", 7, 0))              //
	d.Put(put("d", 8, 0))              //
	d.DeleteRange(nil, nil, 9, false)  // covers 7 and 8
	d.DeleteRange(nil, nil, 10, false) //
	if want := []uint64{1, 4, 7, 8}; !slices.Equal(dropped, want) {
		t.Errorf("dropped %v, want %v", dropped, want)
	}
}

// keysMax is far more than a delta has before it gets a filter.
const keysMax = 9999

// TestRandomAgainstMap applies random changes to a delta and to a map, freezes
// now and then, and reads every frozen state again at the end.
func TestRandomAgainstMap(t *testing.T) {
	rng := newRand(t)
	var d Delta
	model := map[string]uint64{}
	type state struct {
		frozen *Delta
		model  map[string]uint64
	}
	var states []state
	for i := uint64(1); i <= 40000; i++ {
		key := fmt.Sprintf("%04d", rng.Intn(keysMax))
		switch n := rng.Intn(100); {
		case n < 70:
			d.Put(put(key, i, 0))
			model[key] = i
		case n < 98:
			d.Delete([]byte(key), i, rng.Intn(2) == 0)
			delete(model, key)
		default:
			end := fmt.Sprintf("%04d", rng.Intn(keysMax))
			if end < key {
				key, end = end, key
			}
			d.DeleteRange([]byte(key), []byte(end), i, false)
			for k := range model {
				if k >= key && k < end {
					delete(model, k)
				}
			}
		}
		if i%4000 == 0 {
			m := make(map[string]uint64, len(model))
			for k, v := range model {
				m[k] = v
			}
			states = append(states, state{d.Freeze(), m})
		}
	}
	for _, s := range states {
		check(t, s.frozen, s.model, rng)
	}
	check(t, &d, model, rng)
}

func check(t *testing.T, d *Delta, model map[string]uint64, rng *rand.Rand) {
	t.Helper()
	var want, got, back []string
	for k := range model {
		want = append(want, k)
	}
	slices.Sort(want)
	it := d.Iterator()
	for ok := it.Seek(nil); ok; ok = it.Next() {
		if e := it.Entry(); !e.Has(Deleted) {
			got = append(got, string(e.Key))
			if model[string(e.Key)] != e.Version {
				t.Fatalf("key %s has version %d, want %d", e.Key, e.Version, model[string(e.Key)])
			}
		}
	}
	for ok := it.SeekBefore(nil); ok; ok = it.Prev() {
		if e := it.Entry(); !e.Has(Deleted) {
			back = append(back, string(e.Key))
		}
	}
	slices.Reverse(back)
	if !slices.Equal(got, want) || !slices.Equal(back, want) {
		t.Fatalf("%d keys forward, %d backward, want %d", len(got), len(back), len(want))
	}
	for i := range keysMax {
		key := fmt.Sprintf("%04d", i)
		e := d.Get([]byte(key))
		if version, there := model[key]; there != (e != nil && !e.Has(Deleted)) || there && e.Version != version {
			t.Fatalf("key %s is %+v, want version %d, %v", key, e, version, there)
		}
	}
	checkSeeks(t, d, rng)
	checkRanges(t, d)
}

func checkSeeks(t *testing.T, d *Delta, rng *rand.Rand) {
	t.Helper()
	for range 200 {
		key := []byte(fmt.Sprintf("%05d", rng.Intn(10*keysMax+1000)))
		it := d.Iterator()
		if it.Seek(key) {
			if bytes.Compare(it.Entry().Key, key) < 0 {
				t.Fatalf("seek %s found %s", key, it.Entry().Key)
			}
			if it.Prev() && bytes.Compare(it.Entry().Key, key) >= 0 {
				t.Fatalf("seek %s missed %s", key, it.Entry().Key)
			}
		}
		if it.SeekBefore(key) {
			if bytes.Compare(it.Entry().Key, key) >= 0 {
				t.Fatalf("seek before %s found %s", key, it.Entry().Key)
			}
			if it.Next() && bytes.Compare(it.Entry().Key, key) < 0 {
				t.Fatalf("seek before %s missed %s", key, it.Entry().Key)
			}
		}
	}
}

func checkRanges(t *testing.T, d *Delta) {
	t.Helper()
	var last []byte
	it := d.RangeIterator()
	for ok := it.Seek(nil); ok; ok = it.Next() {
		r := it.Entry()
		if bytes.Compare(r.Key, last) < 0 || bytes.Compare(r.Key, r.Value) >= 0 {
			t.Fatalf("range %s to %s after one that ends at %s", r.Key, r.Value, last)
		}
		last = r.Value
	}
}
