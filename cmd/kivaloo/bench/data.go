package bench

import (
	"encoding/binary"
	"sync/atomic"

	"kivaloo/cmd/kivaloo/bench/pairs"
)

// A version says which value a pair has: of which epoch, and there by which
// operation. Later writes of a pair have greater versions. The zero version is a
// pair that is not there.
type version uint64

// numberBits leave room for 2^40 operations of an epoch and for 2^24 epochs.
const numberBits = 40

func (v version) epoch() int     { return int(v >> numberBits) }
func (v version) number() uint64 { return uint64(v) & (1<<numberBits - 1) }

// A valueKind is how a value is made.
type valueKind uint8

const (
	// absent: there is no pair.
	absent valueKind = iota
	// aged: the pair's own value, whose last byte the generation was added to, as
	// the original's bulk_update does.
	aged
	// numbered: one more than the operation's number, then 32 zero bytes, as in
	// the original's random_mixed.
	numbered
)

// An epoch is a job that writes.
type epoch struct {
	kind       valueKind
	generation byte
	// pairOf answers which pair operation n wrote, for numbered.
	pairOf func(n uint64) uint32
}

// A data is the pairs and which value of each the store has acknowledged.
type data struct {
	*pairs.Set
	epochs []epoch // epoch 0: nothing is there
	acked  []atomic.Uint64
}

func newData(set *pairs.Set) *data {
	return &data{Set: set, epochs: []epoch{{kind: absent}}, acked: make([]atomic.Uint64, len(set.Pairs))}
}

// begin begins an epoch and answers the version of its operation 0.
func (d *data) begin(e epoch) version {
	d.epochs = append(d.epochs, e)
	return version(len(d.epochs)-1) << numberBits
}

func (d *data) known(pair uint32) version { return version(d.acked[pair].Load()) }

// acknowledge notes that a version is durable. Answers may come in another order
// than the writes took effect; the owner of the pair alone calls it.
func (d *data) acknowledge(pair uint32, v version) {
	if uint64(v) > d.acked[pair].Load() {
		d.acked[pair].Store(uint64(v))
	}
}

func (d *data) there(v version) bool { return d.epochs[v.epoch()].kind != absent }

// fill makes the value of a version.
func (d *data) fill(value *[pairs.Bytes]byte, pair uint32, v version) {
	e := &d.epochs[v.epoch()]
	if e.kind == numbered {
		*value = [pairs.Bytes]byte{}
		binary.BigEndian.PutUint64(value[:], v.number()+1)
		return
	}
	*value = d.Pairs[pair].Value
	value[pairs.Bytes-1] += e.generation
}

// is says whether a value is that of a version.
func (d *data) is(value []byte, pair uint32, v version) bool {
	var want [pairs.Bytes]byte
	if len(value) != pairs.Bytes || !d.there(v) {
		return false
	}
	d.fill(&want, pair, v)
	return [pairs.Bytes]byte(value) == want
}

// checkRead says whether a read that was sent when version v was acknowledged may
// have answered a value: that of v, or of a write that was under way since.
func (d *data) checkRead(value []byte, found bool, pair uint32, v version) error {
	switch {
	case !found:
		return wrongf("the pair with key %x is missing", d.Pairs[pair].Key)
	case d.is(value, pair, v) || d.isNewer(value, pair, v):
		return nil
	}
	return wrongf("the pair with key %x has the value %x", d.Pairs[pair].Key, value)
}

// isNewer says whether a value was written to the pair after version v, by an
// operation of the present epoch.
func (d *data) isNewer(value []byte, pair uint32, v version) bool {
	last := len(d.epochs) - 1
	e := &d.epochs[last]
	if len(value) != pairs.Bytes || e.kind != numbered {
		return false
	}
	n := binary.BigEndian.Uint64(value) - 1
	newer := version(last)<<numberBits | version(n)
	return n < 1<<numberBits && newer > v && e.pairOf(n) == pair && d.is(value, pair, newer)
}

// checkPair says whether the pair at a place of the order was read by a scan, and
// nothing is under way.
func (d *data) checkPair(at int, key, value []byte) error {
	if at >= len(d.Pairs) {
		return wrongf("%d pairs are followed by one with key %x", at, key)
	}
	if p := &d.Pairs[at]; string(key) != string(p.Key[:]) {
		return wrongf("pair %d in order has the key %x, not %x", at, key, p.Key)
	}
	return d.checkRead(value, true, uint32(at), d.known(uint32(at)))
}
