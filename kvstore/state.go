package kvstore

import (
	"fmt"

	"kivaloo/kvstore/btree"
	"kivaloo/kvstore/delta"
	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
)

// A state is everything that a reader sees: what is committed and not yet in
// pages, newest first, over the tree. A published state is never changed; readers
// need no lock, and no pin either: the block numbers of a page are never used
// again, so a reader that is late finds nothing (lbs.ErrNoBlock), never something
// else, and starts over from the state published since.
type state struct {
	active  *delta.Delta // changes since the last freeze
	frozen  *delta.Delta // what the checkpoint under way is merging, or nil
	tree    btree.Tree
	version uint64 // stamp of the last change
}

// A pair is what the layers of a state together say of a key.
type pair struct {
	value, meta              []byte
	birth, modified, version uint64
	flags                    delta.Flags // Blob, Link and Brought
	// names is how many names the pair has, if it is a body that a link was
	// followed to: then 2 or more, and 0 if it is a pair of its own.
	names uint32
}

// layers is the number of deltas a state may have.
const layers = 2

func (s *state) layer(i int) *delta.Delta {
	if i == 0 {
		return s.active
	}
	return s.frozen
}

// get looks an internal key up. Without stamps, birth and metadata may be missing.
func (s *state) get(src btree.Source, key []byte, stamps bool) (pair, bool, error) {
	return s.getBelow(src, key, stamps, 0)
}

// lookup looks an internal key up and follows a link to its body.
func (s *state) lookup(src btree.Source, key []byte, stamps bool) (pair, bool, error) {
	p, found, err := s.get(src, key, stamps)
	if err == nil && found && p.flags&delta.Link != 0 {
		p, err = s.follow(src, &p, stamps)
	}
	return p, found, err
}

// follow answers the body that a link leads to.
func (s *state) follow(src btree.Source, link *pair, stamps bool) (pair, error) {
	birth, err := item.Link(link.value)
	if err != nil {
		return pair{}, fmt.Errorf("%w: %w", kv.ErrCorrupt, err)
	}
	return s.body(src, birth, stamps)
}

// body answers the body of this birth.
func (s *state) body(src btree.Source, birth uint64, stamps bool) (pair, error) {
	var space [bodyKeyBytes]byte
	p, found, err := s.get(src, appendBodyKey(space[:0], birth), stamps)
	if err != nil {
		return pair{}, err
	}
	if !found {
		return pair{}, fmt.Errorf("%w: links lead to body %d, which is not there", kv.ErrCorrupt, birth)
	}
	if p.value, p.names, err = item.CutNames(p.value); err != nil {
		return pair{}, fmt.Errorf("%w: body %d: %w", kv.ErrCorrupt, birth, err)
	}
	p.birth = birth
	return p, nil
}

// getBelow looks a key up from layer i downwards.
func (s *state) getBelow(src btree.Source, key []byte, stamps bool, i int) (pair, bool, error) {
	e, i, covered := s.inDeltas(key, i)
	switch {
	case covered:
		return pair{}, false, nil
	case e != nil:
		return s.fromDelta(src, e, stamps, i)
	}
	return s.fromTree(src, key, stamps)
}

// inDeltas looks a key up in the deltas from layer i downwards: the entry and its
// layer, or nil. covered says that a deleted range above the tree holds the key.
func (s *state) inDeltas(key []byte, i int) (e *delta.Entry, layer int, covered bool) {
	for ; i < layers; i++ {
		d := s.layer(i)
		if d == nil {
			continue
		}
		if e := d.Get(key); e != nil {
			return e, i, false
		}
		if d.Covering(key) != nil {
			return nil, i, true
		}
	}
	return nil, i, false
}

// fromDelta completes an entry of layer i with what it inherits.
func (s *state) fromDelta(src btree.Source, e *delta.Entry, stamps bool, i int) (pair, bool, error) {
	if e.Has(delta.Deleted) {
		return pair{}, false, nil
	}
	p := pair{e.Value, e.Meta, e.Birth, e.Modified, e.Version, e.Flags & delta.PairFlags, 0}
	if !stamps || e.Has(delta.Fresh) {
		return p, true, nil
	}
	base, ok, err := s.getBelow(src, e.Key, true, i+1)
	if err != nil {
		return pair{}, false, err
	}
	if ok {
		p.inherit(e, &base)
	}
	return p, true, nil
}

// inherit takes from the pair below what the entry of p does not bring.
func (p *pair) inherit(e *delta.Entry, below *pair) {
	p.birth = below.birth
	if !e.Has(delta.HasMeta) {
		p.meta = below.meta
	}
}

// size is the length of the value.
func (p *pair) size() (int64, error) {
	if p.flags&delta.Blob == 0 {
		return int64(len(p.value)), nil
	}
	b, err := item.DecodeBlob(p.value)
	return b.Size, err
}
