package wire

import "fmt"

// A Type says what a request asks for.
type Type uint32

// The requests of the key-value store, protocol v1.
const (
	Params Type = 0x100
	Set    Type = 0x110
	CAS    Type = 0x111
	Add    Type = 0x112
	Modify Type = 0x113
	Delete Type = 0x120
	CAD    Type = 0x121
	Get    Type = 0x130
	Range  Type = 0x131
)

// fields says which parts a request of a type has. They stand in this order.
type fields uint8

const (
	hasMax fields = 1 << iota
	hasKey
	hasOld
	hasValue
	hasEnd
	known // so that a type without fields is not mistaken for none
)

// layout is the table of the package comment. A switch, since it compiles to
// comparisons where a map would hash for every request.
func (t Type) layout() fields {
	switch t {
	case Params:
		return known
	case Set, Add, Modify:
		return known | hasKey | hasValue
	case CAS:
		return known | hasKey | hasOld | hasValue
	case Delete, Get:
		return known | hasKey
	case CAD:
		return known | hasKey | hasOld
	case Range:
		return known | hasMax | hasKey | hasEnd
	}
	return 0
}

// IsWrite says whether a request of this type changes the store.
func (t Type) IsWrite() bool {
	return t.layout() != 0 && t != Params && t != Get && t != Range
}

func (t Type) String() string {
	switch t {
	case Params:
		return "PARAMS"
	case Set:
		return "SET"
	case CAS:
		return "CAS"
	case Add:
		return "ADD"
	case Modify:
		return "MODIFY"
	case Delete:
		return "DELETE"
	case CAD:
		return "CAD"
	case Get:
		return "GET"
	case Range:
		return "RANGE"
	}
	return fmt.Sprintf("type %#x", uint32(t))
}

// A Request is any request of the key-value store. Fields that its type does not
// have are zero.
type Request struct {
	ID    uint64
	Type  Type
	Max   uint32 // most bytes of pairs, for RANGE
	Key   []byte // for RANGE, the start
	Old   []byte
	Value []byte
	End   []byte // empty: beyond every key
}

// DecodeRequest takes a request apart. Its strings lie in the packet's record.
func DecodeRequest(p Packet) (Request, error) {
	c := cursor{rest: p.Record}
	r := Request{ID: p.ID, Type: Type(c.uint32())}
	layout := r.Type.layout()
	if layout == 0 && !c.bad {
		return Request{}, fmt.Errorf("%w %#x", ErrType, uint32(r.Type))
	}
	c.request(&r, layout)
	if !c.done() {
		return Request{}, fmt.Errorf("%w: %v request of %d bytes", ErrMalformed, r.Type, len(p.Record))
	}
	return r, nil
}

func (c *cursor) request(r *Request, layout fields) {
	if layout&hasMax != 0 {
		r.Max = c.uint32()
	}
	if layout&hasKey != 0 {
		r.Key = c.str()
	}
	if layout&hasOld != 0 {
		r.Old = c.str()
	}
	if layout&hasValue != 0 {
		r.Value = c.str()
	}
	if layout&hasEnd != 0 {
		r.End = c.str()
	}
}

// AppendRequest appends the packet of a request. A string that is too long is
// ErrTooLong, and dst is answered as it was.
func AppendRequest(dst []byte, r *Request) ([]byte, error) {
	layout := r.Type.layout()
	if err := r.check(layout); err != nil {
		return dst, err
	}
	start := len(dst)
	dst = appendUint32(Begin(dst, r.ID), uint32(r.Type))
	if layout&hasMax != 0 {
		dst = appendUint32(dst, r.Max)
	}
	if layout&hasKey != 0 {
		dst = appendString(dst, r.Key)
	}
	if layout&hasOld != 0 {
		dst = appendString(dst, r.Old)
	}
	if layout&hasValue != 0 {
		dst = appendString(dst, r.Value)
	}
	if layout&hasEnd != 0 {
		dst = appendString(dst, r.End)
	}
	return End(dst, start), nil
}

func (r *Request) check(layout fields) error {
	if layout == 0 {
		return fmt.Errorf("%w %#x", ErrType, uint32(r.Type))
	}
	if n := max(len(r.Key), len(r.End)); n > StringMax {
		return fmt.Errorf("%w in a key; this one has %d", ErrTooLong, n)
	}
	if n := max(len(r.Old), len(r.Value)); n > StringMax {
		return fmt.Errorf("%w in a value; this one has %d", ErrTooLong, n)
	}
	return nil
}
