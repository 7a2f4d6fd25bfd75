package delta

import (
	"hash/maphash"
	"sync/atomic"
)

// A filter says of most keys that are not in a delta that they are not, for the
// price of one look at memory (a Bloom filter of one word a key: Putze, Sanders,
// Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007). Most keys that
// readers ask for are in pages only, and a large delta takes longer to search than
// they take there. All states of a delta share one: it only gains keys, so that it
// has those of an older state as well.
type filter struct {
	words [filterWords]atomic.Uint64
}

const (
	// filterWords make a megabyte: at the log bound, with half a million small
	// changes, two in a hundred missing keys are searched for in vain.
	filterWords = 128 << 10

	// filterFrom is how many entries a delta has before it gets a filter: fewer
	// are in the processor's cache anyway.
	filterFrom = 4096
)

var filterSeed = maphash.MakeSeed()

// bits are the word of a key and the bits that it sets there.
func (f *filter) bits(key []byte) (word *atomic.Uint64, mask uint64) {
	h := maphash.Bytes(filterSeed, key)
	return &f.words[h>>12%filterWords], 1<<(h&63) | 1<<(h>>6&63)
}

// add adds a key. Only one goroutine does.
func (f *filter) add(key []byte) {
	word, mask := f.bits(key)
	word.Store(word.Load() | mask)
}

// mayHave says that a key may have been added. Any goroutine may ask.
func (f *filter) mayHave(key []byte) bool {
	word, mask := f.bits(key)
	return word.Load()&mask == mask
}

// filtered keeps the filter up to date after a put or a deletion.
func (d *Delta) filtered(key []byte) {
	switch {
	case d.filter != nil:
		d.filter.add(key)
	case d.points.length >= filterFrom:
		d.filter = new(filter)
		it := d.Iterator()
		for ok := it.Seek(nil); ok; ok = it.Next() {
			d.filter.add(it.Entry().Key)
		}
	}
}
