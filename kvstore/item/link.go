package item

import "fmt"

const (
	// linkBytes is the length of an encoded link.
	linkBytes = 8
	// namesBytes is how much longer a body's value is than what clients see of it.
	namesBytes = 4
	// namesMin: with fewer names a pair needs no body.
	namesMin = 2
)

// AppendLink appends the value of a link, which says by its birth which body the
// link leads to.
func AppendLink(dst []byte, body uint64) []byte { return le.AppendUint64(dst, body) }

// Link decodes the value of a link.
func Link(b []byte) (body uint64, err error) {
	if len(b) != linkBytes {
		return 0, fmt.Errorf("%w: link of %d bytes", ErrBad, len(b))
	}
	return le.Uint64(b), nil
}

// AppendNames appends to the value of a body how many names the body has.
func AppendNames(value []byte, names uint32) []byte { return le.AppendUint32(value, names) }

// CutNames parts the value of a body from the number of its names.
func CutNames(b []byte) (value []byte, names uint32, err error) {
	n := len(b) - namesBytes
	if n < 0 {
		return nil, 0, fmt.Errorf("%w: value of a body of %d bytes", ErrBad, len(b))
	}
	if names = le.Uint32(b[n:]); names < namesMin {
		return nil, 0, fmt.Errorf("%w: body of %d names", ErrBad, names)
	}
	return b[:n:n], names, nil
}
