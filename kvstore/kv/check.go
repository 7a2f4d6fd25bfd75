package kv

import (
	"bytes"
	"fmt"
)

// Check says whether the transaction is within its limits and has a meaning. The
// error is ErrTooLarge or ErrInvalid, with what is wrong.
func (t *Txn) Check() error {
	if len(t.Effects) > TxnEffectsMax || len(t.Guards) > TxnGuardsMax {
		return fmt.Errorf("transaction of %d guards and %d effects: %w", len(t.Guards), len(t.Effects), ErrTooLarge)
	}
	bytes, pieces := 0, 0
	for i := range t.Guards {
		if err := t.Guards[i].check(); err != nil {
			return fmt.Errorf("guard %d: %w", i, err)
		}
		bytes += len(t.Guards[i].Key) + len(t.Guards[i].Value)
	}
	for i := range t.Effects {
		if err := t.Effects[i].check(); err != nil {
			return fmt.Errorf("effect %d: %w", i, err)
		}
		e := &t.Effects[i]
		bytes += len(e.Key) + len(e.To) + len(e.Value) + len(e.Meta)
		pieces += len(e.Staged)
	}
	if pieces > TxnStagedMax {
		return fmt.Errorf("transaction of %d pieces of staged data: %w", pieces, ErrTooLarge)
	}
	if bytes > TxnBytesMax {
		return fmt.Errorf("transaction of %d bytes: %w", bytes, ErrTooLarge)
	}
	return nil
}

func (g *Guard) check() error {
	if g.Op < Absent || g.Op > PrefixEmpty {
		return fmt.Errorf("unknown guard %d: %w", g.Op, ErrInvalid)
	}
	return checkKey(g.Space, g.Key)
}

func (e *Effect) check() error {
	if e.Op < Put || e.Op > Link {
		return fmt.Errorf("unknown effect %d: %w", e.Op, ErrInvalid)
	}
	if err := checkKey(e.Space, e.Key); err != nil {
		return err
	}
	if e.hasTo() {
		if err := checkKey(e.ToSpace, e.To); err != nil {
			return err
		}
	}
	if err := e.checkNames(); err != nil {
		return err
	}
	if len(e.Meta) > MetaBytesMax {
		return fmt.Errorf("metadata of %d bytes: %w", len(e.Meta), ErrTooLarge)
	}
	for _, s := range [...]Stamp{e.Birth, e.Modified} {
		if s != 0 && (s < StampMin || s > StampMax) {
			return fmt.Errorf("stamp %d is out of range: %w", s, ErrInvalid)
		}
	}
	if err := e.checkStaged(); err != nil {
		return err
	}
	return e.checkRange()
}

// checkNames: names change in space User only. The other spaces' keys say what
// their pairs are, so these are written and deleted, never moved.
func (e *Effect) checkNames() error {
	switch e.Op {
	case DeletePrefix, Move, MovePrefix, Link:
		if e.Space != User || e.ToSpace != User {
			return fmt.Errorf("no such effect outside space User: %w", ErrInvalid)
		}
	case Put:
		if e.Fresh && e.Space == Orphan {
			return fmt.Errorf("a fresh orphan: %w", ErrInvalid)
		}
	}
	if e.Op == MovePrefix && (bytes.HasPrefix(e.Key, e.To) || bytes.HasPrefix(e.To, e.Key)) {
		return fmt.Errorf("a prefix moved into itself: %w", ErrInvalid)
	}
	return nil
}

func (e *Effect) checkStaged() error {
	if len(e.Staged) == 0 {
		return nil
	}
	if len(e.Value) > 0 || (e.Op != Put && e.Op != Patch && e.Op != Append) {
		return fmt.Errorf("staged data beside a value, or for no value: %w", ErrInvalid)
	}
	for _, s := range e.Staged {
		if s.Bytes < 0 || s.Bytes > ChunkBytes {
			return fmt.Errorf("staged data of %d bytes: %w", s.Bytes, ErrInvalid)
		}
	}
	return nil
}

func (e *Effect) hasTo() bool {
	return e.Op == CopyRange || e.Op == Move || e.Op == MovePrefix || e.Op == Link
}

func (e *Effect) checkRange() error {
	size := int64(len(e.Value))
	for _, s := range e.Staged {
		size += s.Bytes
	}
	for _, n := range [...]int64{size, e.Offset, e.Length, e.ToOffset} {
		if n < 0 {
			return fmt.Errorf("negative offset or length: %w", ErrInvalid)
		}
		if n > ValueBytesMax {
			return fmt.Errorf("value of %d bytes: %w", n, ErrTooLarge)
		}
	}
	end := e.Offset + max(size, e.Length)
	if e.Op == Put || e.Op == Append || e.Op == Punch {
		end = max(size, 0)
	}
	if e.Op == CopyRange {
		end = e.ToOffset + e.Length
	}
	if end > ValueBytesMax {
		return fmt.Errorf("value of %d bytes: %w", end, ErrTooLarge)
	}
	return nil
}

func checkKey(space Space, key []byte) error {
	if len(key) > KeyBytesMax {
		return fmt.Errorf("key of %d bytes: %w", len(key), ErrTooLarge)
	}
	if space > Root || (space == Orphan && len(key) != 8) || (space == Root && len(key) != 0) {
		return fmt.Errorf("no key of space %d: %w", space, ErrInvalid)
	}
	return nil
}
