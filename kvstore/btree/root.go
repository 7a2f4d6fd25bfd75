package btree

import (
	"fmt"
)

// run merges everything that the budget allows.
func (m *merger) run(tree Tree) (Tree, error) {
	top := max(tree.Height-1, 0)
	l := m.line(top)
	l.reset(bracket{})
	if tree.Height == 0 || m.dueIn(top, nil) {
		if err := l.rewrite(node{ref: tree.Root}, bracket{}); err != nil {
			return Tree{}, err
		}
	}
	list, err := l.finish(nil)
	if err != nil {
		return Tree{}, err
	}
	if !l.isChanged() {
		return tree, nil
	}
	root, level, err := m.root(list, top)
	if err != nil || level < 0 {
		return Tree{}, err
	}
	if err := m.out.flush(true); err != nil {
		return Tree{}, err
	}
	return Tree{Root: root.place(), Height: level + 1}, nil
}

// root makes one page of the pages that are left at the highest level, or finds
// the one below which is all that is left. No pages make level -1.
func (m *merger) root(list []node, level int) (node, int, error) {
	if len(list) == 0 {
		return node{}, -1, nil
	}
	for len(list) > 1 {
		if level++; level >= heightMax {
			return node{}, 0, fmt.Errorf("tree of more than %d levels", heightMax)
		}
		var err error
		if list, err = m.grow(list, level, m.lines[level-1].packedFull()); err != nil {
			return node{}, 0, err
		}
	}
	return m.collapse(list[0], level)
}

// grow packs nodes into pages of the next level, full ones at the end of an
// ascending load.
func (m *merger) grow(list []node, level int, full bool) ([]node, error) {
	l := m.line(level).(*innerLine)
	l.reset(bracket{})
	l.begin(nil)
	if err := l.addAll(list); err != nil {
		return nil, err
	}
	l.ordered = full
	return l.finish(nil)
}

// collapse goes down from a root with a single child to the first page with more.
func (m *merger) collapse(n node, level int) (node, int, error) {
	for ; level > 0; level-- {
		only, err := m.onlyChild(n, level)
		if err != nil || only == nil {
			return n, level, err
		}
		m.discard(n)
		n = *only
	}
	return n, level, nil
}

// onlyChild is the child of an inner page that has one only.
func (m *merger) onlyChild(n node, level int) (*node, error) {
	list, err := m.lines[level].(*innerLine).shape.unpack(n, bracket{})
	if err != nil || len(list) != 1 {
		return nil, err
	}
	return &list[0], nil
}
