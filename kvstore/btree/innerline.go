package btree

import (
	"slices"

	"kivaloo/kvstore/page"
)

// An innerLine is the line of a level above the leaves. Its units are nodes of
// the level below.
type innerLine struct {
	packer[node]
}

func newInnerLine(m *merger, level int) *innerLine {
	return &innerLine{packer[node]{m: m, level: level, shape: &innerShape{m: m, level: level}}}
}

func (l *innerLine) wants([]byte) bool { return l.hungry() }

func (l *innerLine) rewrite(n node, b bracket) error {
	old, err := l.m.read(n.ref, l.level, b)
	if err != nil {
		return err
	}
	touched := l.m.touched(n.ref, l.level, b.high)
	list, atEnd, err := l.m.children(old, b)
	if err != nil {
		return err
	}
	before := len(l.open)
	if !l.m.lines[l.level-1].isChanged() && !touched && before == 0 {
		return l.keep(n)
	}
	l.m.bury(n.ref)
	l.changed = true
	l.begin(b.low)
	if err := l.addAll(list); err != nil {
		return err
	}
	l.ordered = l.ordered && atEnd && before == 0
	return l.close(b.high)
}

// An innerShape packs nodes into inner pages.
type innerShape struct {
	m     *merger
	level int
}

func (s *innerShape) clear()                             {}
func (s *innerShape) weigh(n *node) int                  { return page.ChildBytes(n.low) }
func (s *innerShape) each() int                          { return 0 }
func (s *innerShape) together(_, _ *node) bool           { return true }
func (s *innerShape) border(list []node, i int) []byte   { return list[i].low }
func (s *innerShape) borderBytes(list []node, i int) int { return len(list[i].low) }

// unitsMin: with fewer than two children a level would not make the tree narrower,
// whatever the length of the separators.
func (s *innerShape) unitsMin() int { return 2 }

func (s *innerShape) unpack(n node, b bracket) ([]node, error) {
	if n.draft != nil {
		return n.draft.nodes, nil
	}
	p, err := s.m.read(n.ref, s.level, b)
	if err != nil {
		return nil, err
	}
	list := make([]node, p.Count())
	for i := range list {
		list[i] = node{low: p.Separator(i), ref: p.Child(i)}
	}
	list[0].low = n.low
	return list, nil
}

// draft does not seal the page: its children's places may not be known yet.
func (s *innerShape) draft(list []node, b bracket) (*draft, error) {
	d := &draft{level: s.level, b: b, nodes: slices.Clone(list)}
	d.bytes = page.HeaderBytes + len(b.low) + len(b.high)
	for i := range list {
		d.bytes += s.weigh(&list[i])
	}
	return d, nil
}
