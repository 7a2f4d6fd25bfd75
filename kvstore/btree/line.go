package btree

import "kivaloo/kvstore/page"

// A line gathers, from left to right, the pages of one level that become the
// children of one inner page of the old tree. Each old child is either kept as
// it is, unread, or rewritten: its units (a leaf's entries, an inner page's
// children) are handed on one by one, changed on the way, and packed into new
// pages. There is one line for each level, used for one parent after another.
type line interface {
	// reset begins a parent that has this bracket.
	reset(b bracket)
	// keep hands on an old page.
	keep(n node) error
	// wants says whether what is gathered is too little for a page, and could
	// take in the next old page, whose keys begin at low.
	wants(low []byte) bool
	// rewrite merges what is due into an old page.
	rewrite(n node, b bracket) error
	// finish packs what is left, and answers all pages.
	finish(high []byte) ([]node, error)
	// isChanged says whether the pages are others than before.
	isChanged() bool
	// packedFull says that the last pages were packed as the end of an ascending
	// load.
	packedFull() bool
	// joined packs two pages anew, as if one parent had them; none if they cannot
	// share. It is for a line that is used for nothing else.
	joined(a, b node) ([]node, error)
}

// A node stands for a page of the new tree and the lower bound of its keys. It is
// an old page, at ref, or one that is still to be written.
type node struct {
	low   []byte
	ref   page.Ref
	draft *draft // nil for an old page
}

// place is where the page lies; a draft must have been written.
func (n *node) place() page.Ref {
	if n.draft != nil {
		return n.draft.ref
	}
	return n.ref
}

// children merges what is due into the children of an inner page, and answers the
// pages that take their place. atEnd says that all children but the last have
// stayed. The list is good until the line is used again.
func (m *merger) children(p *page.Page, b bracket) (list []node, atEnd bool, err error) {
	level := p.Level() - 1
	l := m.line(level)
	l.reset(b)
	for i := range p.Count() {
		cb := bracketOf(p, i, b)
		atEnd = !l.isChanged()
		if err := m.child(l, level, node{low: cb.low, ref: p.Child(i)}, cb); err != nil {
			return nil, false, err
		}
	}
	list, err = l.finish(b.high)
	return list, atEnd, err
}

func (m *merger) child(l line, level int, n node, b bracket) error {
	m.passStale(n.ref, level, b.high)
	if !m.dueIn(level, b.high) && !l.wants(b.low) {
		return l.keep(n)
	}
	return l.rewrite(n, b)
}

// line is the line of a level.
func (m *merger) line(level int) line {
	for len(m.lines) <= level {
		m.lines = append(m.lines, m.newLine(len(m.lines)))
	}
	return m.lines[level]
}

func (m *merger) newLine(level int) line {
	if level == 0 {
		return newLeafLine(m)
	}
	return newInnerLine(m, level)
}
