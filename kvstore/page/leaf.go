package page

import "encoding/binary"

// Key is the key of entry i of a leaf, without the keyspace byte.
func (p *Page) Key(i int) []byte {
	at, end := p.keyBounds(i)
	return p.data[at:end:end]
}

// Value is the value of entry i, and of its flags Blob and Link: without them the
// value is whole. It reads no attributes where the leaf says that it has neither.
func (p *Page) Value(i int) ([]byte, Flags) {
	_, at := p.keyBounds(i)
	if p.v1 {
		end := at + 1 + int(p.data[at])
		return p.data[at+1 : end : end], 0
	}
	end := at + 2 + int(binary.LittleEndian.Uint16(p.data[at:]))
	return p.data[at+2 : end : end], Flags(p.data[p.attributesAt(i)]) & (Blob | Link)
}

// V1 says that the cells are in protocol v1's encoding, so that V1Cells may be
// called, and that no value is a blob or a link.
func (p *Page) V1() bool { return p.v1 }

// V1Cells are the entries from i up to but not including j in protocol v1's
// encoding (length and key, length and value), of a leaf that is V1.
func (p *Page) V1Cells(i, j int) []byte {
	end := p.cellAt(j)
	return p.data[p.cellAt(i):end:end]
}

// Entry is entry i of a leaf.
func (p *Page) Entry(i int) Entry {
	e := Entry{Space: p.space, Key: p.Key(i)}
	e.Value, _ = p.Value(i)
	p.attributes(&e, p.data[p.attributesAt(i):])
	return e
}

// attributesAt is the offset of the attributes of entry i, and for i = count of
// their end, which is where the cells begin.
func (p *Page) attributesAt(i int) int {
	n := int(p.count)
	if i == n {
		return p.cellAt(0)
	}
	return int(binary.LittleEndian.Uint16(p.data[HeaderBytes+(headBytes+offsetBytes)*n+offsetBytes*i:]))
}

// base is the smallest birth in the leaf.
func (p *Page) base() uint64 { return binary.LittleEndian.Uint64(p.data[24:]) }

// attributes fills in what the bytes a say, and answers how many of them it
// took; 0 says that they are no attributes. Open has proved that they are.
func (p *Page) attributes(e *Entry, a []byte) int {
	if len(a) == 0 || Flags(a[0])&^(flagModified|flagVersion|flagMeta|CallerFlags) != 0 {
		return 0
	}
	flags, r := Flags(a[0]), varints{rest: a[1:]}
	e.Flags = flags & CallerFlags
	e.Birth = p.base() + r.unsigned()
	e.Modified = e.Birth
	if flags&flagModified != 0 {
		e.Modified += r.signed()
	}
	e.Version = e.Modified
	if flags&flagVersion != 0 {
		e.Version += r.signed()
	}
	if flags&flagMeta != 0 {
		e.Meta = r.bytes()
	}
	if r.bad {
		return 0
	}
	return len(a) - len(r.rest)
}
