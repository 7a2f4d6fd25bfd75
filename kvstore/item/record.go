package item

import (
	"encoding/binary"
	"fmt"
)

// An OpKind is a kind of operation in a commit record.
type OpKind uint8

const (
	OpPut OpKind = iota + 1
	OpDelete
	OpDeleteRange
)

// Flags of an operation; which are allowed depends on its kind.
const (
	FlagFresh    = 0x01 // put
	FlagBirth    = 0x02 // put
	FlagModified = 0x04 // put
	FlagMeta     = 0x08 // put
	FlagBlob     = 0x10 // put
	FlagLink     = 0x20 // put
	FlagBrought  = 0x40 // put

	FlagMoved = 0x01 // delete, delete range
	FlagTo    = 0x02 // delete, delete range
)

const (
	putFlags    = FlagFresh | FlagBirth | FlagModified | FlagMeta | FlagBlob | FlagLink | FlagBrought
	deleteFlags = FlagMoved | FlagTo

	recordHeaderBytes = 32

	// keyBytesMax is the longest internal key: a name of a body carries a user
	// key behind the body's number.
	keyBytesMax = 4110
	// valueBytesMax and metaBytesMax bound what a page can hold.
	valueBytesMax = 8 << 10
	metaBytesMax  = 8 << 10
)

// An Op is one operation of a commit record. Slices alias what was decoded.
type Op struct {
	Kind     OpKind
	Flags    uint8
	Key      []byte
	To       []byte // key or prefix where it went, with FlagTo
	End      []byte // of a deleted range
	Version  uint64
	Birth    uint64 // Version, unless FlagBirth
	Modified uint64 // Version, unless FlagModified
	Meta     []byte
	Value    []byte
}

// A RecordBuilder collects operations. The zero value is ready to use.
type RecordBuilder struct {
	buf   []byte
	count uint32
	base  uint64
}

// Mark is a point to which a builder can go back.
type Mark struct {
	bytes int
	count uint32
}

// Len is how many bytes the record has so far, Count how many operations.
func (r *RecordBuilder) Len() int   { return len(r.buf) }
func (r *RecordBuilder) Count() int { return int(r.count) }

// Reset empties the builder, for operations of versions from base on.
func (r *RecordBuilder) Reset(base uint64) {
	if cap(r.buf) > 4<<20 {
		r.buf = nil
	}
	r.buf = append(r.buf[:0], make([]byte, recordHeaderBytes)...)
	r.count, r.base = 0, base
}

// Mark and Rewind take back the operations of a transaction that failed.
func (r *RecordBuilder) Mark() Mark    { return Mark{len(r.buf), r.count} }
func (r *RecordBuilder) Rewind(m Mark) { r.buf, r.count = r.buf[:m.bytes], m.count }

// Add appends an operation.
func (r *RecordBuilder) Add(op *Op) {
	r.count++
	r.buf = append(r.buf, byte(op.Kind), op.Flags)
	r.bytes(op.Key)
	r.buf = binary.AppendUvarint(r.buf, op.Version-r.base)
	switch op.Kind {
	case OpPut:
		r.put(op)
	case OpDeleteRange:
		r.bytes(op.End)
		fallthrough
	case OpDelete:
		if op.Flags&FlagTo != 0 {
			r.bytes(op.To)
		}
	}
}

func (r *RecordBuilder) put(op *Op) {
	if op.Flags&FlagBirth != 0 {
		r.buf = binary.AppendVarint(r.buf, int64(op.Birth-op.Version))
	}
	if op.Flags&FlagModified != 0 {
		r.buf = binary.AppendVarint(r.buf, int64(op.Modified-op.Version))
	}
	if op.Flags&FlagMeta != 0 {
		r.bytes(op.Meta)
	}
	r.bytes(op.Value)
}

func (r *RecordBuilder) bytes(b []byte) {
	r.buf = binary.AppendUvarint(r.buf, uint64(len(b)))
	r.buf = append(r.buf, b...)
}

// AppendTo appends the finished record to dst, unpadded.
func (r *RecordBuilder) AppendTo(dst []byte) []byte {
	le.PutUint32(r.buf[16:], r.count)
	le.PutUint64(r.buf[24:], r.base)
	seal(r.buf, magicRecord)
	return append(dst, r.buf...)
}

// Record calls each for the operations of the record at the beginning of b, which
// must have the given CRC. The operation is overwritten by the next one.
func Record(b []byte, crc uint32, each func(*Op) error) error {
	b, err := check(b, magicRecord, recordHeaderBytes)
	if err != nil {
		return err
	}
	if got := StoredCRC(b); got != crc {
		return fmt.Errorf("%w: commit record of CRC %08x, expected %08x", ErrBad, got, crc)
	}
	count, base := le.Uint32(b[16:]), le.Uint64(b[24:])
	d := decoder{b: b[recordHeaderBytes:]}
	for range count {
		op := d.op(base)
		if d.bad != "" {
			return fmt.Errorf("%w: commit record: %s", ErrBad, d.bad)
		}
		if err := each(&op); err != nil {
			return err
		}
	}
	if len(d.b) != 0 {
		return fmt.Errorf("%w: commit record: %d bytes after the last operation", ErrBad, len(d.b))
	}
	return nil
}

// decoder reads operations; bad says what was wrong first.
type decoder struct {
	b   []byte
	bad string
}

func (d *decoder) op(base uint64) (op Op) {
	op.Kind, op.Flags = OpKind(d.byte()), d.byte()
	op.Key = d.bytes(keyBytesMax, "key")
	op.Version = base + d.uvarint()
	op.Birth, op.Modified = op.Version, op.Version
	switch op.Kind {
	case OpPut:
		d.put(&op)
	case OpDelete, OpDeleteRange:
		d.delete(&op)
	default:
		d.fail("unknown operation")
	}
	if len(op.Key) == 0 {
		d.fail("empty key")
	}
	return op
}

func (d *decoder) put(op *Op) {
	if op.Flags&^putFlags != 0 {
		d.fail("unknown flag of a put")
	}
	if op.Flags&FlagBirth != 0 {
		op.Birth = op.Version + uint64(d.varint())
	}
	if op.Flags&FlagModified != 0 {
		op.Modified = op.Version + uint64(d.varint())
	}
	if op.Flags&FlagMeta != 0 {
		op.Meta = d.bytes(metaBytesMax, "metadata")
	}
	op.Value = d.bytes(valueBytesMax, "value")
}

func (d *decoder) delete(op *Op) {
	if op.Flags&^deleteFlags != 0 {
		d.fail("unknown flag of a delete")
	}
	if op.Kind == OpDeleteRange {
		op.End = d.bytes(keyBytesMax, "end")
	}
	if op.Flags&FlagTo != 0 {
		op.To = d.bytes(keyBytesMax, "destination")
	}
}

func (d *decoder) fail(what string) {
	if d.bad == "" {
		d.bad = what
	}
	d.b = nil
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail("cut off")
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail("bad number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail("bad number")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes(max int, what string) []byte {
	n := d.uvarint()
	if n > uint64(max) || n > uint64(len(d.b)) {
		d.fail(what + " too long")
		return nil
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}
