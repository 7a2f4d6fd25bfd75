package btree

// When a subtree shrinks to so little that it has no sibling to share with, its
// pages stay small, level for level. Once it gets neighbours, because its parent
// shares with another, the pages that have come together are joined: that is what
// these functions are for.

func (s *innerShape) join(a, b node) ([]node, error) {
	apart := []node{a, b}
	if !a.isSmall() && !b.isSmall() || !a.canOpen() || !b.canOpen() {
		return apart, nil
	}
	joined, err := s.m.newLine(s.level-1).joined(a, b)
	if err != nil || joined == nil {
		return apart, err
	}
	return joined, nil
}

func (n *node) isSmall() bool { return n.draft != nil && n.draft.small }

// canOpen says whether the page can be read: what was written just now need not
// be readable yet.
func (n *node) canOpen() bool { return n.draft == nil || n.draft.small || !n.draft.written }

// joined packs the units of two pages, or answers nil if they cannot share. The
// packer is a new one.
func (p *packer[U]) joined(a, b node) ([]node, error) {
	high, err := p.high(b)
	if err != nil {
		return nil, err
	}
	left, err := p.shape.unpack(a, bracket{a.low, b.low})
	if err != nil {
		return nil, err
	}
	right, err := p.shape.unpack(b, bracket{b.low, high})
	if err != nil || !p.shape.together(&left[len(left)-1], &right[0]) {
		return nil, err
	}
	// Before anything can be written: their children may go the same way.
	p.m.discard(a)
	p.m.discard(b)
	p.reset(bracket{a.low, high})
	if err := p.addAll(left); err != nil {
		return nil, err
	}
	if err := p.addAll(right); err != nil {
		return nil, err
	}
	p.ordered = false
	return p.finish(high)
}

// high is the upper fence of a page: not above the one it could have.
func (p *packer[U]) high(n node) ([]byte, error) {
	if n.draft != nil {
		return n.draft.b.high, nil
	}
	q, err := p.m.read(n.ref, p.level, bracket{low: n.low})
	if err != nil {
		return nil, err
	}
	return q.Upper(), nil
}

// discard takes a page out of the new tree again.
func (m *merger) discard(n node) {
	switch {
	case n.draft == nil:
		m.bury(n.ref)
	case n.draft.written:
		m.bury(n.draft.ref)
	default:
		n.draft.void = true
	}
}
