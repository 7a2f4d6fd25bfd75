package page

import "encoding/binary"

// A Child is what an inner page holds of one of its children.
type Child struct {
	Separator []byte // lower bound of the child's keys; empty for the first
	Ref
}

// Child is where child i of an inner page lies.
func (p *Page) Child(i int) Ref {
	at := HeaderBytes + (headBytes+offsetBytes)*int(p.count) + childBytes*i
	c := p.data[at : at+childBytes]
	return Ref{
		Place: Place{
			Block:  binary.LittleEndian.Uint64(c),
			Offset: uint32(binary.LittleEndian.Uint16(c[8:])) * StepBytes,
			Bytes:  uint32(binary.LittleEndian.Uint16(c[10:])) * StepBytes,
		},
		CRC: binary.LittleEndian.Uint32(c[12:]),
	}
}

// Separator is the lower bound of the keys in child i, an internal key. The first
// is empty and means the page's lower fence.
func (p *Page) Separator(i int) []byte {
	at, end := p.keyBounds(i)
	return p.data[at:end:end]
}

// Bracket bounds the keys in child i: low <= key < high, nil being unbounded.
func (p *Page) Bracket(i int) (low, high []byte) {
	low, high = p.Lower(), p.Upper()
	if i > 0 {
		low = p.Separator(i)
	}
	if i+1 < int(p.count) {
		high = p.Separator(i + 1)
	}
	return low, high
}
