package btree

import (
	"fmt"

	"kivaloo/kvstore/page"
)

// A Change is one item to merge into the tree: a point, or a range. Its bytes
// must stay as they are until Merge returns.
type Change struct {
	Key []byte // internal key
	// End makes the change a range: Key <= key < End. It concerns the entries
	// that are there and adds none.
	End     []byte
	Payload any // the caller's
}

// Changes yields changes in order: disjoint, and each key above those before.
type Changes interface {
	// Next answers nil at the end. What it answers is used until the next call.
	Next() (*Change, error)
}

// A Resolve decides what becomes of a point's key, or of each entry in a range:
// the new entry, or none if keep is false. Of the answer Space and Key are not
// read. Its slices may be those of old, and must stay as they are until Merge
// returns. An answer equal to old changes nothing and costs no page.
type Resolve func(old page.Entry, hasOld bool, change *Change) (e page.Entry, keep bool, err error)

// A Touch has the page at a level that holds a key written again, wherever it is
// now: so the cleaner moves live pages.
type Touch struct {
	Key   []byte
	Level int
	// Place, if it is not zero, spares a page that lies elsewhere: the one that
	// was meant is dead already.
	Place page.Place
}

// means says whether the touch is for the page at ref, which holds its key.
func (t *Touch) means(ref page.Ref) bool {
	return t.Place == page.Place{} || t.Place == ref.Place
}

// A Sink takes new pages.
type Sink interface {
	// Write keeps sealed pages and answers their places, of which Bytes is not
	// read. The sink may keep the pages, which nobody changes any more. Pages
	// that point to others come in a later call than those.
	Write(pages [][]byte) ([]page.Place, error)
}

// Options of a merge.
type Options struct {
	Resolve Resolve
	// Dead, if not nil, is told every page that the new tree does not use and
	// the old one did, and the few that are written and replaced within the
	// merge. If Merge fails, nothing is dead.
	Dead func(page.Ref)
	// Touches are in order of their keys.
	Touches []Touch
	// From has all that lies below it passed over: the next of the step before.
	From []byte
	// BudgetBytes has the merge stop after about so many bytes of new pages; 0
	// means no limit. At least one change is merged.
	BudgetBytes int
	// Stop, if not nil, has the merge stop as if its budget were used up.
	Stop func() bool
	// PageBytes is the longest a page should be, 0 meaning PageBytesDefault. A
	// page that holds one large entry is longer, at most page.BytesMax.
	PageBytes int
	// WriteBytes is how many bytes of pages are gathered for one Write, 0 meaning
	// WriteBytesDefault.
	WriteBytes int
}

const (
	// PageBytesDefault is two pages of the kernel: a miss reads little, and the
	// inner pages of 10^8 pairs still fit in memory.
	PageBytesDefault = 8 << 10
	// PageBytesMin and PageBytesMax bound what may be asked for. Above the
	// maximum, the largest entry beside the longest fences could break the limit
	// of the format.
	PageBytesMin = 256
	PageBytesMax = 32 << 10
	// WriteBytesDefault makes appends long enough that their flushes do not
	// matter, and bounds what a merge holds in memory.
	WriteBytesDefault = 1 << 20
)

// Stats say what a merge did.
type Stats struct {
	Added, Dropped int // entries
	PagesRead      int
	PagesWritten   int
	BytesWritten   int // padded
	PagesDead      int
	BytesDead      int // padded
}

// Merge makes a new tree: the old one with changes merged into it. Nothing of the
// old one is overwritten. It takes changes in order and stops when the budget is
// used up: then the tree is whole all the same, and next is the key to go on
// from (see Options.From); nil means that all is done.
func Merge(src Source, sink Sink, tree Tree, changes Changes, opts Options) (Tree, []byte, Stats, error) {
	m, err := newMerger(src, sink, tree, changes, opts)
	if err != nil {
		return Tree{}, nil, Stats{}, err
	}
	after, err := m.run(tree)
	if err != nil {
		return Tree{}, nil, Stats{}, fmt.Errorf("merging: %w", err)
	}
	for _, ref := range m.dead {
		m.tellDead(ref)
	}
	return after, m.next, m.stats, nil
}

// withDefaults fills in what is zero and checks the rest.
func (o Options) withDefaults() (Options, error) {
	if o.PageBytes == 0 {
		o.PageBytes = PageBytesDefault
	}
	if o.WriteBytes == 0 {
		o.WriteBytes = WriteBytesDefault
	}
	if o.PageBytes < PageBytesMin || o.PageBytes > PageBytesMax {
		return o, fmt.Errorf("pages of %d bytes, not from %d to %d", o.PageBytes, PageBytesMin, PageBytesMax)
	}
	return o, nil
}
