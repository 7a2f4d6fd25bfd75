package page

import (
	"bytes"
	"fmt"
)

// Check makes sure of all that the format says, order and fences included. A page
// has one encoding only, so it is right exactly if sealing what it says gives
// the same bytes.
func (p *Page) Check() error {
	again, err := p.sealAgain()
	if err != nil {
		return err
	}
	if !bytes.Equal(again, p.data) {
		return fmt.Errorf("byte %d is not as sealing the same contents makes it", commonPrefix(again, p.data))
	}
	return nil
}

func (p *Page) sealAgain() ([]byte, error) {
	if p.level > 0 {
		return SealInner(p.Level(), p.Lower(), p.Upper(), p.Children(nil))
	}
	return SealLeaf(p.Lower(), p.Upper(), p.Entries(nil))
}

// Entries appends the entries of a leaf to list.
func (p *Page) Entries(list []Entry) []Entry {
	for i := range p.Count() {
		list = append(list, p.Entry(i))
	}
	return list
}

// Children appends the children of an inner page to list. The first separator is
// empty.
func (p *Page) Children(list []Child) []Child {
	for i := range p.Count() {
		list = append(list, Child{Separator: p.Separator(i), Ref: p.Child(i)})
	}
	return list
}
