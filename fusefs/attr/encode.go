package attr

import "encoding/binary"

// Bits of the field mask.
const (
	hasMode = 1 << iota
	hasOwner
	hasRdev
	hasTimes
	hasAtime
	hasMtime
	hasXattrs
	hasAll = 1<<iota - 1
)

const (
	permBits     = 0o7777
	plainPerm    = 0o644 // what most files have, encoded as 0
	plainType    = 8     // S_IFREG >> typeShift
	typeShift    = 12
	typeBits     = 4
	typeMask     = 1<<typeBits - 1
	modeCodeMax  = permBits<<typeBits | typeMask
	modeBits     = typeMask<<typeShift | permBits
	timesForSize = 8
)

// Encode gives the bytes of a. An Attr without anything set is empty.
func (a *Attr) Encode() []byte {
	mask := a.mask()
	if mask == 0 {
		return nil
	}
	b := make([]byte, 0, 32+a.XattrBytes())
	b = append(b, Version)
	b = binary.AppendUvarint(b, mask)
	if mask&hasMode != 0 {
		b = binary.AppendUvarint(b, modeCode(a.Mode))
	}
	if mask&hasOwner != 0 {
		b = binary.AppendUvarint(b, uint64(a.UID))
		b = binary.AppendUvarint(b, uint64(a.GID))
	}
	if mask&hasRdev != 0 {
		b = binary.AppendUvarint(b, uint64(a.Rdev))
	}
	b = a.Times.append(b)
	return a.appendXattrs(b)
}

func (a *Attr) mask() uint64 {
	mask := uint64(0)
	for _, f := range [...]struct {
		there bool
		bit   uint64
	}{
		{a.HasMode, hasMode},
		{a.HasOwner, hasOwner},
		{a.Rdev != 0, hasRdev},
		{a.Times.HasAtime || a.Times.HasMtime, hasTimes},
		{a.Times.HasAtime, hasAtime},
		{a.Times.HasMtime, hasMtime},
		{len(a.Xattrs) > 0, hasXattrs},
	} {
		if f.there {
			mask |= f.bit
		}
	}
	return mask
}

func (t *Times) append(b []byte) []byte {
	if !t.HasAtime && !t.HasMtime {
		return b
	}
	b = binary.BigEndian.AppendUint64(b, t.For)
	if t.HasAtime {
		b = t.Atime.append(b)
	}
	if t.HasMtime {
		b = t.Mtime.append(b)
	}
	return b
}

func (t Time) append(b []byte) []byte {
	b = binary.AppendVarint(b, t.Sec)
	return binary.AppendUvarint(b, uint64(t.Nsec))
}

func (a *Attr) appendXattrs(b []byte) []byte {
	if len(a.Xattrs) == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(a.Xattrs)))
	for _, x := range a.Xattrs {
		b = binary.AppendUvarint(b, uint64(len(x.Name)))
		b = append(b, x.Name...)
		b = binary.AppendUvarint(b, uint64(len(x.Value)))
		b = append(b, x.Value...)
	}
	return b
}

func modeCode(mode uint32) uint64 {
	perm, kind := mode&permBits, mode>>typeShift&typeMask
	return uint64((perm^plainPerm)<<typeBits | kind ^ plainType)
}

func modeOf(code uint64) uint32 {
	perm := uint32(code>>typeBits) ^ plainPerm
	kind := uint32(code&typeMask) ^ plainType
	return kind<<typeShift | perm
}
