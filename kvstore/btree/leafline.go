package btree

import (
	"bytes"

	"kivaloo/kvstore/page"
)

// A leafLine is the line of level 0.
type leafLine struct {
	packer[page.Entry]
}

func newLeafLine(m *merger) *leafLine {
	return &leafLine{packer[page.Entry]{m: m, shape: &leafShape{m: m}}}
}

// wants: a leaf holds one keyspace, so the leaves of another are of no use.
func (l *leafLine) wants(low []byte) bool {
	return l.hungry() && len(low) > 0 && low[0] == l.open[0].Space
}

func (l *leafLine) rewrite(n node, b bracket) error {
	x := leafMerge{m: l.m, to: l, ordered: true}
	if n.ref.Bytes > 0 {
		old, err := l.m.read(n.ref, 0, b)
		if err != nil {
			return err
		}
		x.old, x.count = old, old.Count()
	}
	touched := l.m.touched(n.ref, 0, b.high)
	l.begin(b.low)
	before := len(l.open)
	if err := x.run(b.high); err != nil {
		return err
	}
	if !x.changed && !touched && before == 0 && len(l.open) == x.count {
		l.forget()
		return l.keepOld(n)
	}
	if n.ref.Bytes > 0 {
		l.m.bury(n.ref)
	}
	l.changed = true
	l.ordered = l.ordered && x.ordered && before == 0
	return l.close(b.high)
}

// keepOld keeps a leaf that was read for nothing; of an empty tree there is none.
func (l *leafLine) keepOld(n node) error {
	if n.ref.Bytes == 0 {
		return nil
	}
	return l.keep(n)
}

// A leafShape packs entries into leaves.
type leafShape struct {
	m     *merger
	tally page.Tally
}

func (s *leafShape) clear()                         { s.tally = page.Tally{} }
func (s *leafShape) weigh(e *page.Entry) int        { return s.tally.Add(e) }
func (s *leafShape) each() int                      { return s.tally.Each() }
func (s *leafShape) unitsMin() int                  { return 1 }
func (s *leafShape) together(a, b *page.Entry) bool { return a.Space == b.Space }
func (s *leafShape) unpack(n node, b bracket) ([]page.Entry, error) {
	if n.draft != nil {
		return page.Sealed(n.draft.data).Entries(nil), nil
	}
	p, err := s.m.read(n.ref, 0, b)
	if err != nil {
		return nil, err
	}
	return p.Entries(nil), nil
}

// border cuts the key off behind the byte that tells it from the one before.
func (s *leafShape) border(list []page.Entry, i int) []byte {
	e, n := &list[i], s.borderBytes(list, i)
	return append(append(make([]byte, 0, n), e.Space), e.Key[:n-1]...)
}

func (s *leafShape) borderBytes(list []page.Entry, i int) int {
	if list[i-1].Space != list[i].Space {
		return 1
	}
	return 2 + commonPrefix(list[i-1].Key, list[i].Key)
}

func commonPrefix(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

func (s *leafShape) draft(list []page.Entry, b bracket) (*draft, error) {
	data, err := page.SealLeaf(b.low, b.high, list)
	if err != nil {
		return nil, err
	}
	return &draft{level: 0, b: b, bytes: page.Padded(len(data)), data: data}, nil
}

// join: entries are what they are.
func (s *leafShape) join(a, b page.Entry) ([]page.Entry, error) { return []page.Entry{a, b}, nil }

// same says whether the entry is as it was. Its key is not looked at.
func same(a, b *page.Entry) bool {
	return a.Birth == b.Birth && a.Modified == b.Modified && a.Version == b.Version && a.Flags == b.Flags &&
		bytes.Equal(a.Value, b.Value) && bytes.Equal(a.Meta, b.Meta)
}
