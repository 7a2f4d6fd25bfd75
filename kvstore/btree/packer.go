package btree

import (
	"slices"

	"kivaloo/kvstore/page"
)

// A packer packs units into pages. It is the common part of both kinds of line.
//
// What is gathered stays open until it is enough for a page. If it is too little
// it takes in a neighbour under the same parent: the page before if that is new
// and not handed out yet, else the next old one, else the one before.
type packer[U any] struct {
	m     *merger
	level int
	shape shape[U]
	b     bracket // of the parent

	nodes   []node // pages that are done
	held    bool   // the last of nodes is a draft that may still be taken back
	changed bool

	open    []U // units for the next pages
	weights []int
	weight  int    // sum of weights
	low     []byte // lower bound of open
	ordered bool   // units were added only at the end: pack full pages
	full    bool   // the last units packed were
}

// A shape is what differs between leaves and inner pages.
type shape[U any] interface {
	// clear forgets the units that were weighed.
	clear()
	// weigh answers what a unit takes in a page, by itself.
	weigh(u *U) int
	// each is what each of the units weighed takes on top of that.
	each() int
	// unitsMin is how many units a page has at least.
	unitsMin() int
	// border is the shortest lower bound of units[i] that is above units[i-1].
	border(units []U, i int) []byte
	// borderBytes is the length of that.
	borderBytes(units []U, i int) int
	// together says whether two units may be in one page.
	together(a, b *U) bool
	// draft makes a page of units.
	draft(units []U, b bracket) (*draft, error)
	// unpack answers the units of a page.
	unpack(n node, b bracket) ([]U, error)
	// join makes others of two units that have become neighbours, if they should
	// be others.
	join(a, b U) ([]U, error)
}

const (
	// underfull is the part of a page's target below which it is too little.
	underfull = 3
	// More than openMax pages in the open are cut down to openLeft, so that a long
	// run of new entries takes bounded memory.
	openMax  = 8
	openLeft = 3
)

func (p *packer[U]) reset(b bracket) {
	p.b, p.low, p.nodes, p.held, p.changed = b, b.low, p.nodes[:0], false, false
	p.forget()
}

// forget empties the open units.
func (p *packer[U]) forget() {
	p.open, p.weights, p.weight, p.ordered = p.open[:0], p.weights[:0], 0, true
	p.shape.clear()
}

func (p *packer[U]) isChanged() bool  { return p.changed }
func (p *packer[U]) packedFull() bool { return p.full }

// begin says at which key the units to come begin. The first of a parent begin
// where the parent does, even if old pages before them have vanished.
func (p *packer[U]) begin(low []byte) {
	if len(p.open) > 0 {
		return
	}
	p.low = low
	if len(p.nodes) == 0 {
		p.low = p.b.low
	}
}

// add adds a unit. What must not share a page with the units before ends them.
func (p *packer[U]) add(u U) error {
	p.append(u)
	if last := len(p.open) - 1; last > 0 && !p.shape.together(&p.open[0], &p.open[last]) {
		return p.part(last)
	}
	if p.total() > openMax*p.m.opts.PageBytes {
		return p.trim()
	}
	return nil
}

func (p *packer[U]) append(u U) {
	p.open = append(p.open, u)
	// Not &u, which would put every unit on the heap.
	w := p.shape.weigh(&p.open[len(p.open)-1])
	p.weights = append(p.weights, w)
	p.weight += w
}

// part settles all open units but the last.
func (p *packer[U]) part(last int) error {
	u, high := p.open[last], p.shape.border(p.open, last)
	p.reopen(p.open[:last])
	if err := p.settle(high); err != nil {
		return err
	}
	p.append(u)
	return nil
}

// total bounds what the open units take, without fences.
func (p *packer[U]) total() int { return p.weight + len(p.open)*p.shape.each() }

// hungry says that there are open units, and too few for a page.
func (p *packer[U]) hungry() bool {
	if len(p.open) == 0 {
		return false
	}
	return len(p.open) < p.shape.unitsMin() || page.HeaderBytes+p.total() < p.m.opts.PageBytes/underfull
}

// lastOfLoad says that open units, few as they may be, are the end of an
// ascending load, so that more are to be expected behind them.
func (p *packer[U]) lastOfLoad(high []byte) bool {
	// A border of one byte is the one between keyspaces.
	return p.ordered && len(high) <= 1 && len(p.open) >= p.shape.unitsMin()
}

// close ends an old page: what is open is packed if it is enough.
func (p *packer[U]) close(high []byte) error {
	if p.hungry() && !p.lastOfLoad(high) {
		if !p.held {
			return nil
		}
		if taken, err := p.takeBack(); !taken || p.hungry() {
			return err
		}
	}
	return p.pack(high)
}

// settle packs what is open, enough or not, and makes it as much as it can be.
func (p *packer[U]) settle(high []byte) error {
	for p.hungry() && !p.lastOfLoad(high) {
		taken, err := p.takeBack()
		if err != nil {
			return err
		}
		if !taken {
			break
		}
	}
	small := p.hungry() && !p.lastOfLoad(high)
	if err := p.pack(high); err != nil {
		return err
	}
	if small {
		p.nodes[len(p.nodes)-1].draft.small = true
	}
	p.low = high
	return nil
}

func (p *packer[U]) keep(n node) error {
	if err := p.settle(n.low); err != nil {
		return err
	}
	return p.push(n)
}

// finish ends the parent.
func (p *packer[U]) finish(high []byte) ([]node, error) {
	if err := p.settle(high); err != nil {
		return nil, err
	}
	if len(p.nodes) > 0 {
		p.nodes[0].low = p.b.low
	}
	return p.nodes, p.release()
}

// takeBack opens the page before again, if that is still possible.
func (p *packer[U]) takeBack() (bool, error) {
	if len(p.nodes) == 0 {
		return false, nil
	}
	n := p.nodes[len(p.nodes)-1]
	if n.draft != nil && !p.held {
		return false, nil // perhaps written already
	}
	units, err := p.shape.unpack(n, bracket{n.low, p.low})
	if err != nil || !p.shape.together(&units[len(units)-1], &p.open[0]) {
		return false, err
	}
	if n.draft == nil {
		p.m.bury(n.ref)
	} else {
		p.m.spent -= n.draft.bytes
	}
	p.nodes, p.held, p.changed = p.nodes[:len(p.nodes)-1], false, true
	p.low = n.low
	return true, p.prepend(units)
}

// prepend puts the units of the page before in front of the open ones.
func (p *packer[U]) prepend(units []U) error {
	last := len(units) - 1
	seam, err := p.shape.join(units[last], p.open[0])
	if err != nil {
		return err
	}
	p.reopen(slices.Concat(units[:last], seam, p.open[1:]))
	p.ordered = false
	return nil
}

// addAll adds units that may have to be joined with those before.
func (p *packer[U]) addAll(units []U) error {
	if last := len(p.open) - 1; last >= 0 && len(units) > 0 {
		seam, err := p.shape.join(p.open[last], units[0])
		if err != nil {
			return err
		}
		units = slices.Concat(seam, units[1:])
		p.reopen(p.open[:last])
	}
	for _, u := range units {
		if err := p.add(u); err != nil {
			return err
		}
	}
	return nil
}

// reopen makes units the open ones. They may be part of what was open.
func (p *packer[U]) reopen(units []U) {
	ordered := p.ordered
	p.forget() // and then fill the same array, never ahead of reading it
	for _, u := range units {
		p.append(u)
	}
	p.ordered = ordered
}

// push adds a page that is done.
func (p *packer[U]) push(n node) error {
	if err := p.release(); err != nil {
		return err
	}
	p.nodes, p.held = append(p.nodes, n), n.draft != nil
	return nil
}

// release hands the page that may still be taken back to the writer.
func (p *packer[U]) release() error {
	if !p.held {
		return nil
	}
	p.held = false
	return p.m.out.add(p.nodes[len(p.nodes)-1].draft)
}
