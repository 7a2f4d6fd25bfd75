package kvstore

import (
	"errors"
	"fmt"

	"kivaloo/kvstore/kv"
	"kivaloo/lbs"
)

var (
	// ErrClock: the wall clock is more than an hour behind the last change.
	ErrClock = errors.New("clock is wrong")

	// ErrFormat: the log was written by another program, or by a later version
	// of this one.
	ErrFormat = errors.New("log has another format")
)

// isDamage says whether the block store could not read because what it keeps about
// itself is damaged, the header of a segment for one: to who reads a key that is
// corrupt data like any other.
func isDamage(err error) bool {
	return errors.Is(err, lbs.ErrDamaged) || errors.Is(err, lbs.ErrFormat)
}

// fromLog translates an error of the block store into the vocabulary of kv.
func fromLog(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, lbs.ErrNoSpace):
		return fmt.Errorf("%w: %w", kv.ErrNoSpace, err)
	case errors.Is(err, lbs.ErrClosed):
		return fmt.Errorf("%w: %w", kv.ErrClosed, err)
	default:
		return fmt.Errorf("%w: %w", kv.ErrFailed, err)
	}
}
