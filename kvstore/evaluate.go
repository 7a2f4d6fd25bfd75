package kvstore

import (
	"bytes"
	"errors"
	"fmt"

	"kivaloo/kvstore/delta"
	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
)

// evaluate decides a request on top of all before it, published or not, and adds
// the outcome to the open batch. A transaction that fails leaves nothing. False: it
// waits for a checkpoint, and is to be evaluated again then.
func (w *writer) evaluate(r *request) bool {
	r.err, r.result, r.changes = nil, kv.Result{}, r.changes[:0]
	if r.internal != nil {
		w.open.requests = append(w.open.requests, r)
		r.err = r.internal(w)
		return true
	}
	n := len(r.txn.Effects)
	if r.err = w.checkGuards(r.txn); r.err == nil && n > 0 {
		r.err = w.admit(r)
		if errors.Is(r.err, kv.ErrNoSpace) && w.mayWait(r) {
			return false
		}
	}
	w.open.requests = append(w.open.requests, r)
	if r.err == nil {
		w.carryOut(r, n)
	}
	return true
}

// admit refuses what there is no room for.
func (w *writer) admit(r *request) (err error) {
	if r.grows, err = w.growing(r.txn); err != nil {
		return err
	}
	if r.grows && len(r.blobs) == 0 { // else it was asked when its values were written ahead
		err = w.db.space.admit()
	} else if !r.grows && !w.db.space.deletable() && (w.db.checkpoint.stuck.Load() || w.db.space.kept()) {
		err = errNotDeletable
	}
	if err != nil {
		w.db.checkpoint.poke()
	}
	return err
}

// errNotDeletable: the checkpoint has failed, or may free nothing while there are
// snapshots, and needs what room there is once that is over.
var errNotDeletable = fmt.Errorf("%w: a checkpoint needs what is left", kv.ErrNoSpace)

// carryOut evaluates the effects of a transaction.
func (w *writer) carryOut(r *request, n int) {
	if n == 0 {
		r.result.Version = kv.Stamp(w.version)
		return
	}
	first := w.db.clock.drawAt(w.now, n)
	w.begin(r)
	defer w.end()
	for i := range r.txn.Effects {
		err := w.effect(r, i, first+uint64(i))
		if err == nil && w.open.size() > r.from+txnAppendMax {
			err = fmt.Errorf("a transaction that writes more than %d bytes: %w", txnAppendMax, kv.ErrTooLarge)
		}
		if err != nil {
			w.goBack()
			r.changes = r.changes[:0]
			r.err = effectError(err, i)
			return
		}
	}
	r.grows = r.grows || w.open.size() > r.from+reserveTxnMax
	w.version = first + uint64(n) - 1
	r.result.Version = kv.Stamp(w.version)
	w.open.grows = w.open.grows || r.grows
}

// txnAppendMax bounds what one transaction adds to an append: about what it may
// bring itself, and as much again. Patches of a large value write whole chunks, so
// that many small ones can come to far more than they say.
const txnAppendMax = 128 << 20

// reserveTxnMax bounds what one transaction that only deletes may write and still
// use the reserve: a deleted prefix writes a pair again for each link whose value
// keeps one name, and then the checkpoint that would free something finds no room.
const reserveTxnMax = 2 * lowBytesMin

var (
	// errNoPair: an effect found no pair to act on.
	errNoPair = errors.New("no pair to act on")
	// errTaken: an effect found a pair where there must be none.
	errTaken = errors.New("the key is taken")
)

func effectError(err error, i int) error {
	if err == errNoPair || err == errTaken {
		return &kv.ConditionError{Guard: -1, Effect: i, Exists: err == errTaken}
	}
	return fmt.Errorf("effect %d: %w", i, err)
}

// besideDeleteMax is how many bytes a transaction that deletes may put and still
// use the reserve: a mount's unlink writes the directory's marker again.
const besideDeleteMax = 512

// growing says whether a transaction needs room that deleting does not give back.
func (w *writer) growing(t *kv.Txn) (bool, error) {
	deletes, bytes := -1, 0
	for i := range t.Effects {
		e := &t.Effects[i]
		switch {
		case e.Op == kv.Delete || e.Op == kv.DeletePrefix:
			deletes = i
		case e.Op == kv.Put && len(e.Staged) == 0, e.Op == kv.Patch && len(e.Value)+len(e.Staged) == 0:
			bytes += len(e.Key) + len(e.Value) + len(e.Meta)
		default:
			return true, nil
		}
	}
	if deletes < 0 || bytes > besideDeleteMax || bytes == 0 || !w.db.space.low.Load() {
		return deletes < 0 || bytes > besideDeleteMax, nil
	}
	// On a full disk, what deletes nothing does not get at the reserve.
	e := &t.Effects[deletes]
	if e.Op == kv.DeletePrefix {
		return true, nil
	}
	w.key = appendKey(w.key[:0], e.Space, e.Key)
	_, found, err := w.look(w.key)
	return !found, err
}

// look answers what the next effect finds under an internal key: the pair that is
// there, or the body that it is a link to.
func (w *writer) look(key []byte) (pair, bool, error) {
	return w.working.lookup(w.db.cache, key, true)
}

// lookup is look for an effect.
func (w *writer) lookup(key []byte) (pair, bool, error) {
	p, found, err := w.look(key)
	if p.names > 0 {
		w.secure()
	}
	return p, found, err
}

// emit adds an operation to the record and carries it out.
func (w *writer) emit(op *item.Op) {
	w.open.record.Add(op)
	w.applier.apply(op)
}

func (w *writer) checkGuards(t *kv.Txn) error {
	for i := range t.Guards {
		ok, err := w.holds(&t.Guards[i])
		if err != nil {
			return fmt.Errorf("guard %d: %w", i, err)
		}
		if !ok {
			return &kv.ConditionError{Guard: i, Effect: -1}
		}
	}
	return nil
}

func (w *writer) holds(g *kv.Guard) (bool, error) {
	w.key = appendKey(w.key[:0], g.Space, g.Key)
	if g.Op == kv.PrefixEmpty {
		return w.prefixEmpty(w.key)
	}
	p, found, err := w.look(w.key)
	if err != nil || !found {
		return err == nil && g.Op == kv.Absent, err
	}
	switch g.Op {
	case kv.Present:
		return true, nil
	case kv.VersionEquals:
		return kv.Stamp(p.version) == g.Stamp, nil
	case kv.BirthEquals:
		return kv.Stamp(p.birth) == g.Stamp, nil
	case kv.ValueEquals:
		return w.valueEquals(&p, g.Value)
	default:
		return false, nil
	}
}

func (w *writer) valueEquals(p *pair, want []byte) (bool, error) {
	if size, err := p.size(); err != nil || size != int64(len(want)) {
		return false, err
	}
	got, err := w.readAll(p)
	return err == nil && bytes.Equal(got, want), err
}

// prefixEmpty says whether no key but prefix itself begins with it.
func (w *writer) prefixEmpty(prefix []byte) (bool, error) {
	start, end := prefixRange(prefix)
	c := w.working.cursor(w.db.cache)
	ok, err := c.seek(start)
	if ok && err == nil && bytes.Equal(c.key(), prefix) {
		ok, err = c.next()
	}
	return !ok || (end != nil && bytes.Compare(c.key(), end) >= 0), err
}

// effect carries out effect i of a request, as a change at stamp s.
func (w *writer) effect(r *request, i int, s uint64) error {
	e := &r.txn.Effects[i]
	w.key = appendKey(w.key[:0], e.Space, e.Key)
	switch e.Op {
	case kv.Put:
		return w.put(r, i, s)
	case kv.Patch:
		return w.patch(r, e, e.Offset, s)
	case kv.Append:
		return w.append(r, e, s)
	case kv.Truncate:
		return w.truncate(r, e, s)
	case kv.Punch:
		return w.punch(r, e, s)
	case kv.CopyRange:
		return w.copyRange(r, e, s)
	case kv.Delete:
		return w.delete(r, e, s)
	case kv.DeletePrefix:
		return w.deletePrefix(r, e, s)
	case kv.Move:
		return w.move(r, e, s)
	case kv.MovePrefix:
		return w.movePrefix(r, e, s)
	case kv.SetMeta:
		return w.setMeta(r, e, s)
	case kv.Link:
		return w.link(r, e, s)
	default:
		return fmt.Errorf("effect %d: %w", e.Op, kv.ErrUnsupported)
	}
}

// note tells observers and watchers of a change of a user's key, if there are any.
func (w *writer) note(r *request, space kv.Space, c kv.Change) {
	if space != kv.User || w.db.listeners.Load() == 0 {
		return
	}
	c.Key, c.To = bytes.Clone(c.Key), bytes.Clone(c.To)
	r.changes = append(r.changes, c)
}

// putPair emits the put of a whole pair that was looked up before; one that has
// several names is put as their body. keeps: it goes on where it was found, so
// birth and, without setMeta, metadata need not be written again.
func (w *writer) putPair(key []byte, p *pair, keeps, setMeta bool, s uint64) {
	op := item.Op{Kind: item.OpPut, Key: p.home(key), Version: s, Birth: s, Modified: p.modified, Value: p.stored(p.value), Meta: p.meta}
	if !keeps {
		op.Flags |= item.FlagFresh
		setMeta = len(p.meta) > 0
		if p.birth != 0 {
			op.Flags, op.Birth = op.Flags|item.FlagBirth, p.birth
		}
	}
	if setMeta {
		op.Flags |= item.FlagMeta
	}
	if p.modified != s {
		op.Flags |= item.FlagModified
	}
	op.Flags |= opFlags(p.flags)
	w.emit(&op)
}

// recordFlags pairs the flags of a put in a record with those of a delta.
var recordFlags = [...]struct {
	op    uint8
	delta delta.Flags
}{
	{item.FlagFresh, delta.Fresh},
	{item.FlagMeta, delta.HasMeta},
	{item.FlagBlob, delta.Blob},
	{item.FlagLink, delta.Link},
	{item.FlagBrought, delta.Brought},
}

// opFlags are the flags of a pair as a put in a record has them.
func opFlags(f delta.Flags) (flags uint8) {
	for _, m := range recordFlags {
		if f&delta.PairFlags&m.delta != 0 {
			flags |= m.op
		}
	}
	return flags
}
