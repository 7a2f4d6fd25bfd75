package namespace

import "errors"

var (
	// ErrNameTooLong means a name over NameBytesMax.
	ErrNameTooLong = errors.New("namespace: file name is too long")

	// ErrKeyTooLong means that the key of a path would be over KeyBytesMax.
	ErrKeyTooLong = errors.New("namespace: path is too long for a key")

	// ErrBadName means a name that no kernel sends: empty, "." or "..", or with
	// a slash or a NUL in it.
	ErrBadName = errors.New("namespace: not a file name")

	// ErrReserved means a name that is not free to be created: nothing but a
	// virtual directory, or below the root nothing but the directory "%", can
	// bear it. To a lookup it says that there is no such name.
	ErrReserved = errors.New("namespace: file name is reserved")
)
