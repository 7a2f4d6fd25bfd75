package btree

import (
	"errors"
	"fmt"

	"kivaloo/kvstore/kv"
	"kivaloo/kvstore/page"
)

// heightMax bounds the height of a tree. Even two children a page, the fewest,
// reach beyond every disk before it.
const heightMax = 40

// A Tree is one state of the tree: the place of its root. The zero Tree is empty.
type Tree struct {
	Root   page.Ref
	Height int // levels: 0 for an empty tree, 1 if the root is a leaf
}

// check makes sure that the height is one that a tree can have.
func (t Tree) check() error {
	if t.Height < 0 || t.Height > heightMax {
		return corrupt(t.Root, bracket{}, "root of a tree %d pages high", t.Height)
	}
	return nil
}

// A Source reads pages: the engine's cache.
type Source interface {
	// Page answers the page at ref, proved as page.Open does. It may be called
	// by many goroutines.
	Page(ref page.Ref, level int) (*page.Page, error)
}

// Get finds an internal key: its leaf and its index there. If it is not found
// the page is nil.
func Get(src Source, tree Tree, key []byte) (p *page.Page, index int, found bool, err error) {
	ref := tree.Root
	for level := tree.Height - 1; level >= 0; level-- {
		q, err := src.Page(ref, level)
		if err != nil {
			return nil, 0, false, blame(err, p, key)
		}
		p = q
		if level > 0 {
			ref = p.Child(p.Route(key))
		}
	}
	if p == nil {
		return nil, 0, false, tree.check()
	}
	p.Warm()
	if index, found = p.Search(key); !found {
		return nil, 0, false, nil
	}
	return p, index, true, nil
}

// blame says in the report of a damaged page which keys cannot be read: those in
// the bracket that its parent, if any, has for it.
func blame(err error, parent *page.Page, key []byte) error {
	if parent == nil {
		return err
	}
	low, high := parent.Bracket(parent.Route(key))
	return addRange(err, low, high)
}

func addRange(err error, low, high []byte) error {
	var corrupt *kv.CorruptError
	if !errors.As(err, &corrupt) || corrupt.Low != nil || corrupt.High != nil {
		return err
	}
	report := *corrupt
	report.Low, report.High = low, high
	return &report
}

// corrupt reports a page that is whole but cannot stand where it was found.
func corrupt(ref page.Ref, b bracket, format string, args ...any) error {
	return &kv.CorruptError{
		What: "page", Block: ref.Block, Offset: int(ref.Offset),
		Reason: fmt.Sprintf(format, args...), Low: b.low, High: b.high,
	}
}
