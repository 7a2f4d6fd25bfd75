package btree

import (
	"fmt"

	"kivaloo/kvstore/page"
)

// A draft is a page that is not written yet.
type draft struct {
	level int
	b     bracket
	bytes int    // about what it will take
	data  []byte // of a leaf, sealed at once
	nodes []node // of an inner page, sealed when all of them have places

	ref     page.Ref // once it is written
	written bool
	void    bool // nobody needs it any more
	small   bool // it is too little for a page, and had no neighbour to share with
}

// A writer gathers drafts, and writes children before their parents: a draft is
// added after its children, and levels are written from below.
type writer struct {
	sink  Sink
	limit int // bytes to gather before writing
	stats *Stats

	drafts [][]*draft // by level
	bytes  []int      // of those
	sum    int
}

func (w *writer) add(d *draft) error {
	for len(w.drafts) <= d.level {
		w.drafts, w.bytes = append(w.drafts, nil), append(w.bytes, 0)
	}
	w.drafts[d.level] = append(w.drafts[d.level], d)
	w.bytes[d.level] += d.bytes
	if w.sum += d.bytes; w.sum < w.limit {
		return nil
	}
	return w.flush(false)
}

// flush writes all drafts, one call of the sink for each level. If it is not the
// last flush, inner pages that are few may wait.
func (w *writer) flush(last bool) error {
	for level, list := range w.drafts {
		if level > 0 && !last && w.bytes[level] < w.limit/4 {
			return nil
		}
		if err := w.write(list); err != nil {
			return err
		}
		clear(list)
		w.sum -= w.bytes[level]
		w.drafts[level], w.bytes[level] = list[:0], 0
	}
	return nil
}

func (w *writer) write(list []*draft) error {
	var drafts []*draft
	var pages [][]byte
	for _, d := range list {
		if d.void {
			continue
		}
		if err := d.seal(); err != nil {
			return err
		}
		drafts, pages = append(drafts, d), append(pages, d.data)
	}
	if len(pages) == 0 {
		return nil
	}
	places, err := w.sink.Write(pages)
	if err != nil {
		return err
	}
	if len(places) != len(pages) {
		return fmt.Errorf("%d places for %d pages", len(places), len(pages))
	}
	for i, d := range drafts {
		w.wrote(d, places[i])
	}
	return nil
}

// wrote gives a draft its place, and forgets what it was made of.
func (w *writer) wrote(d *draft, at page.Place) {
	at.Bytes = uint32(page.Padded(len(d.data)))
	d.ref = page.Ref{Place: at, CRC: page.CRC(d.data)}
	d.written = true
	if !d.small { // it may yet find a neighbour, or its only child become the root
		d.data, d.nodes = nil, nil
	}
	w.stats.PagesWritten++
	w.stats.BytesWritten += int(at.Bytes)
}

// seal makes the bytes of an inner page.
func (d *draft) seal() error {
	if d.level == 0 {
		return nil
	}
	children := make([]page.Child, len(d.nodes))
	for i := range d.nodes {
		children[i] = page.Child{Separator: d.nodes[i].low, Ref: d.nodes[i].place()}
	}
	data, err := page.SealInner(d.level, d.b.low, d.b.high, children)
	d.data = data
	return err
}
