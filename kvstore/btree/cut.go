package btree

import "slices"

// pack makes pages of all that is open.
func (p *packer[U]) pack(high []byte) error {
	if len(p.open) == 0 {
		return nil
	}
	pl := p.plan(high)
	p.full = p.ordered
	if err := p.cut(pl.ends(p.ordered, p.lastOfLoad(high)), high); err != nil {
		return err
	}
	p.forget()
	return nil
}

// trim makes full pages of the front of what is open.
func (p *packer[U]) trim() error {
	pl := p.plan(p.low) // whatever comes behind
	all := pl.full()
	left := len(all) - openLeft
	if left <= 0 {
		return nil
	}
	ends := all[:left]
	last := ends[left-1]
	high := p.shape.border(p.open, last)
	if err := p.cut(ends, high); err != nil {
		return err
	}
	p.low = high
	p.reopen(p.open[last:])
	return nil
}

// cut makes pages of the open units that end at ends, the last page at high.
func (p *packer[U]) cut(ends []int, high []byte) error {
	from, low := 0, p.low
	for k, end := range ends {
		up := high
		if k+1 < len(ends) {
			up = p.shape.border(p.open, end)
		}
		d, err := p.shape.draft(p.open[from:end], bracket{low, up})
		if err != nil {
			return err
		}
		p.m.spent += d.bytes
		if err := p.push(node{low: low, draft: d}); err != nil {
			return err
		}
		from, low = end, up
	}
	p.changed = true
	return nil
}

func (p *packer[U]) plan(high []byte) plan {
	each := p.shape.each()
	weights := slices.Clone(p.weights)
	for i := range weights {
		weights[i] += each
	}
	return plan{
		weights: weights, low: len(p.low), high: len(high),
		border:   func(i int) int { return p.shape.borderBytes(p.open, i) },
		limit:    p.m.opts.PageBytes,
		unitsMin: p.shape.unitsMin(),
	}
}
