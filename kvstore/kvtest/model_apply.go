package kvtest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"kivaloo/kvstore/kv"
)

// Effects that cannot be carried out become a kv.ConditionError.
var (
	errMissing = errors.New("no pair to act on")
	errExists  = errors.New("a pair where there must be none")
)

// A change is a transaction under way: the state it leaves so far, and what it
// has to tell.
type change struct {
	state
	pinned  func(birth kv.Stamp) bool
	staged  map[uint64][]byte
	stamp   kv.Stamp // of the present effect
	offset  int64    // where the last Append went
	changes []kv.Change
}

// apply carries out all effects, the first one with the stamp first.
func (c *change) apply(effects []kv.Effect, first kv.Stamp) error {
	for i := range effects {
		c.stamp = first + kv.Stamp(i)
		switch err := c.effect(&effects[i]); err {
		case nil:
		case errMissing, errExists:
			return &kv.ConditionError{Guard: -1, Effect: i, Exists: err == errExists}
		default:
			return fmt.Errorf("effect %d: %w", i, err)
		}
	}
	return nil
}

func (c *change) effect(e *kv.Effect) error {
	at, to := name{e.Space, string(e.Key)}, name{e.ToSpace, string(e.To)}
	switch e.Op {
	case kv.Put:
		return c.put(at, e)
	case kv.Patch:
		return c.write(at, e, e.Offset, c.data(e))
	case kv.Append:
		return c.append(at, e)
	case kv.Truncate:
		return c.truncate(at, e)
	case kv.Punch:
		return c.punch(at, e)
	case kv.CopyRange:
		return c.copyRange(at, to, e)
	case kv.Delete:
		c.delete(at)
	case kv.DeletePrefix:
		c.deletePrefix(at.key)
	case kv.Move:
		return c.move(at, to)
	case kv.MovePrefix:
		return c.movePrefix(at.key, to.key)
	case kv.SetMeta:
		return c.setMeta(at, e)
	case kv.Link:
		return c.link(at, to)
	}
	return nil
}

// data is what an effect brings, in bytes of our own.
func (c *change) data(e *kv.Effect) []byte {
	if len(e.Staged) == 0 {
		return bytes.Clone(e.Value)
	}
	var data []byte
	for _, s := range e.Staged {
		data = append(data, c.staged[s.ID]...)
	}
	return data
}

func (c *change) put(at name, e *kv.Effect) error {
	if e.Fresh {
		c.drop(at)
	}
	return c.store(at, e, c.data(e), 0, 0)
}

// write puts data at an offset of the value. Writing nothing grows nothing.
func (c *change) write(at name, e *kv.Effect, offset int64, data []byte) error {
	old := c.value(at)
	next := old
	if end := offset + int64(len(data)); len(data) > 0 {
		next = resized(old, max(end, int64(len(old))))
		copy(next[offset:], data)
	}
	from := min(offset, int64(len(old))) // zeros before the data have changed too
	return c.store(at, e, next, from, offset-from+int64(len(data)))
}

func (c *change) append(at name, e *kv.Effect) error {
	offset := int64(len(c.value(at)))
	data := c.data(e)
	if offset+int64(len(data)) > kv.ValueBytesMax {
		return fmt.Errorf("value of %d bytes: %w", offset+int64(len(data)), kv.ErrTooLarge)
	}
	c.offset = offset
	return c.write(at, e, offset, data)
}

func (c *change) truncate(at name, e *kv.Effect) error {
	return c.store(at, e, resized(c.value(at), e.Length), 0, 0)
}

func (c *change) punch(at name, e *kv.Effect) error {
	if c.find(at) == nil {
		return errMissing
	}
	value := bytes.Clone(c.value(at))
	size := int64(len(value))
	from, end := min(e.Offset, size), min(e.Offset+e.Length, size)
	clear(value[from:end])
	return c.store(at, e, value, from, end-from)
}

func (c *change) copyRange(at, to name, e *kv.Effect) error {
	if c.find(at) == nil {
		return errMissing
	}
	data := part(c.value(at), e.Offset, e.Length)
	if len(data) > kv.CopyBytesMax {
		return fmt.Errorf("copy of %d bytes: %w", len(data), kv.ErrTooLarge)
	}
	return c.write(to, e, e.ToOffset, data)
}

func (c *change) setMeta(at name, e *kv.Effect) error {
	old := c.find(at)
	if old == nil {
		return errMissing
	}
	next := *old
	next.meta = bytes.Clone(e.Meta)
	c.replace(old, c.touched(&next))
	c.tellNames(kv.MetaChanged, &next, 0, 0)
	return nil
}

// store gives the pair of a key another value, of which a range is new (length
// 0: all of it), and creates it where there is none.
func (c *change) store(at name, e *kv.Effect, value []byte, offset, length int64) error {
	old := c.find(at)
	next := &body{birth: e.Birth, names: []name{at}}
	op := kv.Created
	switch {
	case old != nil:
		*next, op = *old, kv.Changed
	case at.space == kv.Orphan:
		return errMissing
	case e.Birth == 0:
		next.birth = c.stamp
	}
	next.value = value
	if e.SetMeta {
		next.meta = bytes.Clone(e.Meta)
	}
	c.date(next, e)
	c.replace(old, next)
	if op == kv.Created {
		offset, length = 0, 0
	}
	c.tellNames(op, next, offset, length)
	return nil
}

// date sets the stamps of a body whose value the effect has changed. A Modified
// that is brought still grows, so that tools see a change by it.
func (c *change) date(b *body, e *kv.Effect) {
	if e.Modified == 0 {
		b.modified = c.stamp
	} else {
		b.modified = max(e.Modified, b.modified+1)
	}
	b.version, b.brought = c.stamp, e.Modified != 0
}

// touched notes in a new body that its name or metadata have changed.
func (c *change) touched(b *body) *body {
	b.version, b.brought = c.stamp, false
	return b
}

func (c *change) value(at name) []byte {
	if b := c.find(at); b != nil {
		return b.value
	}
	return nil
}

// part is a range of a value, cut at its end.
func part(value []byte, offset, length int64) []byte {
	size := int64(len(value))
	return value[min(offset, size):min(offset+length, size)]
}

// resized is a copy of a value, cut or filled with zeros.
func resized(value []byte, size int64) []byte {
	next := make([]byte, size)
	copy(next, value)
	return next
}

// tell reports a change to observers and watchers, who see space User alone.
func (c *change) tell(op kv.ChangeOp, key, to string, birth kv.Stamp) {
	ch := kv.Change{Op: op, Key: []byte(key), Version: c.stamp, Birth: birth}
	if to != "" || op == kv.Moved || op == kv.PrefixMoved {
		ch.To = []byte(to)
	}
	c.changes = append(c.changes, ch)
}

// tellNames reports a change of a body under every name it has, except some.
func (c *change) tellNames(op kv.ChangeOp, b *body, offset, length int64, except ...name) {
	for _, n := range b.names {
		if n.space != kv.User || slices.Contains(except, n) {
			continue
		}
		c.tell(op, n.key, "", b.birth)
		last := &c.changes[len(c.changes)-1]
		last.Offset, last.Length = offset, length
	}
}
