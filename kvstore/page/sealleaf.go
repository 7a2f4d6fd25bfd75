package page

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// SealLeaf makes a leaf of entries in ascending order of their keys, all of one
// keyspace and between the fences; a nil upper fence is unbounded. The buffer is
// the caller's; its capacity is its length padded, with zeros. The error says what
// is wrong with the entries.
func SealLeaf(lower, upper []byte, entries []Entry) ([]byte, error) {
	if err := checkEntries(lower, upper, entries); err != nil {
		return nil, fmt.Errorf("sealing a leaf: %w", err)
	}
	n, t := len(entries), Tally{}
	for i := range entries {
		t.Add(&entries[i])
	}
	slots := HeaderBytes + (headBytes+2*offsetBytes)*n
	cells := slots + len(lower) + len(upper) + attributesBytes(entries, t.birthMin)
	s, err := newSealer(cells+t.cellBytes(), 0, n)
	if err != nil {
		return nil, fmt.Errorf("sealing a leaf: %w", err)
	}
	s.data[14] = entries[0].Space
	if !t.plain {
		s.data[15] = flagV1
	}
	binary.LittleEndian.PutUint64(s.data[24:], t.birthMin)
	s.fences(slots, lower, upper)
	for i := range entries {
		s.attribute(i)
		s.attributes(&entries[i], t.birthMin)
	}
	s.entryCells(entries, !t.plain)
	return s.seal(), nil
}

// entryCells writes cells and heads.
func (s *sealer) entryCells(entries []Entry, v1 bool) {
	prefix := commonPrefix(entries[0].Key, entries[len(entries)-1].Key)
	s.setPrefix(prefix)
	for i := range entries {
		s.head(i, entries[i].Key[prefix:])
		s.cell(i)
		s.sized(entries[i].Key, v1)
		s.sized(entries[i].Value, v1)
	}
}

// checkEntries is the check before writing, of all that a reader relies on.
func checkEntries(lower, upper []byte, entries []Entry) error {
	if len(entries) == 0 {
		return fmt.Errorf("no entries")
	}
	if err := checkFences(lower, upper); err != nil {
		return err
	}
	for i := range entries {
		e := &entries[i]
		if len(e.Key) > keyBytesMax || len(e.Value) > unbounded || e.Flags&^CallerFlags != 0 {
			return fmt.Errorf("entry %q: key of %d bytes, value of %d, flags %02x", e.Key, len(e.Key), len(e.Value), e.Flags)
		}
		if i > 0 && (e.Space != entries[0].Space || bytes.Compare(entries[i-1].Key, e.Key) >= 0) {
			return fmt.Errorf("entry %q of space %d after %q of space %d", e.Key, e.Space, entries[i-1].Key, entries[i-1].Space)
		}
	}
	first, last := &entries[0], &entries[len(entries)-1]
	if compareInternal(first, lower) < 0 || (upper != nil && compareInternal(last, upper) >= 0) {
		return fmt.Errorf("entries from %q to %q of space %d between the fences %q and %q",
			first.Key, last.Key, first.Space, lower, upper)
	}
	return nil
}

// compareInternal compares the entry's internal key with key.
func compareInternal(e *Entry, key []byte) int {
	switch {
	case len(key) == 0 || e.Space > key[0]:
		return 1
	case e.Space < key[0]:
		return -1
	}
	return bytes.Compare(e.Key, key[1:])
}

// attributes writes what stands beside the entry's cell.
func (s *sealer) attributes(e *Entry, base uint64) {
	flags := e.Flags
	if e.Modified != e.Birth {
		flags |= flagModified
	}
	if e.Version != e.Modified {
		flags |= flagVersion
	}
	if len(e.Meta) > 0 {
		flags |= flagMeta
	}
	s.data[s.at] = byte(flags)
	s.at++
	s.varint(e.Birth - base)
	if flags&flagModified != 0 {
		s.varint(zigzag(e.Birth, e.Modified))
	}
	if flags&flagVersion != 0 {
		s.varint(zigzag(e.Modified, e.Version))
	}
	if flags&flagMeta != 0 {
		s.varint(uint64(len(e.Meta)))
		s.put(e.Meta)
	}
}
