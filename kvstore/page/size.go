package page

// shortMax is the longest key or value of protocol v1, whose cells have lengths
// of one byte.
const shortMax = 255

// A Tally sums up what entries would take in one leaf. The zero Tally is empty.
type Tally struct {
	entries  int
	strings  int // bytes of keys and values
	birthMin uint64
	birthMax uint64
	plain    bool // some entry does not fit protocol v1
}

// Add counts an entry, and answers what it takes by itself. To that comes, for
// each entry, what Each says of all.
func (t *Tally) Add(e *Entry) int {
	if t.entries == 0 {
		t.birthMin, t.birthMax = e.Birth, e.Birth
	}
	t.birthMin, t.birthMax = min(t.birthMin, e.Birth), max(t.birthMax, e.Birth)
	t.entries++
	t.strings += len(e.Key) + len(e.Value)
	if len(e.Key) > shortMax || len(e.Value) > shortMax || e.Flags&(Blob|Link) != 0 {
		t.plain = true
	}
	return headBytes + 2*offsetBytes + len(e.Key) + len(e.Value) + attributeBytes(e, e.Birth) - 1
}

// Each bounds from above what each entry takes for being among the others: its
// birth, and lengths as long as the longest needs.
func (t *Tally) Each() int {
	return t.lengthBytes() + varintBytes(t.birthMax-t.birthMin)
}

// cellBytes is what the cells take.
func (t *Tally) cellBytes() int { return t.strings + t.entries*t.lengthBytes() }

// lengthBytes is what the lengths in a cell take.
func (t *Tally) lengthBytes() int {
	if t.plain {
		return 4
	}
	return 2
}

// attributeBytes is what the entry's attributes take in a leaf with this base.
func attributeBytes(e *Entry, base uint64) int {
	n := 1 + varintBytes(e.Birth-base)
	if e.Modified != e.Birth {
		n += varintBytes(zigzag(e.Birth, e.Modified))
	}
	if e.Version != e.Modified {
		n += varintBytes(zigzag(e.Modified, e.Version))
	}
	if len(e.Meta) > 0 {
		n += varintBytes(uint64(len(e.Meta))) + len(e.Meta)
	}
	return n
}

// attributesBytes is what the attributes of all entries take.
func attributesBytes(entries []Entry, base uint64) int {
	n := 0
	for i := range entries {
		n += attributeBytes(&entries[i], base)
	}
	return n
}
