package page

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// SealInner makes an inner page of children in ascending order of their
// separators, between the fences. The first child's separator is not written: its
// lower bound is the lower fence. For the buffer and the error see SealLeaf.
func SealInner(level int, lower, upper []byte, children []Child) ([]byte, error) {
	if err := checkChildren(level, lower, upper, children); err != nil {
		return nil, fmt.Errorf("sealing an inner page: %w", err)
	}
	n, length := len(children), len(lower)+len(upper)+HeaderBytes
	for i := range children {
		length += ChildBytes(separator(children, i))
	}
	s, err := newSealer(length, level, n)
	if err != nil {
		return nil, fmt.Errorf("sealing an inner page: %w", err)
	}
	slots := HeaderBytes + (headBytes+offsetBytes)*n
	for i := range children {
		putChild(s.data[slots+childBytes*i:], children[i].Ref)
	}
	s.fences(slots+childBytes*n, lower, upper)
	s.separatorCells(children)
	return s.seal(), nil
}

// separatorCells writes cells and heads; the first of both is empty.
func (s *sealer) separatorCells(children []Child) {
	n, prefix := len(children), 0
	if n > 1 {
		prefix = commonPrefix(children[1].Separator, children[n-1].Separator)
	}
	s.setPrefix(prefix)
	for i := range children {
		s.cell(i)
		sep := separator(children, i)
		s.sized(sep, false)
		if i > 0 {
			s.head(i, sep[prefix:])
		}
	}
}

// ChildBytes is what a child takes in an inner page, its separator included.
func ChildBytes(separator []byte) int {
	return headBytes + offsetBytes + childBytes + 2 + len(separator)
}

// separator is the one that is written for child i.
func separator(children []Child, i int) []byte {
	if i == 0 {
		return nil
	}
	return children[i].Separator
}

func checkChildren(level int, lower, upper []byte, children []Child) error {
	if level < 1 || level > 0xff || len(children) == 0 {
		return fmt.Errorf("%d children at level %d", len(children), level)
	}
	if err := checkFences(lower, upper); err != nil {
		return err
	}
	before := lower
	for i := range children {
		c := &children[i]
		if !c.Place.fits() {
			return fmt.Errorf("child at %v", c.Place)
		}
		if i == 0 {
			continue
		}
		if len(c.Separator) > keyBytesMax || bytes.Compare(before, c.Separator) >= 0 {
			return fmt.Errorf("separator %q after %q", c.Separator, before)
		}
		before = c.Separator
	}
	if upper != nil && bytes.Compare(before, upper) >= 0 {
		return fmt.Errorf("separator %q, upper fence %q", before, upper)
	}
	return nil
}

// fits says whether a child pointer can hold the place.
func (p Place) fits() bool {
	return p.Offset%StepBytes == 0 && p.Bytes%StepBytes == 0 && p.Bytes > 0 &&
		p.Offset/StepBytes <= 0xffff && p.Bytes <= BytesMax
}

func putChild(to []byte, ref Ref) {
	binary.LittleEndian.PutUint64(to, ref.Block)
	binary.LittleEndian.PutUint16(to[8:], uint16(ref.Offset/StepBytes))
	binary.LittleEndian.PutUint16(to[10:], uint16(ref.Bytes/StepBytes))
	binary.LittleEndian.PutUint32(to[12:], ref.CRC)
}
