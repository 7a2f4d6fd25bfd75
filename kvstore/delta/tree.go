package delta

import "bytes"

// nodeItemsMax is how many entries a node holds: enough to keep the tree flat,
// few enough that copying a node for a lone commit costs about as much as the
// allocation itself.
const nodeItemsMax = 63

// tree is a B-tree of entries that shares nodes with the trees it was cloned
// from: a node is written to only by the tree whose generation it carries, and
// copied first by every other (as in github.com/google/btree). Entries are
// never taken out, only replaced: what is deleted stays as a deletion.
type tree struct {
	root       *node
	generation uint64
	length     int
}

type node struct {
	generation uint64
	items      []*Entry
	children   []*node // none in a leaf, else one more than items
}

// find answers the position of key among the items of n, and whether it is there.
func (n *node) find(key []byte) (int, bool) {
	low, high := 0, len(n.items)
	for low < high {
		mid := int(uint(low+high) >> 1)
		switch c := bytes.Compare(n.items[mid].Key, key); {
		case c == 0:
			return mid, true
		case c < 0:
			low = mid + 1
		default:
			high = mid
		}
	}
	return low, false
}

func (t *tree) get(key []byte) *Entry {
	for n := t.root; n != nil; {
		i, found := n.find(key)
		if found {
			return n.items[i]
		}
		if len(n.children) == 0 {
			return nil
		}
		n = n.children[i]
	}
	return nil
}

// floor is the last entry whose key is at most key, or nil.
func (t *tree) floor(key []byte) *Entry {
	var best *Entry
	for n := t.root; n != nil; {
		i, found := n.find(key)
		if found {
			return n.items[i]
		}
		if i > 0 {
			best = n.items[i-1]
		}
		if len(n.children) == 0 {
			break
		}
		n = n.children[i]
	}
	return best
}

// set inserts e, or puts it in the place of the entry with its key.
func (t *tree) set(e *Entry) {
	if t.root == nil {
		t.root = t.newNode(0)
	}
	t.root = t.own(t.root)
	if len(t.root.items) == nodeItemsMax {
		old := t.root
		t.root = t.newNode(1)
		t.root.children = append(t.root.children, old)
		t.split(t.root, 0)
	}
	t.insert(t.root, e)
}

func (t *tree) insert(n *node, e *Entry) {
	for {
		i, found := n.find(e.Key)
		if found {
			n.items[i] = e
			return
		}
		if len(n.children) == 0 {
			n.items = append(n.items, nil)
			copy(n.items[i+1:], n.items[i:])
			n.items[i] = e
			t.length++
			return
		}
		if len(n.children[i].items) == nodeItemsMax {
			n.children[i] = t.own(n.children[i])
			t.split(n, i)
			continue // the entry that moved up may be the one, or come before it
		}
		n.children[i] = t.own(n.children[i])
		n = n.children[i]
	}
}

// split moves the upper half of the full child i of n, both ours, to a new node.
func (t *tree) split(n *node, i int) {
	left := n.children[i]
	half := nodeItemsMax / 2
	if i == len(n.items) && len(left.children) == 0 {
		half = nodeItemsMax - 8 // ascending keys come in crowds: leave the left one full
	}
	right := t.newNode(len(left.children))
	up := left.items[half]
	right.items = append(right.items, left.items[half+1:]...)
	clear(left.items[half:])
	left.items = left.items[:half]
	if len(left.children) > 0 {
		right.children = append(right.children, left.children[half+1:]...)
		clear(left.children[half+1:])
		left.children = left.children[:half+1]
	}
	n.items = append(n.items, nil)
	copy(n.items[i+1:], n.items[i:])
	n.items[i] = up
	n.children = append(n.children, nil)
	copy(n.children[i+2:], n.children[i+1:])
	n.children[i+1] = right
}

func (t *tree) newNode(children int) *node {
	n := &node{generation: t.generation, items: make([]*Entry, 0, nodeItemsMax)}
	if children > 0 {
		n.children = make([]*node, 0, nodeItemsMax+1)
	}
	return n
}

// own is n, or a copy of it that this tree may write to.
func (t *tree) own(n *node) *node {
	if n.generation == t.generation {
		return n
	}
	c := t.newNode(len(n.children))
	c.items = append(c.items, n.items...)
	c.children = append(c.children, n.children...)
	return c
}
