package page

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"kivaloo/kvstore/kv"
)

// Open proves that data are the page that ref and level mean, and answers a view
// of it that keeps data. What follows the page's length is padding. The error is
// a *kv.CorruptError.
//
// Order and fences are not looked at: whoever sealed the page has (see Check).
func Open(data []byte, ref Ref, level int) (*Page, error) {
	p, err := open(data, ref, level)
	if err != nil {
		return nil, &kv.CorruptError{
			What: "page", Block: ref.Block, Offset: int(ref.Offset), Reason: err.Error(),
		}
	}
	return p, nil
}

func open(data []byte, ref Ref, level int) (*Page, error) {
	if err := proveBytes(data, ref); err != nil {
		return nil, err
	}
	if data[12] != version {
		return nil, fmt.Errorf("page format version %d, known is %d", data[12], version)
	}
	if int(data[13]) != level {
		return nil, fmt.Errorf("expected a page of level %d, found level %d", level, data[13])
	}
	p := view(data)
	return p, p.prove()
}

// Sealed is a view of what SealLeaf or SealInner has just answered: nothing of it
// needs proof.
func Sealed(data []byte) *Page {
	p := view(data)
	p.findPrefix()
	return p
}

// proveBytes makes sure that these are the bytes that were once sealed.
func proveBytes(data []byte, ref Ref) error {
	if len(data) < HeaderBytes {
		return fmt.Errorf("%d bytes, too few for a header", len(data))
	}
	if string(data[:4]) != magic {
		return fmt.Errorf("expected magic %q, found %q", magic, data[:4])
	}
	if crc := CRC(data); crc != ref.CRC {
		return fmt.Errorf("expected the page with CRC %08x, found the one with %08x", ref.CRC, crc)
	}
	length := binary.LittleEndian.Uint32(data[8:])
	if length < HeaderBytes || length > BytesMax || int64(length) > int64(len(data)) {
		return fmt.Errorf("length %d, in %d bytes", length, len(data))
	}
	if ref.Bytes != uint32(Padded(int(length))) {
		return fmt.Errorf("length %d, where %d bytes were written", length, ref.Bytes)
	}
	if crc := crc32.Checksum(data[8:length], castagnoli); crc != ref.CRC {
		return fmt.Errorf("expected CRC %08x, found %08x", ref.CRC, crc)
	}
	return nil
}

// view reads the header of a page whose length is right.
func view(data []byte) *Page {
	length := binary.LittleEndian.Uint32(data[8:])
	p := &Page{
		data:   data[:length:length],
		level:  data[13],
		space:  data[14],
		v1:     data[15]&flagV1 != 0,
		count:  binary.LittleEndian.Uint16(data[16:]),
		lower:  binary.LittleEndian.Uint16(data[18:]),
		upper:  binary.LittleEndian.Uint16(data[20:]),
		prefix: binary.LittleEndian.Uint16(data[22:]),
	}
	p.fencesAt = uint16(HeaderBytes + p.slotBytes()*int(p.count))
	return p
}

// slotBytes is what each entry or child takes between header and fences.
func (p *Page) slotBytes() int {
	if p.level == 0 {
		return headBytes + 2*offsetBytes
	}
	return headBytes + offsetBytes + childBytes
}

// findPrefix finds the prefix in the first key, or in the second separator.
func (p *Page) findPrefix() {
	first := 0
	if p.level > 0 {
		first = 1
	}
	if first < int(p.count) {
		at, _ := p.keyBounds(first)
		p.prefixAt = uint16(at)
	}
}

// prove makes sure that every part lies within the page, so that no accessor can
// go beyond it, whoever made these bytes.
func (p *Page) prove() error {
	if p.count == 0 {
		return fmt.Errorf("no entries")
	}
	if p.data[15]&^flagV1 != 0 || (p.level > 0 && p.data[15] != 0) {
		return fmt.Errorf("unknown flags %02x", p.data[15])
	}
	at := HeaderBytes + p.slotBytes()*int(p.count) + int(p.lower)
	if p.upper != unbounded {
		at += int(p.upper)
	}
	if p.upper == 0 || at > len(p.data) {
		return fmt.Errorf("%d entries and fences of %d and %d bytes in %d bytes", p.count, p.lower, p.upper, len(p.data))
	}
	if p.level == 0 {
		end, err := p.proveAttributes(at)
		if err != nil {
			return err
		}
		at = end
	}
	if err := p.proveCells(at); err != nil {
		return err
	}
	return p.provePrefix()
}

// proveAttributes follows the attributes from offset at on, to their end.
func (p *Page) proveAttributes(at int) (int, error) {
	if end := p.cellAt(0); end < at || end > len(p.data) {
		return 0, fmt.Errorf("attributes from %d to %d", at, end)
	}
	area := p.data[:p.cellAt(0)]
	var e Entry
	for i := range int(p.count) {
		if p.attributesAt(i) != at {
			return 0, fmt.Errorf("attributes of entry %d at %d, expected at %d", i, p.attributesAt(i), at)
		}
		n := p.attributes(&e, area[at:])
		if n == 0 {
			return 0, fmt.Errorf("attributes of entry %d are none", i)
		}
		at += n
	}
	return at, nil
}

// proveCells follows the cells from offset at to the end of the page.
func (p *Page) proveCells(at int) error {
	for i := range int(p.count) {
		if p.cellAt(i) != at {
			return fmt.Errorf("cell %d at %d, expected at %d", i, p.cellAt(i), at)
		}
		end := at
		for range p.cellStrings() {
			if end = p.skipString(end); end > len(p.data) {
				return fmt.Errorf("cell %d at %d runs over the end", i, at)
			}
		}
		at = end
	}
	if at != len(p.data) {
		return fmt.Errorf("cells end at %d of %d", at, len(p.data))
	}
	return nil
}

// cellStrings is how many strings a cell has: key and value, or a separator.
func (p *Page) cellStrings() int {
	if p.level == 0 {
		return 2
	}
	return 1
}

// skipString is the offset after the length and string at offset at, beyond the
// end if they are not whole.
func (p *Page) skipString(at int) int {
	if p.v1 {
		if at+1 > len(p.data) {
			return len(p.data) + 1
		}
		return at + 1 + int(p.data[at])
	}
	if at+2 > len(p.data) {
		return len(p.data) + 1
	}
	return at + 2 + int(binary.LittleEndian.Uint16(p.data[at:]))
}

// provePrefix makes sure that every key has the prefix's length. It may come
// only after the cells.
func (p *Page) provePrefix() error {
	p.findPrefix()
	first := 0
	if p.level > 0 {
		first = 1
		if at, end := p.keyBounds(0); at != end {
			return fmt.Errorf("first separator is not empty")
		}
	}
	if first == int(p.count) && p.prefix != 0 {
		return fmt.Errorf("prefix of no separators")
	}
	for i := first; i < int(p.count); i++ {
		if at, end := p.keyBounds(i); end-at < int(p.prefix) {
			return fmt.Errorf("key %d of %d bytes is shorter than the prefix of %d", i, end-at, p.prefix)
		}
	}
	return nil
}
