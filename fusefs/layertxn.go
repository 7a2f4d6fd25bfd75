package fusefs

import (
	"context"
	"syscall"

	"kivaloo/kvstore/kv"
)

const (
	// piecesMax is how many pieces of a buffer go into one transaction; the rest
	// of its effects is for size, attributes and the directory.
	piecesMax = kv.TxnEffectsMax - 8

	// sparseFactor is how much longer than its bytes a new value may be and still
	// be written in one piece, zeros included.
	sparseFactor = 2
	sparseSlack  = 64 << 10
)

// layerTxns turns a buffer into transactions, as a rule one. A pair that is
// there is guarded by its birth, and by its version where the effects depend on
// what it holds.
func (fs *fileSystem) layerTxns(ctx context.Context, f *file, layer *buffer) ([]*kv.Txn, error) {
	state, birth, key, err := fs.whereIs(f)
	if err != nil {
		return nil, err
	}
	switch state {
	case fresh:
		return fs.creationTxns(f, layer, key)
	case stored:
		return fs.changeTxns(ctx, f, layer, key, birth)
	}
	return nil, errMoved
}

// creationTxns make the pair of a fresh file. It is one transaction whatever its
// size: what is new is whole or not there.
func (fs *fileSystem) creationTxns(f *file, layer *buffer, key []byte) ([]*kv.Txn, error) {
	f.mu.Lock()
	meta := f.attr.Encode()
	f.mu.Unlock()
	txn := &kv.Txn{
		Guards:  []kv.Guard{{Op: kv.Absent, Key: key}},
		Effects: layer.effects(key, 0),
	}
	first := &txn.Effects[0]
	first.SetMeta, first.Meta, first.Birth = true, meta, fs.birthOf(f.n)
	fs.touchParent(txn, f.n)
	return []*kv.Txn{txn}, nil
}

func (fs *fileSystem) birthOf(n *node) kv.Stamp {
	fs.tree.mu.Lock()
	defer fs.tree.mu.Unlock()
	return n.birth
}

// changeTxns change a pair that is there.
func (fs *fileSystem) changeTxns(ctx context.Context, f *file, layer *buffer, key []byte, birth kv.Stamp) ([]*kv.Txn, error) {
	guard := kv.Guard{Op: kv.BirthEquals, Key: key, Stamp: birth}
	size := int64(0)
	var meta []byte
	if layer.cut != noCut || layer.end > layer.extentsEnd() || layer.killPriv {
		pair, err := fs.store.Get(ctx, kv.GetRequest{Key: key, Want: kv.WantStamps})
		if err != nil || pair.Birth != birth {
			return nil, errMoved
		}
		fs.dropVoided(f, layer, &pair)
		guard = kv.Guard{Op: kv.VersionEquals, Key: key, Stamp: pair.Version}
		size = pair.Size
		if layer.killPriv {
			if meta, err = metaWithoutPriv(&pair, &fs.opts); err != nil {
				return nil, err
			}
		}
	}
	effects := layer.effects(key, size)
	if len(effects) > 0 && meta != nil {
		effects[0].SetMeta, effects[0].Meta = true, meta
	}
	return split(guard, effects), nil
}

// dropVoided takes a truncation back that somebody else's change has overtaken.
func (fs *fileSystem) dropVoided(f *file, layer *buffer, pair *kv.Pair) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if layer.voided(pair) {
		layer.uncut()
	}
}

// metaWithoutPriv gives a pair's metadata without suid and sgid, nil where there
// are none.
func metaWithoutPriv(pair *kv.Pair, o *Options) ([]byte, error) {
	a, err := decodeMeta(pair)
	if err != nil {
		return nil, err
	}
	mode := o.fileAttr(pair, &a).mode
	if withoutPriv(mode) == mode {
		return nil, nil
	}
	a.HasMode, a.Mode = true, withoutPriv(mode)
	return a.Encode(), nil
}

// split parts effects into transactions that the store carries. Beyond the first
// the version is no longer the guard's: the birth has to do.
func split(guard kv.Guard, effects []kv.Effect) []*kv.Txn {
	var txns []*kv.Txn
	for len(effects) > 0 {
		n := min(len(effects), piecesMax)
		txn := &kv.Txn{Effects: effects[:n]}
		if guard.Op == kv.BirthEquals || len(txns) == 0 {
			txn.Guards = []kv.Guard{guard}
		}
		txns = append(txns, txn)
		effects = effects[n:]
	}
	return txns
}

// effects turn the value of a pair, of this size, into what the buffer makes of
// it. The last of them carries the buffer's mtime, those before lower ones:
// Modified grows with each.
func (b *buffer) effects(key []byte, size int64) []kv.Effect {
	effects := b.wholeEffects(key)
	if effects == nil {
		effects = b.partEffects(key, size)
	}
	for i := range effects {
		effects[i].Key = key
		effects[i].Modified = max(b.mtime-kv.Stamp(len(effects)-1-i), 1)
	}
	return effects
}

// wholeEffects set the value anew, where nothing of it is left and not much of
// the new one is zeros.
func (b *buffer) wholeEffects(key []byte) []kv.Effect {
	sparse := b.end > sparseFactor*b.bytes+sparseSlack && len(b.extents) < piecesMax
	if b.cut != 0 || sparse {
		return nil
	}
	value := make([]byte, b.end)
	b.overlay(0, value)
	return []kv.Effect{{Op: kv.Put, Value: value}}
}

func (b *buffer) partEffects(key []byte, size int64) []kv.Effect {
	var effects []kv.Effect
	if b.cut != noCut {
		effects = append(effects, kv.Effect{Op: kv.Truncate, Length: min(b.cut, b.end)})
		size = b.cut
	}
	for _, e := range b.extents {
		effects = append(effects, kv.Effect{Op: kv.Patch, Offset: e.off, Value: e.data})
	}
	if b.end > max(size, b.extentsEnd()) {
		effects = append(effects, kv.Effect{Op: kv.Truncate, Length: b.end})
	}
	if len(effects) == 0 {
		// Nothing but the time has changed.
		effects = append(effects, kv.Effect{Op: kv.Patch})
	}
	return effects
}

// touchParent adds to a transaction that a name of the node's directory has come
// or gone: its marker's Modified is the directory's mtime.
func (fs *fileSystem) touchParent(txn *kv.Txn, n *node) {
	fs.tree.mu.Lock()
	parent := n.at.parent
	fs.tree.mu.Unlock()
	fs.touch(txn, parent)
}

// touch writes a directory's marker. A marker that the mount has seen must still
// be the same: else the directory has gone, or moved, on the way.
func (fs *fileSystem) touch(txn *kv.Txn, dir *node) {
	fs.tree.mu.Lock()
	defer fs.tree.mu.Unlock()
	dir = dir.real()
	e := kv.Effect{Op: kv.Patch, Modified: dir.dir.touched}
	if dir.isRoot() {
		e.Space = kv.Root
	} else {
		e.Key = dir.key(nil)
		if dir.birth != 0 {
			txn.Guards = append(txn.Guards, kv.Guard{Op: kv.BirthEquals, Key: e.Key, Stamp: dir.birth})
		}
	}
	txn.Effects = append(txn.Effects, e)
}

// checkParent finds out whether a directory's marker is still the one we know,
// after a guard on it may have failed. A directory whose marker is gone exists
// on for the uncommitted files in it, and gets another.
func (fs *fileSystem) checkParent(ctx context.Context, f *file) error {
	fs.tree.mu.Lock()
	dir := f.n.at.parent
	fs.tree.mu.Unlock()
	return fs.refreshBirth(ctx, dir)
}

// refreshBirth reads a directory's marker anew.
func (fs *fileSystem) refreshBirth(ctx context.Context, dir *node) error {
	fs.tree.mu.Lock()
	dir = dir.real()
	key := dir.key(nil)
	fs.tree.mu.Unlock()
	if dir.isRoot() {
		return nil
	}
	pair, err := fs.store.Get(ctx, kv.GetRequest{Key: key, Want: kv.WantStamps})
	if err != nil && errnoOf(err) != errnoOf(kv.ErrNotFound) {
		return err
	}
	fs.tree.rebirth(dir, pair.Birth) // 0 where there is none
	return nil
}

// sameDir is refreshBirth for a request about a directory that the kernel knows:
// another one in its place is not it.
func (fs *fileSystem) sameDir(ctx context.Context, dir *node) error {
	old := fs.birthOf(dir.real())
	if err := fs.refreshBirth(ctx, dir); err != nil {
		return err
	}
	if now := fs.birthOf(dir.real()); old != 0 && now != 0 && now != old {
		fs.tree.rebirth(dir.real(), old)
		return syscall.ESTALE
	}
	return nil
}
