package namespace

import "strings"

const (
	// NameBytesMax is the longest name of every kernel since FUSE began; what
	// needs more is cut.
	NameBytesMax = 1024

	// KeyBytesMax is the longest key of the store.
	KeyBytesMax = 4095
)

// A Dir is the place in a directory tree where names are looked up or listed.
// The zero Dir is the root.
type Dir struct {
	// Prefix is the key prefix of the directory, with the slash at its end. It
	// is empty for the root.
	Prefix []byte

	// Cut is empty but for a virtual directory: then it is Target.Cut of the
	// lookup that found it, and Prefix is that of the real directory above.
	Cut string
}

// A Kind says what a name stands for.
type Kind uint8

const (
	// None: nothing can have the name.
	None Kind = iota

	// Main is the directory of a component if a key begins with its prefix, else
	// the pair of the component.
	Main

	// Folder is a Main that can only be a directory: below the root the pair of
	// an empty component is the marker of the directory above.
	Folder

	// Beside is the pair of a component that is a directory too.
	Beside

	// Value is the value of the directory's own marker.
	Value

	// Virtual is a virtual directory. It exists while something is in it.
	Virtual
)

// A Target is what a name stands for, whether or not it exists.
type Target struct {
	Kind Kind

	// Component is that of a Main, Folder or Beside: Dir.AppendKey makes the
	// pair's key of it and Dir.AppendPrefix the directory's prefix. The key of a
	// Value is Dir.Prefix. It may share the memory of the name that was looked up.
	Component string

	// Cut is the Dir.Cut of a Virtual.
	Cut string

	// Err of a None says why: ErrReserved or ErrKeyTooLong.
	Err error
}

// A Lookup is what a name stands for, with at most one question open.
type Lookup struct {
	// Plain is the answer, unless there is a Rival and it exists.
	Plain Target

	// Rival is a None when there is no question. A Beside exists when its
	// component is a pair and a directory, a Value when the marker's value is not
	// empty.
	Rival Target

	// Shifted is the answer if Rival exists; it can be the Rival itself.
	Shifted Target
}

// Answer is the target, once it is known whether the Rival exists.
func (l Lookup) Answer(rivalExists bool) Target {
	if l.Rival.Kind != None && rivalExists {
		return l.Shifted
	}
	return l.Plain
}

// Lookup says what a name in d stands for. It allocates nothing for a name
// without '%' in a real directory.
func (d Dir) Lookup(name string) (Lookup, error) {
	percent, err := checkName(name)
	if err != nil {
		return Lookup{}, err
	}
	if !percent && d.Cut == "" {
		return Lookup{Plain: d.main(name)}, nil
	}
	if isCutName(name) {
		return Lookup{Plain: d.virtual(name)}, nil
	}
	text := d.Cut + name
	if _, _, ok := piece(text, d.Cut); !ok {
		return Lookup{Plain: Target{Err: ErrReserved}}, nil
	}
	return d.lookupText(unguardCut(text)), nil
}

// checkName refuses what cannot be a name, and says whether there is a '%'.
func checkName(name string) (percent bool, err error) {
	switch {
	case len(name) > NameBytesMax:
		return false, ErrNameTooLong
	case name == "" || name == "." || name == "..":
		return false, ErrBadName
	case strings.IndexByte(name, '/') >= 0 || strings.IndexByte(name, 0) >= 0:
		return false, ErrBadName
	}
	return strings.IndexByte(name, '%') >= 0, nil
}

// virtual is the target of a virtual directory's name.
func (d Dir) virtual(name string) Target {
	cut, ok := extendCut(d.Cut, name)
	if !ok {
		return Target{Err: ErrReserved}
	}
	return Target{Kind: Virtual, Cut: cut}
}

// main is the target that a component has by itself.
func (d Dir) main(component string) Target {
	switch {
	case len(d.Prefix)+len(component) > KeyBytesMax:
		return Target{Err: ErrKeyTooLong}
	case component == "" && !d.isRoot():
		return Target{Kind: Folder}
	}
	return Target{Kind: Main, Component: component}
}

func (d Dir) isRoot() bool { return len(d.Prefix) == 0 }

// lookupText finds the target of a text and the rival that can claim it.
func (d Dir) lookupText(text string) Lookup {
	l := Lookup{Plain: d.main(decode(text))}
	stem, pads, ok := splitFamily(text, '.')
	if !ok {
		return l
	}
	l.Rival = d.rival(stem)
	switch {
	case l.Rival.Kind == None:
	case pads == 0:
		l.Shifted = l.Rival
	default:
		l.Shifted = d.main(decode(dropPad(text, stem)))
	}
	return l
}

// rival is what takes the first name in the family of a stem when it exists.
func (d Dir) rival(stem string) Target {
	switch {
	case stem == "." || stem == "..": // no component has this text
		return Target{}
	case stem == "" && d.isRoot(): // the root has no marker
		return Target{}
	case stem == "":
		return Target{Kind: Value}
	}
	component := decode(stem)
	if component == "" && !d.isRoot() { // the marker shows as a Value
		return Target{}
	}
	if len(d.Prefix)+len(component)+len("/") > KeyBytesMax { // never a directory
		return Target{}
	}
	return Target{Kind: Beside, Component: component}
}

// AppendKey appends the key of the pair of a component.
func (d Dir) AppendKey(dst []byte, component string) []byte {
	return append(append(dst, d.Prefix...), component...)
}

// AppendPrefix appends the key prefix of the directory of a component, which is
// also the key of its marker. It can be one byte longer than a key may be
// (CheckKey); then there is no such directory.
func (d Dir) AppendPrefix(dst []byte, component string) []byte {
	return append(d.AppendKey(dst, component), '/')
}

// CheckKey says whether a key or a prefix is short enough for the store.
func CheckKey(key []byte) error {
	if len(key) > KeyBytesMax {
		return ErrKeyTooLong
	}
	return nil
}
