// Package wire encodes and decodes the packets of the kivaloo protocol, both
// sides of it. It knows bytes and nothing else: no sockets, no store.
//
// All integers are big-endian, except the two checks. A packet is
//
//	bytes  what
//	8      request ID, chosen by the client, repeated by the response
//	4      n, the length of the record
//	4      check of the 12 bytes before
//	n      record
//	4      check of the record, XOR the check of the header
//
// The check is CRC-32C in an unusual form: the message is a 1 bit followed by
// the data, nothing is inverted at the end, and it is stored little-endian.
//
// A record of a key-value request begins with its type. A string is a length
// byte and 0 to 255 bytes.
//
//	type           request after the type         response
//	0x100 PARAMS   -                              4 longest key, 4 longest value
//	0x110 SET      key, value                     4 status
//	0x111 CAS      key, old value, value          4 status
//	0x112 ADD      key, value                     4 status
//	0x113 MODIFY   key, value                     4 status
//	0x120 DELETE   key                            4 status
//	0x121 CAD      key, old value                 4 status
//	0x130 GET      key                            4 status 0, value; or 4 status 1
//	0x131 RANGE    4 bytes of pairs, start, end   4 status 0, 4 count, next, count x (key, value)
//
// Status 0 is done, 1 is not done (or not there). Types of 0x200 and up belong to
// protocol v2; like every other type they are ErrType here. Decoders work in place: what
// they answer lies in the buffer that they were given. Encoders append. Neither
// allocates, except to say what is wrong.
package wire

import "errors"

// ErrMalformed: these bytes are not of the protocol. Whoever receives them
// closes the connection, since nothing after them can be trusted either.
var ErrMalformed = errors.New("malformed packet")

// ErrType: a request of a type that this side does not speak.
var ErrType = errors.New("unknown request type")

// ErrTooLong: a string of more than 255 bytes, which the protocol cannot carry.
var ErrTooLong = errors.New("protocol v1 carries at most 255 bytes")

const (
	// StringMax is the length of the longest string.
	StringMax = 255

	// RequestMax is the longest record of a key-value request: a CAS of three
	// full strings. A header that says more is refused before it is buffered.
	RequestMax = 4 + 3*(1+StringMax)

	// PairMax is what one pair takes at most in a RANGE response.
	PairMax = 2 * (1 + StringMax)

	// RangeOverhead is what a RANGE response takes at most beyond its pairs.
	RangeOverhead = 4 + 4 + 1 + StringMax
)

// The two answers of protocol v1.
const (
	StatusDone    uint32 = 0
	StatusNotDone uint32 = 1
)
