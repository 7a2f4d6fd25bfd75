package kvstore

import (
	"bytes"
	"slices"

	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
	"kivaloo/lbs"
)

// refill reads the changes of user keys since the redo point from the log: so a
// watcher can ask for what came before the first watch began, and before a
// restart. Whether a put created its pair is not known any more.
//
// It runs in the writer, between batches, since nothing may be appended beside it.
func (w *writer) refill() (changes []kv.Change, since kv.Stamp, err error) {
	if w.last == lbs.NoBlock {
		return nil, 0, nil
	}
	r := &recovery{db: w.db}
	if err := r.find(); err != nil {
		return nil, 0, err
	}
	since = kv.Stamp(r.root.Stamp)
	if n := len(r.appends); n > 0 && r.appends[n-1].Previous != lbs.NoBlock {
		before, err := r.readTrailer(r.appends[n-1].Previous)
		if err == nil {
			since = kv.Stamp(before.Stamp)
		}
	}
	for _, t := range slices.Backward(r.appends) {
		if !t.HasRecord() {
			continue
		}
		if changes, err = r.recordChanges(changes, t); err != nil {
			return nil, 0, err
		}
	}
	// Stamps are drawn for more than changes: what lies between is nothing missed.
	if len(changes) > 0 {
		return changes, min(since, changes[0].Version-1), nil
	}
	return nil, min(since, kv.Stamp(w.version)), nil
}

// recordChanges appends what one record has changed.
func (r *recovery) recordChanges(changes []kv.Change, t *item.Trailer) ([]kv.Change, error) {
	err := r.record(t, func(op *item.Op) error {
		if op.Key[0] == userSpace {
			changes = opChange(changes, op)
		}
		return nil
	})
	return changes, err
}

// opChange appends the change that an operation is. A move comes as puts of the
// new keys and a deletion that says where to: that is one change.
func opChange(changes []kv.Change, op *item.Op) []kv.Change {
	c := kv.Change{Op: kv.Changed, Key: bytes.Clone(op.Key[1:]), Version: kv.Stamp(op.Version)}
	moved := op.Kind != item.OpPut && len(op.To) > 0 && op.To[0] == userSpace
	switch {
	case op.Kind == item.OpPut:
		return append(changes, c)
	case op.Kind == item.OpDelete && moved:
		c.Op = kv.Moved
	case op.Kind == item.OpDelete:
		c.Op = kv.Deleted
	case moved:
		c.Op = kv.PrefixMoved
	default:
		c.Op = kv.PrefixDeleted
	}
	if moved {
		c.To = bytes.Clone(op.To[1:])
		for n := len(changes); n > 0 && changes[n-1].Version == c.Version; n-- {
			changes = changes[:n-1]
		}
	}
	return append(changes, c)
}
