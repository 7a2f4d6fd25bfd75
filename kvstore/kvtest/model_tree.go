package kvtest

import (
	"hash/fnv"
	"iter"
)

// A tree is an ordered map that never changes: put and delete answer another
// tree, which shares what is the same. It is a treap whose priorities are hashes
// of the keys, so that equal maps are equal trees.
type tree[V any] struct{ root *node[V] }

type node[V any] struct {
	key         string
	value       V
	priority    uint64
	size        int
	left, right *node[V]
}

func (t tree[V]) len() int { return t.root.len() }

func (n *node[V]) len() int {
	if n == nil {
		return 0
	}
	return n.size
}

func (n *node[V]) with(left, right *node[V]) *node[V] {
	m := *n
	m.left, m.right = left, right
	m.size = left.len() + 1 + right.len()
	return &m
}

func (t tree[V]) get(key string) (value V, found bool) {
	for n := t.root; n != nil; {
		switch {
		case key == n.key:
			return n.value, true
		case key < n.key:
			n = n.left
		default:
			n = n.right
		}
	}
	return value, false
}

func (t tree[V]) put(key string, value V) tree[V] {
	below, rest := split(t.root, key)
	_, above := split(rest, key+"\x00")
	n := &node[V]{key: key, value: value, priority: priority(key), size: 1}
	return tree[V]{join(join(below, n), above)}
}

func (t tree[V]) delete(key string) tree[V] {
	below, rest := split(t.root, key)
	_, above := split(rest, key+"\x00")
	return tree[V]{join(below, above)}
}

// up yields the pairs from key on, in order.
func (t tree[V]) up(from string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) { t.root.up(from, yield) }
}

func (n *node[V]) up(from string, yield func(string, V) bool) bool {
	if n == nil {
		return true
	}
	if n.key < from {
		return n.right.up(from, yield)
	}
	return n.left.up(from, yield) && yield(n.key, n.value) && n.right.up(from, yield)
}

// down yields the pairs below a key, from the last to the first.
func (t tree[V]) down(before string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		below, _ := split(t.root, before)
		below.down(yield)
	}
}

// downAll yields all pairs, from the last to the first.
func (t tree[V]) downAll() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) { t.root.down(yield) }
}

func (n *node[V]) down(yield func(string, V) bool) bool {
	return n == nil || n.right.down(yield) && yield(n.key, n.value) && n.left.down(yield)
}

// split parts the keys below key from the rest.
func split[V any](n *node[V], key string) (below, rest *node[V]) {
	if n == nil {
		return nil, nil
	}
	if n.key < key {
		below, rest = split(n.right, key)
		return n.with(n.left, below), rest
	}
	below, rest = split(n.left, key)
	return below, n.with(rest, n.right)
}

// join puts together two trees, all keys of a being below those of b.
func join[V any](a, b *node[V]) *node[V] {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.priority >= b.priority:
		return a.with(a.left, join(a.right, b))
	default:
		return b.with(join(a, b.left), b.right)
	}
}

func priority(key string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(key))
	x := h.Sum64() // of similar keys FNV's high bits are similar: mix them
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	return x ^ x>>33
}
