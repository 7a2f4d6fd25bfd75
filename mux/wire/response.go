package wire

import "fmt"

// AppendStatus appends the response of a write, or of a GET that found nothing.
func AppendStatus(dst []byte, id uint64, status uint32) []byte {
	start := len(dst)
	return End(appendUint32(Begin(dst, id), status), start)
}

// AppendParams appends the response of PARAMS.
func AppendParams(dst []byte, id uint64, keyMax, valueMax uint32) []byte {
	start := len(dst)
	dst = appendUint32(Begin(dst, id), keyMax)
	return End(appendUint32(dst, valueMax), start)
}

// AppendValue appends the response of a GET that found value, of at most
// StringMax bytes.
func AppendValue(dst []byte, id uint64, value []byte) []byte {
	start := len(dst)
	dst = appendUint32(Begin(dst, id), StatusDone)
	return End(appendString(dst, value), start)
}

// BeginRange appends the head of the response of RANGE. As many pairs as were
// announced follow with AppendPair, then End.
func BeginRange(dst []byte, id uint64, count int, next []byte) []byte {
	dst = appendUint32(Begin(dst, id), StatusDone)
	return appendString(appendUint32(dst, uint32(count)), next)
}

// AppendPair appends a pair of a RANGE response. Neither part is longer than
// StringMax.
func AppendPair(dst, key, value []byte) []byte {
	return appendString(appendString(dst, key), value)
}

// DecodeStatus takes the response of a write apart.
func DecodeStatus(record []byte) (status uint32, err error) {
	c := cursor{rest: record}
	status = c.uint32()
	if !c.done() || status > StatusNotDone {
		return 0, malformedResponse("status", record)
	}
	return status, nil
}

// DecodeParams takes the response of PARAMS apart.
func DecodeParams(record []byte) (keyMax, valueMax uint32, err error) {
	c := cursor{rest: record}
	keyMax, valueMax = c.uint32(), c.uint32()
	if !c.done() {
		return 0, 0, malformedResponse("PARAMS", record)
	}
	return keyMax, valueMax, nil
}

// DecodeValue takes the response of GET apart.
func DecodeValue(record []byte) (value []byte, found bool, err error) {
	c := cursor{rest: record}
	status := c.uint32()
	if status == StatusDone {
		value = c.str()
	}
	if !c.done() || status > StatusNotDone {
		return nil, false, malformedResponse("GET", record)
	}
	return value, status == StatusDone, nil
}

// A Pair is a key and its value.
type Pair struct{ Key, Value []byte }

// DecodeRange takes the response of RANGE apart and appends its pairs to pairs.
func DecodeRange(pairs []Pair, record []byte) (_ []Pair, next []byte, err error) {
	c := cursor{rest: record}
	status, count := c.uint32(), c.uint32()
	next = c.str()
	// A pair takes two bytes at least: a count beyond that is refused before
	// anything is set aside for it.
	if status != StatusDone || c.bad || uint64(count) > uint64(len(c.rest)/2) {
		return pairs, nil, malformedResponse("RANGE", record)
	}
	before := len(pairs)
	for range count {
		pairs = append(pairs, Pair{Key: c.str(), Value: c.str()})
	}
	if !c.done() {
		return pairs[:before], nil, malformedResponse("RANGE", record)
	}
	return pairs, next, nil
}

func malformedResponse(what string, record []byte) error {
	return fmt.Errorf("%w: %s response of %d bytes", ErrMalformed, what, len(record))
}
