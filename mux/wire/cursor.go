package wire

import "encoding/binary"

// A cursor takes a record apart. After a step beyond its end it is bad, and
// answers zeros, so that a decoder looks once, at the end.
type cursor struct {
	rest []byte
	bad  bool
}

func (c *cursor) uint32() uint32 {
	if len(c.rest) < 4 {
		c.fail()
		return 0
	}
	v := binary.BigEndian.Uint32(c.rest)
	c.rest = c.rest[4:]
	return v
}

// str takes a string: a length byte and as many bytes.
func (c *cursor) str() []byte {
	if len(c.rest) == 0 || len(c.rest) < 1+int(c.rest[0]) {
		c.fail()
		return nil
	}
	n := 1 + int(c.rest[0])
	s := c.rest[1:n:n]
	c.rest = c.rest[n:]
	return s
}

func (c *cursor) fail() { c.rest, c.bad = nil, true }

// done says whether the record was taken apart exactly. Bytes left over are as
// wrong as bytes missing: whoever sent them meant something else.
func (c *cursor) done() bool { return !c.bad && len(c.rest) == 0 }

func appendUint32(dst []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(dst, v) }

func appendString(dst, s []byte) []byte {
	return append(append(dst, byte(len(s))), s...)
}
