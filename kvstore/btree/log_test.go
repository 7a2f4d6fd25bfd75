package btree

import (
	"bytes"
	"fmt"
	"testing"

	"kivaloo/kvstore/page"
)

const blockBytes = 4096

// A memLog is sink and source: appended pages at real places, all kept. It knows
// which pages a tree should be using.
type memLog struct {
	data    []byte
	views   map[page.Place]*page.Page // as the engine's cache
	live    map[page.Ref]bool         // written and not dead
	writes  int
	reads   int
	written int64
}

func newMemLog() *memLog {
	return &memLog{views: map[page.Place]*page.Page{}, live: map[page.Ref]bool{}}
}

func (l *memLog) Write(pages [][]byte) ([]page.Place, error) {
	l.writes++
	l.data = append(l.data, make([]byte, -len(l.data)&(blockBytes-1))...)
	places := make([]page.Place, len(pages))
	for i, p := range pages {
		if err := l.checkChildren(page.Sealed(p)); err != nil {
			return nil, err
		}
		at := len(l.data)
		l.data = append(l.data, p...)
		l.data = append(l.data, make([]byte, -len(l.data)&(page.StepBytes-1))...)
		places[i] = page.Place{Block: uint64(at / blockBytes), Offset: uint32(at % blockBytes)}
		ref := page.Ref{Place: places[i], CRC: page.CRC(p)}
		ref.Bytes = uint32(page.Padded(len(p)))
		defer func() { l.live[ref] = true }() // not before the call ends
		l.written += int64(ref.Bytes)
	}
	return places, nil
}

// checkChildren makes sure that children are written in a call before, so that no
// page in the log ever points to nothing.
func (l *memLog) checkChildren(p *page.Page) error {
	for i := 0; p.Level() > 0 && i < p.Count(); i++ {
		if !l.live[p.Child(i)] {
			return fmt.Errorf("child at %v is written after its parent", p.Child(i))
		}
	}
	return nil
}

// bytesAt are what the log has at a place.
func (l *memLog) bytesAt(at page.Place) []byte {
	from := int(at.Block)*blockBytes + int(at.Offset)
	if from < 0 || from+int(at.Bytes) > len(l.data) {
		return nil
	}
	return l.data[from : from+int(at.Bytes)]
}

func (l *memLog) Page(ref page.Ref, level int) (*page.Page, error) {
	l.reads++
	if p := l.views[ref.Place]; p != nil {
		return p, nil
	}
	p, err := page.Open(bytes.Clone(l.bytesAt(ref.Place)), ref, level)
	if err == nil {
		l.views[ref.Place] = p
	}
	return p, err
}

// dead must be told of live pages only, and once.
func (l *memLog) dead(t testing.TB) func(page.Ref) {
	return func(ref page.Ref) {
		if !l.live[ref] {
			t.Fatalf("page at %v is dead twice, or was never written", ref)
		}
		delete(l.live, ref)
	}
}

// checkTree checks the tree, that it uses the live pages and no others, and
// answers its entries.
func checkTree(t testing.TB, l *memLog, tree Tree) []page.Entry {
	t.Helper()
	used := 0
	var list []page.Entry
	err := Check(l, tree, func(ref page.Ref, level int, p *page.Page, err error) error {
		if err != nil {
			return err
		}
		if !l.live[ref] {
			return fmt.Errorf("page at %v of level %d is used and dead", ref, level)
		}
		used++
		if level == 0 {
			list = p.Entries(list)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if used != len(l.live) {
		t.Fatalf("the tree uses %d pages, %d are live", used, len(l.live))
	}
	return list
}
