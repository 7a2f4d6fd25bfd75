package page

import (
	"encoding/binary"
	"hash/crc32"
)

// Bounds of a page.
const (
	// BytesMax is the longest page: offsets in it are 16 bits.
	BytesMax = 64 << 10
	// HeaderBytes is the length of every page's header.
	HeaderBytes = 32

	headBytes   = 4
	offsetBytes = 2
	childBytes  = 16
)

const (
	magic     = "kPAG"
	version   = 1
	unbounded = 0xffff

	// flagV1 says that the cells are in protocol v1's encoding.
	flagV1 = 1 << 0
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A Page is a checked view of a sealed page. It holds where the page's parts
// begin; all else is read from the bytes when it is asked for.
type Page struct {
	data []byte // without padding

	count    uint16
	prefixAt uint16 // the prefix as the first key (or second separator) has it
	prefix   uint16 // its length
	fencesAt uint16
	lower    uint16 // lengths of the fences
	upper    uint16
	level    uint8
	space    uint8
	v1       bool
}

// Count is the number of entries, or of children.
func (p *Page) Count() int { return int(p.count) }

// Level is 0 for a leaf, and for an inner page one more than its children's.
func (p *Page) Level() int { return int(p.level) }

// Space is the keyspace of a leaf.
func (p *Page) Space() byte { return p.space }

// Bytes are the page as it was sealed, without padding.
func (p *Page) Bytes() []byte { return p.data }

// CRC is what a reference to this page carries.
func (p *Page) CRC() uint32 { return CRC(p.data) }

// CRC is what a reference to the sealed page data carries.
func CRC(data []byte) uint32 { return binary.LittleEndian.Uint32(data[4:]) }

// Lower is the inclusive lower fence, an internal key.
func (p *Page) Lower() []byte {
	at, end := int(p.fencesAt), int(p.fencesAt)+int(p.lower)
	return p.data[at:end:end]
}

// Upper is the exclusive upper fence, an internal key; nil is unbounded.
func (p *Page) Upper() []byte {
	if p.upper == unbounded {
		return nil
	}
	at := int(p.fencesAt) + int(p.lower)
	end := at + int(p.upper)
	return p.data[at:end:end]
}

func (p *Page) head(i int) uint32 {
	return binary.LittleEndian.Uint32(p.data[HeaderBytes+headBytes*i:])
}

// cellAt is the offset of cell i, and of the end of the page for i = count.
func (p *Page) cellAt(i int) int {
	n := int(p.count)
	if i == n {
		return len(p.data)
	}
	return int(binary.LittleEndian.Uint16(p.data[HeaderBytes+headBytes*n+offsetBytes*i:]))
}

// keyBounds is where in the page the key or separator i lies.
func (p *Page) keyBounds(i int) (at, end int) {
	at = p.cellAt(i)
	if p.v1 {
		return at + 1, at + 1 + int(p.data[at])
	}
	return at + 2, at + 2 + int(binary.LittleEndian.Uint16(p.data[at:]))
}

// tail is what follows the prefix in the key or separator i.
func (p *Page) tail(i int) []byte {
	at, end := p.keyBounds(i)
	return p.data[at+int(p.prefix) : end]
}
