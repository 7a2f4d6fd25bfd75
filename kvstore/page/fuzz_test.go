package page

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// exercise calls every accessor. What the bytes say may be nonsense; it must not
// reach beyond them.
func exercise(p *Page, key []byte) {
	p.Lower()
	p.Upper()
	if p.Level() > 0 {
		p.Route(key)
		for i := range p.Count() {
			p.Child(i)
			p.Bracket(i)
			p.Route(p.Separator(i))
		}
		return
	}
	p.Search(key)
	for i := range p.Count() {
		e := p.Entry(i)
		p.Search(internal(&e))
		p.Value(i)
		p.V1Cells(i, p.Count())
	}
}

// openForged opens bytes as a page whose length and CRC are right, as if whoever
// sealed it had written nonsense.
func openForged(data []byte) *Page {
	if len(data) < HeaderBytes || len(data) > BytesMax {
		return nil
	}
	data = bytes.Clone(data)
	copy(data, magic)
	binary.LittleEndian.PutUint32(data[8:], uint32(len(data)))
	data[12] = version
	forge(data)
	p, err := Open(data, refOf(data), int(data[13]))
	if err != nil {
		return nil
	}
	return p
}

func FuzzPage(f *testing.F) {
	inner, err := SealInner(1, nil, nil, sampleChildren())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(inner, []byte("\x00b"))
	f.Add(mustSealLeaf(f, nil, nil, plainEntries(9)), []byte("\x00users/000004"))
	f.Add(mustSealLeaf(f, []byte("\x01"), nil, sampleEntries()[:4]), []byte("\x01a"))
	f.Fuzz(func(t *testing.T, data, key []byte) {
		if p, err := Open(data, Ref{Place: Place{Bytes: uint32(Padded(len(data)))}}, 0); err == nil {
			exercise(p, key)
		}
		p := openForged(data)
		if p == nil {
			return
		}
		exercise(p, key)
		if p.Check() == nil {
			requireSealed(t, p)
		}
	})
}

// requireSealed makes sure that the entries of a page that passed its check are
// found where they lie.
func requireSealed(t *testing.T, p *Page) {
	if p.Level() > 0 {
		for i := range p.Count() {
			if got := p.Route(p.Separator(i)); got != i && i > 0 {
				t.Fatalf("route to separator %d: %d", i, got)
			}
		}
		return
	}
	for i := range p.Count() {
		e := p.Entry(i)
		if got, found := p.Search(internal(&e)); got != i || !found {
			t.Fatalf("search for entry %d: %d, %v", i, got, found)
		}
	}
}

// The same without a fuzzer: bytes of good pages changed at random, in each run.
func TestForgedPagesDoNotPanic(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	inner, err := SealInner(1, nil, nil, sampleChildren())
	if err != nil {
		t.Fatal(err)
	}
	pages := [][]byte{inner, mustSealLeaf(t, nil, nil, plainEntries(9)), mustSealLeaf(t, nil, nil, sampleEntries()[:4])}
	opened := 0
	for range 200_000 {
		data := bytes.Clone(pages[r.IntN(len(pages))])
		for range 1 + r.IntN(3) {
			data[12+r.IntN(len(data)-12)] = byte(r.Uint32())
		}
		if p := openForged(data); p != nil {
			opened++
			exercise(p, []byte("\x00users/000004"))
		}
	}
	if opened == 0 {
		t.Fatal("no forged page was opened: the test tests nothing")
	}
}
