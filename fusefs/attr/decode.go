package attr

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// Decode reads metadata. The error is ErrVersion or ErrMalformed. The result
// shares no memory with meta.
func Decode(meta []byte) (Attr, error) {
	if len(meta) == 0 {
		return Attr{}, nil
	}
	if meta[0] != Version {
		return Attr{}, fmt.Errorf("%w: %d", ErrVersion, meta[0])
	}
	d := decoder{rest: bytes.Clone(meta[1:])}
	mask := d.uvarint(1<<63 - 1)
	if !d.bad && mask&^hasAll != 0 {
		return Attr{}, fmt.Errorf("%w: fields %#x", ErrVersion, mask&^hasAll)
	}
	a := d.fields(mask)
	if d.bad || len(d.rest) != 0 || mask == 0 {
		return Attr{}, ErrMalformed
	}
	return a, nil
}

// A decoder reads from the front of rest. Once something is wrong, bad stays
// set and all that is read is zero.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) fields(mask uint64) (a Attr) {
	if mask&hasMode != 0 {
		a.HasMode, a.Mode = true, modeOf(d.uvarint(modeCodeMax))
	}
	if mask&hasOwner != 0 {
		a.HasOwner = true
		a.UID, a.GID = uint32(d.uvarint(uint32Max)), uint32(d.uvarint(uint32Max))
	}
	if mask&hasRdev != 0 {
		a.Rdev = uint32(d.uvarint(uint32Max))
		d.check(a.Rdev != 0)
	}
	a.Times = d.times(mask)
	if mask&hasXattrs != 0 {
		a.Xattrs = d.xattrs()
	}
	return a
}

func (d *decoder) times(mask uint64) (t Times) {
	d.check((mask&hasTimes != 0) == (mask&(hasAtime|hasMtime) != 0))
	if mask&hasTimes == 0 {
		return t
	}
	if b := d.bytes(timesForSize); !d.bad {
		t.For = binary.BigEndian.Uint64(b)
	}
	if mask&hasAtime != 0 {
		t.HasAtime, t.Atime = true, d.time()
	}
	if mask&hasMtime != 0 {
		t.HasMtime, t.Mtime = true, d.time()
	}
	return t
}

func (d *decoder) time() Time {
	zigzag := d.uvarint(1<<64 - 1)
	return Time{Sec: int64(zigzag>>1) ^ -int64(zigzag&1), Nsec: uint32(d.uvarint(nsecMax))}
}

func (d *decoder) xattrs() []Xattr {
	count := d.uvarint(XattrBytesMax)
	d.check(count > 0)
	var list []Xattr
	size := 0
	for ; count > 0 && !d.bad; count-- {
		name := string(d.bytes(d.uvarint(XattrNameBytesMax)))
		value := d.bytes(d.uvarint(XattrBytesMax))
		d.check(name != "" && (len(list) == 0 || list[len(list)-1].Name < name))
		size += len(name) + len(value)
		d.check(size <= XattrBytesMax)
		list = append(list, Xattr{Name: name, Value: value})
	}
	return list
}

func (d *decoder) check(ok bool) {
	if !ok {
		d.bad = true
	}
}

// uvarint reads an integer of at most limit, in its shortest form.
func (d *decoder) uvarint(limit uint64) uint64 {
	if d.bad {
		return 0
	}
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || v > limit || n != uvarintLen(v) {
		d.bad = true
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func uvarintLen(v uint64) int { return max(1, (bits.Len64(v)+6)/7) }

func (d *decoder) bytes(n uint64) []byte {
	if d.bad || n > uint64(len(d.rest)) {
		d.bad = true
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}
