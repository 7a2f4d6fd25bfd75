package btree

import "kivaloo/kvstore/page"

// batchKeys is how many keys are looked up together: as many as the processor
// can wait for at once.
const batchKeys = 16

// A Hit is what was found for one key of a batch.
type Hit struct {
	Page  *page.Page // the leaf; nil if the key is not found
	Index int
	Err   error
}

// GetBatch is Get for many keys; hits is as long as keys. It takes about half the
// time for each where pages are in memory and not in the processor's cache: the
// keys of a group go down the tree side by side, so that their cache misses
// overlap.
func GetBatch(src Source, tree Tree, keys [][]byte, hits []Hit) {
	if err := tree.check(); err != nil {
		for i := range hits {
			hits[i] = Hit{Err: err}
		}
		return
	}
	for len(keys) > 0 {
		n := min(len(keys), batchKeys)
		var g group
		g.get(src, tree, keys[:n], hits[:n])
		keys, hits = keys[n:], hits[n:]
	}
}

// A group is where its keys are on their way down.
type group struct {
	refs [batchKeys]page.Ref
}

func (g *group) get(src Source, tree Tree, keys [][]byte, hits []Hit) {
	for i := range hits {
		g.refs[i], hits[i] = tree.Root, Hit{}
	}
	for level := tree.Height - 1; level >= 0; level-- {
		for i, key := range keys {
			g.step(src, level, i, key, &hits[i])
		}
	}
	for i, key := range keys {
		hits[i].search(key)
	}
}

// step goes to the page of one level.
func (g *group) step(src Source, level, i int, key []byte, h *Hit) {
	if h.Err != nil {
		return
	}
	p, err := src.Page(g.refs[i], level)
	if err != nil {
		h.Err = blame(err, h.Page, key)
		return
	}
	h.Page = p
	if level == 0 {
		p.Warm()
		return
	}
	g.refs[i] = p.Child(p.Route(key))
}

// search ends in the leaf.
func (h *Hit) search(key []byte) {
	found := false
	if h.Page != nil && h.Err == nil {
		h.Index, found = h.Page.Search(key)
	}
	if !found {
		h.Page, h.Index = nil, 0
	}
}
