package kvstore

import (
	"bytes"
	"maps"
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
	if changes, err = w.retell(r); err != nil {
		return nil, 0, err
	}
	// Stamps are drawn for more than changes: what lies between is nothing missed.
	if len(changes) > 0 {
		return changes, min(since, changes[0].Version-1), nil
	}
	return nil, min(since, kv.Stamp(w.version)), nil
}

// A retelling collects what records have changed. Of a value with links they say
// that its body has changed: under which names is found out at the end, when all
// are known that it has had since. So a name may be told of a change from before
// it was one, but none misses a change.
type retelling struct {
	changes []retold
	names   map[uint64]map[string]struct{} // user keys by body
	present map[uint64]struct{}            // bodies whose present names are among them
}

// A retold change is one of a user's key, or of a body's value if body is not 0.
type retold struct {
	kv.Change
	body uint64
}

// retell reads all records that a recovery has found, oldest first.
func (w *writer) retell(r *recovery) ([]kv.Change, error) {
	t := &retelling{names: make(map[uint64]map[string]struct{}), present: make(map[uint64]struct{})}
	for _, a := range slices.Backward(r.appends) {
		if !a.HasRecord() {
			continue
		}
		err := r.record(a, func(op *item.Op) error { t.add(op); return nil })
		if err != nil {
			return nil, err
		}
	}
	return t.told(w)
}

// add takes an operation up.
func (t *retelling) add(op *item.Op) {
	switch {
	case op.Key[0] == userSpace:
		t.changeOf(op)
	case isNameKey(op.Key) && op.Kind != item.OpDeleteRange:
		birth, name := nameOf(op.Key)
		t.addName(birth, name)
	case isBodyKey(op.Key) && op.Kind == item.OpPut:
		c := kv.Change{Op: kv.Changed, Version: kv.Stamp(op.Version)}
		t.changes = append(t.changes, retold{c, bodyOf(op.Key)})
	}
}

func (t *retelling) addName(birth uint64, name []byte) {
	if t.names[birth] == nil {
		t.names[birth] = make(map[string]struct{})
	}
	t.names[birth][string(name[1:])] = struct{}{}
}

// changeOf adds the change that an operation on a user's key is. A move comes as
// puts of the new keys and a deletion that says where to: that is one change.
func (t *retelling) changeOf(op *item.Op) {
	c := kv.Change{Op: kv.Changed, Key: bytes.Clone(op.Key[1:]), Version: kv.Stamp(op.Version)}
	moved := op.Kind != item.OpPut && len(op.To) > 0 && op.To[0] == userSpace
	switch {
	case op.Kind == item.OpPut:
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
		t.forgetPutsOf(&c)
	}
	t.changes = append(t.changes, retold{Change: c})
}

// forgetPutsOf takes the puts of the new keys of a move back.
func (t *retelling) forgetPutsOf(c *kv.Change) {
	from := len(t.changes)
	for from > 0 && t.changes[from-1].Version == c.Version {
		from--
	}
	puts := slices.DeleteFunc(t.changes[from:], func(p retold) bool {
		return p.body == 0 && p.Op == kv.Changed && isOf(c, p.Key)
	})
	t.changes = t.changes[:from+len(puts)]
}

// isOf says whether a change is one of a user's key.
func isOf(c *kv.Change, key []byte) bool {
	switch c.Op {
	case kv.PrefixDeleted, kv.PrefixMoved:
		return bytes.HasPrefix(key, c.Key) || (c.Op == kv.PrefixMoved && bytes.HasPrefix(key, c.To))
	case kv.Moved:
		return bytes.Equal(key, c.Key) || bytes.Equal(key, c.To)
	}
	return bytes.Equal(key, c.Key)
}

// told answers all changes, those of bodies under each of their names.
func (t *retelling) told(w *writer) (changes []kv.Change, err error) {
	for i := range t.changes {
		c := &t.changes[i]
		if c.body == 0 {
			changes = append(changes, c.Change)
			continue
		}
		if err := t.addPresent(w, c.body); err != nil {
			return nil, err
		}
		changes = t.appendNames(changes, i)
	}
	return changes, nil
}

// addPresent adds the names that a body has now, once.
func (t *retelling) addPresent(w *writer, body uint64) error {
	if _, done := t.present[body]; done {
		return nil
	}
	t.present[body] = struct{}{}
	names, err := w.names(body)
	for _, name := range names {
		t.addName(body, name)
	}
	return err
}

// appendNames appends change i, of a body, under each name that no other change of
// the same effect tells of.
func (t *retelling) appendNames(changes []kv.Change, i int) []kv.Change {
	c := t.changes[i]
	for _, name := range slices.Sorted(maps.Keys(t.names[c.body])) {
		key := []byte(name)
		if !t.tells(i, key) {
			changes = append(changes, kv.Change{Op: c.Op, Key: key, Version: c.Version})
		}
	}
	return changes
}

// tells says whether an effect, of which change i is one, tells of a user's key.
func (t *retelling) tells(i int, key []byte) bool {
	version := t.changes[i].Version
	for i > 0 && t.changes[i-1].Version == version {
		i--
	}
	for ; i < len(t.changes) && t.changes[i].Version == version; i++ {
		if t.changes[i].body == 0 && isOf(&t.changes[i].Change, key) {
			return true
		}
	}
	return false
}
