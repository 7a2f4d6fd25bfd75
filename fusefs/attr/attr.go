// Package attr encodes what a mount keeps about a pair and the store does not
// read: mode, owner, hand-set times, device number, extended attributes. It is
// the content of kv.Pair.Meta. It is pure.
//
// # Format
//
// Empty metadata have no attributes at all: everything has the mount's defaults.
// Otherwise, version 1:
//
//	u8       version, 1
//	uvarint  which of the following fields there are, in this order:
//	  0x01   mode:   uvarint, (permissions XOR 0644) << 4 | (type XOR 8)
//	  0x02   owner:  uvarint uid, uvarint gid
//	  0x04   rdev:   uvarint, as in stat
//	  0x08   times:  u64 big-endian, the pair's Modified for which they hold
//	  0x10   atime:  varint seconds since 1970, uvarint nanoseconds
//	  0x20   mtime:  varint seconds since 1970, uvarint nanoseconds
//	  0x40   xattrs: uvarint count, then for each, in order of the names:
//	                 uvarint length, name, uvarint length, value
//
// The permissions are the lower 12 bits of st_mode and the type the 4 above
// them, so that a plain file of mode 0644 has the mode 0: with an owner below
// 128 the whole takes 5 bytes.
//
// Hand-set times are void once the contents have changed: they hold only while
// the pair's Modified is the one they name. One stamp serves both, since whoever
// writes metadata leaves out what is void by then. atime or mtime without times,
// or the reverse, is malformed.
//
// Integers are in their shortest form. A bit that is not listed, another
// version, and bytes left over are refused: newer metadata would lose what they
// hold if they were written back by who does not know it.
package attr

import (
	"errors"
	"math"
	"sort"
)

// Version is the only version there is.
const Version = 1

// Bounds of extended attributes.
const (
	// XattrBytesMax bounds names and values of a file's xattrs together.
	XattrBytesMax = 4096
	// XattrNameBytesMax is the kernel's own limit of a name.
	XattrNameBytesMax = 255
)

var (
	// ErrVersion: the metadata are of a version that this program does not know.
	ErrVersion = errors.New("attr: metadata of an unknown version")
	// ErrMalformed: the bytes are no metadata.
	ErrMalformed = errors.New("attr: malformed metadata")
)

// Attr is what the metadata of a pair say.
type Attr struct {
	// HasMode and HasOwner say whether the fields below them are set; if not,
	// the mount's defaults hold.
	HasMode bool
	// Mode is the type and permission bits of st_mode.
	Mode     uint32
	HasOwner bool
	UID, GID uint32
	Rdev     uint32

	// Times are the hand-set ones.
	Times Times
	// Xattrs are in order of their names, each name once.
	Xattrs []Xattr
}

// Times are times that somebody has set.
type Times struct {
	// For is the pair's Modified for which they hold.
	For                uint64
	HasAtime, HasMtime bool
	Atime, Mtime       Time
}

// Time is an instant as in struct timespec.
type Time struct {
	Sec  int64
	Nsec uint32
}

// An Xattr is an extended attribute.
type Xattr struct {
	Name  string
	Value []byte
}

// nsecMax bounds Time.Nsec.
const nsecMax = 999_999_999

// At gives the times that hold for a pair with this Modified, without the void ones.
func (t Times) At(modified uint64) Times {
	if t.For != modified {
		return Times{For: modified}
	}
	return t
}

// Xattr finds an extended attribute.
func (a *Attr) Xattr(name string) (value []byte, ok bool) {
	if i, ok := a.findXattr(name); ok {
		return a.Xattrs[i].Value, true
	}
	return nil, false
}

// SetXattr sets one. It says whether it fits; if not, nothing is changed.
func (a *Attr) SetXattr(name string, value []byte) bool {
	i, found := a.findXattr(name)
	size := a.XattrBytes() + len(name) + len(value)
	if found {
		size -= len(name) + len(a.Xattrs[i].Value)
	}
	if size > XattrBytesMax || len(name) > XattrNameBytesMax {
		return false
	}
	xattrs := append([]Xattr(nil), a.Xattrs[:i]...)
	xattrs = append(xattrs, Xattr{Name: name, Value: append([]byte(nil), value...)})
	if found {
		i++
	}
	a.Xattrs = append(xattrs, a.Xattrs[i:]...)
	return true
}

// RemoveXattr removes one and says whether it was there.
func (a *Attr) RemoveXattr(name string) bool {
	i, found := a.findXattr(name)
	if found {
		a.Xattrs = append(append([]Xattr(nil), a.Xattrs[:i]...), a.Xattrs[i+1:]...)
	}
	return found
}

// XattrBytes is what XattrBytesMax bounds.
func (a *Attr) XattrBytes() int {
	n := 0
	for _, x := range a.Xattrs {
		n += len(x.Name) + len(x.Value)
	}
	return n
}

func (a *Attr) findXattr(name string) (at int, found bool) {
	at = sort.Search(len(a.Xattrs), func(i int) bool { return a.Xattrs[i].Name >= name })
	return at, at < len(a.Xattrs) && a.Xattrs[at].Name == name
}

// uint32Max bounds ids and device numbers.
const uint32Max = math.MaxUint32
