package delta

import (
	"bytes"
	"encoding/binary"
)

// nodeItemsMax is how many entries a node holds: enough to keep the tree flat,
// few enough that copying a node for a lone commit costs about as much as the
// allocation itself.
const nodeItemsMax = 63

// tree is a B-tree of entries that shares nodes with the trees it was cloned
// from. A node belongs to the tree whose generation it carries, and is
// copied first by every other (as in github.com/google/btree). Entries are
// never taken out, only replaced: what is deleted stays as a deletion.
type tree struct {
	root       *node
	generation uint64
	length     int
}

// A node has beside each entry the head of its key, eight bytes as a number, so
// that a search looks at neighbouring words and not at a key behind two pointers
// for each step: on random keys it takes a third of the time. Heads begin after
// the prefix that all keys of the node share, where keys begin to differ.
type node struct {
	generation uint64
	count      int
	prefix     int // length of what all keys share; of a single key, all of it
	heads      [nodeItemsMax]uint64
	items      [nodeItemsMax]*Entry
	children   []*node // none in a leaf, else one more than items
}

// HeadBytes of a key are compared as one number, its head.
const HeadBytes = 8

// Head is the head of what follows a prefix in a key: padded with zeros, so that
// heads order keys, except where they are equal.
func Head(rest []byte) uint64 {
	if len(rest) >= HeadBytes {
		return binary.BigEndian.Uint64(rest)
	}
	var h [HeadBytes]byte
	copy(h[:], rest)
	return binary.BigEndian.Uint64(h[:])
}

// commonPrefix is the length of what two keys share.
func commonPrefix(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n && binary.LittleEndian.Uint64(a[i:]) == binary.LittleEndian.Uint64(b[i:]); i += 8 {
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// find answers the position of key among the items of n, and whether it is there.
func (n *node) find(key []byte) (int, bool) {
	if n.count == 0 {
		return 0, false
	}
	if len(key) < n.prefix || string(key[:n.prefix]) != string(n.shared()) {
		if bytes.Compare(key, n.shared()) < 0 {
			return 0, false
		}
		return n.count, false
	}
	h := Head(key[n.prefix:])
	i := n.headSearch(h)
	for ; i < n.count && n.heads[i] == h; i++ {
		switch c := bytes.Compare(n.items[i].Key[n.prefix:], key[n.prefix:]); {
		case c == 0:
			return i, true
		case c > 0:
			return i, false
		case i+1 < n.count && n.heads[i+1] == h:
			return n.tailSearch(i+1, key)
		}
	}
	return i, false
}

// shared is the prefix.
func (n *node) shared() []byte { return n.items[0].Key[:n.prefix] }

// headSearch is the first position whose head is not below h. The compiler makes
// the loop's condition a conditional move: no step depends on a guess.
func (n *node) headSearch(h uint64) int {
	lo := 0
	for size := n.count; size > 0; {
		half := (size + 1) >> 1
		if next := lo + half; n.heads[next-1] < h {
			lo = next
		}
		size -= half
	}
	return lo
}

// tailSearch is find by whole keys, from position lo on: where heads are equal.
func (n *node) tailSearch(lo int, key []byte) (int, bool) {
	high := n.count
	for lo < high {
		mid := int(uint(lo+high) >> 1)
		switch c := bytes.Compare(n.items[mid].Key, key); {
		case c == 0:
			return mid, true
		case c < 0:
			lo = mid + 1
		default:
			high = mid
		}
	}
	return lo, false
}

// isLeaf says that the node has no children.
func (n *node) isLeaf() bool { return len(n.children) == 0 }

// open makes room for an item of this key at position i.
func (n *node) open(i int, key []byte) {
	copy(n.items[i+1:], n.items[i:n.count])
	copy(n.heads[i+1:], n.heads[i:n.count])
	n.count++
	shared := len(key)
	if n.count > 1 {
		shared = commonPrefix(key, n.items[(i+1)%n.count].Key) // with any other
	}
	if n.count == 1 || shared < n.prefix {
		n.items[i] = &Entry{Key: key}
		n.setPrefix(shared)
	}
	n.heads[i] = Head(key[n.prefix:])
}

// setPrefix makes the heads begin elsewhere.
func (n *node) setPrefix(prefix int) {
	n.prefix = prefix
	for i, e := range n.items[:n.count] {
		n.heads[i] = Head(e.Key[prefix:])
	}
}

// measure finds the prefix anew: of fewer keys it may be longer. They are in
// order, so what the first and the last share, all do.
func (n *node) measure() {
	if n.count > 0 {
		n.setPrefix(commonPrefix(n.items[0].Key, n.items[n.count-1].Key))
	}
}

func (t *tree) get(key []byte) *Entry {
	for n := t.root; n != nil; {
		i, found := n.find(key)
		if found {
			return n.items[i]
		}
		if n.isLeaf() {
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
		if n.isLeaf() {
			break
		}
		n = n.children[i]
	}
	return best
}

// set inserts e, or puts it in the place of the entry with its key.
func (t *tree) set(e *Entry) { *t.place(e.Key) = e }

// place answers where the entry of a key is kept. It holds the entry that is
// there, or nil: then one with this key must be put there before anything else is
// asked of the tree.
func (t *tree) place(key []byte) **Entry {
	if t.root == nil {
		t.root = t.newNode()
	}
	t.root = t.own(t.root)
	if t.root.count == nodeItemsMax {
		old := t.root
		t.root = t.newNode()
		t.root.children = append(make([]*node, 0, nodeItemsMax+1), old)
		t.split(t.root, 0)
	}
	return t.placeIn(t.root, key)
}

func (t *tree) placeIn(n *node, key []byte) **Entry {
	for {
		i, found := n.find(key)
		if found {
			return &n.items[i]
		}
		if n.isLeaf() {
			n.open(i, key)
			n.items[i] = nil
			t.length++
			return &n.items[i]
		}
		n.children[i] = t.own(n.children[i])
		if n.children[i].count == nodeItemsMax {
			t.split(n, i)
			continue // the entry that moved up may be the one, or come before it
		}
		n = n.children[i]
	}
}

// split moves the upper half of the full child i of n, both ours, to a new node.
func (t *tree) split(n *node, i int) {
	left := n.children[i]
	half := nodeItemsMax / 2
	if i == n.count && left.isLeaf() {
		half = nodeItemsMax - 8 // ascending keys come in crowds: leave the left one full
	}
	right := t.newNode()
	up := left.items[half]
	right.count = copy(right.items[:], left.items[half+1:left.count])
	clear(left.items[half:left.count])
	left.count = half
	if !left.isLeaf() {
		right.children = append(make([]*node, 0, nodeItemsMax+1), left.children[half+1:]...)
		clear(left.children[half+1:])
		left.children = left.children[:half+1]
	}
	left.measure()
	right.measure()
	n.open(i, up.Key)
	n.items[i] = up
	n.children = append(n.children, nil)
	copy(n.children[i+2:], n.children[i+1:])
	n.children[i+1] = right
}

func (t *tree) newNode() *node { return &node{generation: t.generation} }

// own is n, or a copy of it that this tree may write to.
func (t *tree) own(n *node) *node {
	if n.generation == t.generation {
		return n
	}
	c := new(node)
	*c = *n
	c.generation = t.generation
	if !n.isLeaf() {
		c.children = append(make([]*node, 0, nodeItemsMax+1), n.children...)
	}
	return c
}
