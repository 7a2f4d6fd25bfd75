package btree

import "kivaloo/kvstore/page"

// A Visit is told each page of a tree, parents before their children, or why the
// page at ref, and so all below it, cannot be read. If it answers nil the walk
// goes on; else it ends with that error.
type Visit func(ref page.Ref, level int, p *page.Page, err error) error

// Check reads the whole tree and makes sure of all that a search relies on: that
// every page is the one that its parent means and has one encoding only, that
// levels and counts are right, and that keys, separators and fences are in order
// within every page and from page to page. Damage goes to visit; a nil visit
// ends the walk with the first.
func Check(src Source, tree Tree, visit Visit) error {
	if tree.Height == 0 {
		return nil
	}
	if err := tree.check(); err != nil {
		return err
	}
	if visit == nil {
		visit = func(_ page.Ref, _ int, _ *page.Page, err error) error { return err }
	}
	return check(src, tree.Root, tree.Height-1, bracket{}, visit)
}

func check(src Source, ref page.Ref, level int, b bracket, visit Visit) error {
	p, err := checkPage(src, ref, level, b)
	if err != nil {
		return visit(ref, level, nil, err)
	}
	if err := visit(ref, level, p, nil); err != nil || level == 0 {
		return err
	}
	for i := range p.Count() {
		low, high := p.Bracket(i)
		if err := check(src, p.Child(i), level-1, bracket{low, high}, visit); err != nil {
			return err
		}
	}
	return nil
}

func checkPage(src Source, ref page.Ref, level int, b bracket) (*page.Page, error) {
	p, err := readPage(src, ref, level, b)
	if err != nil {
		return nil, err
	}
	if p.CRC() != ref.CRC || page.Padded(len(p.Bytes())) != int(ref.Bytes) {
		return nil, corrupt(ref, b, "expected CRC %08x and %d bytes, found %08x and %d",
			ref.CRC, ref.Bytes, p.CRC(), len(p.Bytes()))
	}
	if err := p.Check(); err != nil {
		return nil, corrupt(ref, b, "%v", err)
	}
	return p, nil
}
