package delta

// depthMax bounds a tree's height: a node has at least eight children, so this
// is far beyond what memory holds.
const depthMax = 16

// Iterator walks the entries of a delta in either direction. It reads the state
// it was made from, whatever is written afterwards. The zero value is not usable.
type Iterator struct {
	root  *node
	depth int
	stack [depthMax]struct {
		n *node
		i int // in the last element the current item; above, the child we are in
	}
}

func (t *tree) iterator() Iterator { return Iterator{root: t.root} }

// Seek goes to the first entry whose key is at least key, and says whether there
// is one.
func (it *Iterator) Seek(key []byte) bool {
	it.depth = 0
	for n := it.root; n != nil; {
		i, found := n.find(key)
		it.push(n, i)
		if found {
			return true
		}
		if n.isLeaf() {
			break
		}
		n = n.children[i]
	}
	return it.up()
}

// SeekBefore goes to the last entry whose key is below key (nil: the last of
// all), and says whether there is one.
func (it *Iterator) SeekBefore(key []byte) bool {
	it.depth = 0
	for n := it.root; n != nil; {
		i := n.count
		if key != nil {
			i, _ = n.find(key)
		}
		it.push(n, i)
		if n.isLeaf() {
			break
		}
		n = n.children[i]
	}
	return it.down()
}

// Entry is the current entry; only valid after a call that said true.
func (it *Iterator) Entry() *Entry {
	top := &it.stack[it.depth-1]
	return top.n.items[top.i]
}

// Next goes to the following entry, and says whether there is one.
func (it *Iterator) Next() bool {
	top := &it.stack[it.depth-1]
	top.i++
	if top.n.isLeaf() {
		return it.up()
	}
	for n := top.n.children[top.i]; ; n = n.children[0] {
		it.push(n, 0)
		if n.isLeaf() {
			return true
		}
	}
}

// Prev goes to the entry before, and says whether there is one.
func (it *Iterator) Prev() bool {
	top := &it.stack[it.depth-1]
	if top.n.isLeaf() {
		return it.down()
	}
	for n := top.n.children[top.i]; ; n = n.children[len(n.children)-1] {
		it.push(n, n.count)
		if n.isLeaf() {
			return it.down()
		}
	}
}

func (it *Iterator) push(n *node, i int) {
	it.stack[it.depth].n, it.stack[it.depth].i = n, i
	it.depth++
}

// up leaves nodes that are at their end; the item after the child is next.
func (it *Iterator) up() bool {
	for it.depth > 0 {
		top := &it.stack[it.depth-1]
		if top.i < top.n.count {
			return true
		}
		it.depth--
	}
	return false
}

// down leaves nodes that are at their beginning; the item before the child is next.
func (it *Iterator) down() bool {
	for it.depth > 0 {
		top := &it.stack[it.depth-1]
		if top.i > 0 {
			top.i--
			return true
		}
		it.depth--
	}
	return false
}
