package segment

import (
	"fmt"

	"kivaloo/lbs"
)

// A tail is what a scan finds in a segment: where it ends, and what in it is not
// as it was written.
type tail struct {
	blocks   uint64 // how many blocks have numbers
	sequence uint64 // of the next append
	previous uint32 // CRC of the last seal
	last     run    // the last append; empty where it is damaged, or there is none
	torn     bool   // something after it was dropped
	damage   []lbs.Damage
}

// A run is some blocks of a segment, counted from its first.
type run struct{ from, to uint64 }

// scan finds the appends in the blocks of a segment, which follow its header. It
// looks at every block: what proves an append may stand far behind it.
func (s *identity) scan(h header, blocks []byte) tail {
	w := walk{identity: s, header: h, blocks: blocks}
	w.sequence, w.previous = h.sequence, h.previous
	size := uint64(s.blockBytes)
	for i := uint64(0); (i+1)*size <= uint64(len(blocks)); i++ {
		end := (i + 1) * size
		if q, ok := s.decodeSeal(blocks[end-recordBytes : end]); ok && h.fits(q, i) {
			w.meet(q)
		}
	}
	w.torn = w.broken != nil
	return w.tail
}

// fits says whether a seal can stand at the end of block i.
func (h *header) fits(q seal, i uint64) bool {
	return q.blocks > 0 && uint64(q.blocks) <= i+1 &&
		q.first == h.first+i+1-uint64(q.blocks) &&
		q.sequence >= h.sequence && q.sequence-h.sequence <= q.first-h.first
}

// A walk is a scan under way: its tail ends where the next append should begin.
type walk struct {
	*identity
	header header
	blocks []byte
	broken *seal // stands where the next append should, but its bytes are others
	tail
}

func (w *walk) meet(q seal) {
	from := q.first - w.header.first
	switch {
	case from < w.tail.blocks || q.sequence < w.sequence:
		return // left by an append that was dropped, and written over in part
	case from > w.tail.blocks:
		w.lose(from, q)
	case q.sequence > w.sequence:
		return // appends without blocks do not exist
	}
	if w.payloadCRC(q) != q.payload {
		w.broken = &q
		return
	}
	w.accept(q)
}

// lose notes that all before q is acknowledged, since q was begun after it, and
// not there.
func (w *walk) lose(from uint64, q seal) {
	reason := fmt.Sprintf("append %d has no seal, append %d after it has", w.sequence, q.sequence)
	if b := w.broken; b != nil {
		reason = fmt.Sprintf("append %d has CRC %08x, its seal says %08x", b.sequence, w.payloadCRC(*b), b.payload)
	}
	w.note(run{w.tail.blocks, from}, reason)
	w.tail.blocks, w.sequence, w.previous = from, q.sequence, q.previous
	w.last, w.broken = run{}, nil
}

func (w *walk) accept(q seal) {
	here := run{w.tail.blocks, w.tail.blocks + uint64(q.blocks)}
	if q.previous != w.previous {
		other := w.last
		if other == (run{}) {
			other = here
		}
		w.note(other, fmt.Sprintf("append %d follows a seal with CRC %08x, found is %08x", q.sequence, q.previous, w.previous))
	}
	w.last, w.broken = here, nil
	w.tail.blocks, w.sequence, w.previous = here.to, q.sequence+1, q.crc
}

func (w *walk) note(r run, reason string) {
	w.damage = append(w.damage, lbs.Damage{First: w.header.first + r.from, Blocks: r.to - r.from, Reason: reason})
}

func (w *walk) payloadCRC(q seal) uint32 {
	from := (q.first - w.header.first) * uint64(w.blockBytes)
	to := from + uint64(q.blocks)*uint64(w.blockBytes) - recordBytes
	return w.crc(w.blocks[from:to])
}

// prove adds what is known from the segment after: this one was full up to end.
func (t *tail) prove(h header, end uint64) {
	if have := h.first + t.blocks; have < end {
		t.damage = append(t.damage, lbs.Damage{
			First: have, Blocks: end - have,
			Reason: fmt.Sprintf("append %d has no good seal, the next segment begins after it", t.sequence),
		})
	}
}
