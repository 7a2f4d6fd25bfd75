package namespace

import "bytes"

// Found says what a key is to the directory that is being listed.
type Found uint8

const (
	// FoundNothing: the key does not lie in the directory.
	FoundNothing Found = iota

	// FoundMarker is the directory's own marker: listed as a Value if its value
	// is not empty.
	FoundMarker

	// FoundPair is a pair of the directory: a Main, or a Beside if the component
	// is a directory too (Also).
	FoundPair

	// FoundDir is a key in a sub-directory: a Main. Go on at AppendAfter.
	FoundDir
)

// Entry says what a key is to d and gives the component, which lies in key.
func (d Dir) Entry(key []byte) (component []byte, found Found) {
	if !bytes.HasPrefix(key, d.Prefix) {
		return nil, FoundNothing
	}
	rest := key[len(d.Prefix):]
	if slash := bytes.IndexByte(rest, '/'); slash >= 0 {
		return rest[:slash], FoundDir
	}
	if len(rest) == 0 && !d.isRoot() {
		return rest, FoundMarker
	}
	return rest, FoundPair
}

// Rival is the target that, if it exists (see Lookup), moves the name of the
// Main of component one place up; a None when there is no such question.
func (d Dir) Rival(component []byte) Target {
	n := len(component)
	if n < 2 || component[n-1] != '.' || bytes.IndexByte(component, '%') < 0 {
		return Target{}
	}
	stem, _, ok := splitFamily(encode(string(component)), '.')
	if !ok {
		return Target{}
	}
	return d.rival(stem)
}

// AppendName appends the name that d shows for a Main or Folder, a Beside or
// the Value; shifted says that the Main has a Rival that exists. When virtual
// is true, the name is that of a virtual directory, and the thing itself lies
// in it. When ok is false, d is a virtual directory and the thing lies
// elsewhere.
func (d Dir) AppendName(dst []byte, kind Kind, component []byte, shifted bool) (name []byte, virtual, ok bool) {
	if kind == Main && d.Cut == "" && isPlain(component) {
		return append(dst, component...), false, true
	}
	text := shownText(kind, string(component), shifted)
	part, virtual, ok := piece(text, d.Cut)
	return append(dst, part...), virtual, ok
}

// isPlain says that a component is its own name.
func isPlain(c []byte) bool {
	switch {
	case len(c) == 0 || len(c) > NameBytesMax:
		return false
	case c[0] == '.' && (len(c) == 1 || len(c) == 2 && c[1] == '.'):
		return false
	}
	return bytes.IndexByte(c, '%') < 0 && bytes.IndexByte(c, 0) < 0
}

// shownText is the name that a thing would have if names had no bound.
func shownText(kind Kind, component string, shifted bool) string {
	switch kind {
	case Value:
		return "%."
	case Beside:
		return encode(component) + "%."
	}
	text := encode(component)
	if stem, _, ok := splitFamily(text, '.'); ok && shifted {
		text = addPad(text, stem)
	}
	return guardCut(text)
}

// Bounds gives the keys between which everything in d lies, from included and
// to not; a nil to is no bound. In a virtual directory other keys lie there
// too: AppendName tells.
func (d Dir) Bounds() (from, to []byte) {
	if d.Cut == "" {
		return d.Prefix, after(d.Prefix)
	}
	from = append(bytes.Clone(d.Prefix), cutPrefix(d.Cut)...)
	return from, after(from)
}

// after is the first key behind all that begin with prefix, or nil.
func after(prefix []byte) []byte {
	for n := len(prefix); n > 0; n-- {
		if prefix[n-1] != 0xff {
			end := bytes.Clone(prefix[:n])
			end[n-1]++
			return end
		}
	}
	return nil
}

// AppendAfter appends the first key behind the directory of a component:
// after users/alice/ comes users/alice0.
func (d Dir) AppendAfter(dst, component []byte) []byte {
	return append(append(append(dst, d.Prefix...), component...), '/'+1)
}

// An Also says whether a pair is a directory too.
type Also uint8

const (
	// AlsoNo: no key begins with the pair's key and a slash.
	AlsoNo Also = iota

	// AlsoYes: the key after the pair's does.
	AlsoYes

	// AlsoAsk: keys that sort below the slash hide the answer: probe for a key
	// that begins with the pair's key and a slash.
	AlsoAsk
)

// AlsoDir judges from the key that follows a pair's key in the store (nil at
// the end) whether it is a directory too.
func AlsoDir(key, next []byte) Also {
	if len(next) <= len(key) || !bytes.HasPrefix(next, key) {
		return AlsoNo
	}
	switch b := next[len(key)]; {
	case b < '/':
		return AlsoAsk
	case b == '/':
		return AlsoYes
	}
	return AlsoNo
}
