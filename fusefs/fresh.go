package fusefs

import "sort"

// A fresh file has been created on the mount and not been committed yet. Its
// directory knows it: the store does not.

// addFresh makes the node of a file that has just been created.
func (t *tree) addFresh(n *node) {
	dir := n.at.parent
	if dir.dir.fresh == nil {
		dir.dir.fresh = map[string]*node{}
	}
	dir.dir.fresh[n.at.comp] = n
	addFreshBelow(dir, 1)
}

// unfresh says that a file is in the store now, or has lost its name.
func (t *tree) unfresh(n *node) {
	dir := n.at.parent
	if dir == nil || dir.dir.fresh[n.at.comp] != n {
		return
	}
	delete(dir.dir.fresh, n.at.comp)
	addFreshBelow(dir, -1)
}

func addFreshBelow(dir *node, count int) {
	for ; dir != nil; dir = dir.at.parent {
		dir.dir.freshBelow += count
	}
}

// freshFile gives the uncommitted file of a component, if there is one.
func (t *tree) freshFile(dir *node, comp string) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	return dir.dir.fresh[comp]
}

// hasFresh says that the directory exists for the sake of uncommitted files.
func (t *tree) hasFresh(dir *node) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return dir.dir.freshBelow > 0
}

// hasFreshAt is hasFresh of the directory in a place, if it has a node.
func (t *tree) hasFreshAt(at slot) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.bySlot[at]
	return n != nil && n.dir.freshBelow > 0
}

// freshAfter gives the components of the uncommitted files in dir that are at
// least from, in order.
func (t *tree) freshAfter(dir *node, from string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var comps []string
	for comp := range dir.dir.fresh {
		if comp >= from {
			comps = append(comps, comp)
		}
	}
	sort.Strings(comps)
	return comps
}
