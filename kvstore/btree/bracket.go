package btree

import (
	"bytes"

	"kivaloo/kvstore/page"
)

// A bracket bounds the keys in a subtree: low <= key < high; a nil high is
// unbounded. It is what the separators around a child pointer say.
type bracket struct {
	low, high []byte
}

// below says whether key lies below the upper bound high.
func below(key, high []byte) bool { return high == nil || bytes.Compare(key, high) < 0 }

// bracketOf is the bracket of child i, of a page that has the bracket b.
func bracketOf(p *page.Page, i int, b bracket) bracket {
	if i > 0 {
		b.low = p.Separator(i)
	}
	if i+1 < p.Count() {
		b.high = p.Separator(i + 1)
	}
	return b
}

// holds says whether the fences of p lie within the bracket.
func (b bracket) holds(p *page.Page) bool {
	if bytes.Compare(p.Lower(), b.low) < 0 {
		return false
	}
	if b.high == nil {
		return true
	}
	upper := p.Upper()
	return upper != nil && bytes.Compare(upper, b.high) <= 0
}

// readPage reads the page at ref and makes sure that it belongs there.
func readPage(src Source, ref page.Ref, level int, b bracket) (*page.Page, error) {
	p, err := src.Page(ref, level)
	if err != nil {
		return nil, addRange(err, b.low, b.high)
	}
	if p.Level() != level {
		return nil, corrupt(ref, b, "expected level %d, found %d", level, p.Level())
	}
	if !b.holds(p) {
		return nil, corrupt(ref, b, "fences are %q and %q", p.Lower(), p.Upper())
	}
	return p, nil
}
