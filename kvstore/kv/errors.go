package kv

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound: there is no such pair.
	ErrNotFound = errors.New("no such key")

	// ErrCondition: a guard of the transaction did not hold; nothing was done.
	ErrCondition = errors.New("condition not met")

	// ErrTooLarge: a key, value, metadata or transaction is beyond its limit.
	ErrTooLarge = errors.New("larger than the store's limit")

	// ErrInvalid: a request that has no meaning.
	ErrInvalid = errors.New("invalid request")

	// ErrNoSpace: the disk has no room for this write. Reading and deleting go on.
	ErrNoSpace = errors.New("no space left in the store")

	// ErrCorrupt: data on the disk is not as it was written. The rest of the
	// store stays usable. It comes as a *CorruptError.
	ErrCorrupt = errors.New("data is corrupt")

	// ErrFailed: a write to the disk failed, so nothing more is acknowledged until
	// the store is opened again. Whether the write that met it was done is unknown.
	ErrFailed = errors.New("the store has failed and takes no more writes")

	// ErrFellBehind: a watcher was too slow, or asked for changes too long ago.
	ErrFellBehind = errors.New("watch fell behind")

	// ErrReadOnly: this store, session or snapshot takes no writes.
	ErrReadOnly = errors.New("read only")

	// ErrUnsupported: the other side of a connection cannot say this.
	ErrUnsupported = errors.New("not supported by this connection")

	// ErrClosed: the store or session has been closed.
	ErrClosed = errors.New("store is closed")
)

// A ConditionError says which guard failed (the first of them), or which effect
// found no pair to act on, or one where there must be none. It is ErrCondition,
// and ErrNotFound too where an effect needs a pair.
type ConditionError struct {
	Guard  int // index of the guard, or -1
	Effect int // index of the effect, or -1
	// Exists says that the effect found a pair where there must be none.
	Exists bool
}

func (e *ConditionError) Error() string {
	if e.Guard >= 0 {
		return fmt.Sprintf("condition not met: guard %d", e.Guard)
	}
	if e.Exists {
		return fmt.Sprintf("condition not met: effect %d needs a key that is free", e.Effect)
	}
	return fmt.Sprintf("condition not met: effect %d has no pair to act on", e.Effect)
}

// Is makes the error ErrCondition, and ErrNotFound for an effect without a pair.
func (e *ConditionError) Is(target error) bool {
	return target == ErrCondition || (target == ErrNotFound && e.Guard < 0 && !e.Exists)
}

// A CorruptError says which bytes are wrong, and whose they are.
type CorruptError struct {
	What   string // "page", "chunk", "commit record", ...
	Block  uint64
	Offset int // in the block
	Reason string
	// Low and High bound the keys that cannot be read: Low <= key < High, nil
	// meaning unknown or unbounded.
	Low, High []byte
}

func (e *CorruptError) Error() string {
	s := fmt.Sprintf("%s at block %d, offset %d, is corrupt: %s", e.What, e.Block, e.Offset, e.Reason)
	if e.Low != nil || e.High != nil {
		s += fmt.Sprintf(" (keys from %q to %q)", e.Low, e.High)
	}
	return s
}

// Is makes the error ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }
