package fusefs

import (
	"context"
	"fmt"

	"kivaloo/kvstore/kv"
)

// exchange gives two things each other's name. Uncommitted files are committed
// first: both ends have to be in the store.
func (r *renaming) exchange(ctx context.Context) error {
	for _, e := range []*entry{&r.from, &r.to} {
		if err := r.saveEntry(ctx, e); err != nil {
			return err
		}
		if e.fresh != nil {
			return kv.ErrCondition // it has a pair now: resolve it again
		}
	}
	end, err := r.begin(&r.from, &r.to)
	if err != nil {
		return err
	}
	defer end()
	if err := r.fillExchange(ctx); err != nil {
		return err
	}
	if err := r.commit(ctx); err != nil {
		return crossDevice(err)
	}
	r.exchanged()
	return nil
}

func (r *renaming) saveEntry(ctx context.Context, e *entry) error {
	n := r.fs.tree.at(e)
	if n == nil {
		return nil
	}
	if f := r.fs.tree.openFile(n); f != nil {
		return r.fs.save(ctx, f, nil)
	}
	return nil
}

// fillExchange moves one out of the way, under a name that nobody sees.
func (r *renaming) fillExchange(ctx context.Context) error {
	stamp, err := r.fs.store.Stamp(ctx)
	if err != nil {
		return err
	}
	aside := entry{key: fmt.Appendf(nil, "\x00exchange-%d", stamp)}
	fromKey, toKey := renamedKeys(&r.from, &r.to)
	if r.from.isDir() {
		aside.key = append(aside.key, '/')
	}
	r.guard(kv.Guard{Op: kv.Absent, Key: aside.key})
	r.move(&r.from, aside.key)
	r.move(&r.to, toKey)
	aside.at = r.from.at
	r.effect(moveOf(&aside, fromKey))
	return nil
}

// renamedKeys are the keys that two things have after an exchange: a directory's
// ends with a slash, whatever the other's did.
func renamedKeys(from, to *entry) (fromKey, toKey []byte) {
	bare := func(e *entry) []byte {
		if e.isDir() {
			return e.key[: len(e.key)-1 : len(e.key)-1]
		}
		return e.key[:len(e.key):len(e.key)]
	}
	fromKey, toKey = bare(to), bare(from)
	if from.isDir() {
		fromKey = append(fromKey, '/')
	}
	if to.isDir() {
		toKey = append(toKey, '/')
	}
	return fromKey, toKey
}

func (r *renaming) move(e *entry, to []byte) {
	if e.isDir() {
		r.movePrefix(e, to)
		return
	}
	r.guard(kv.Guard{Op: kv.BirthEquals, Key: e.key, Stamp: e.pair.Birth})
	r.effect(moveOf(e, to))
}

func moveOf(e *entry, to []byte) kv.Effect {
	op := kv.Move
	if e.at.kind == kindDir {
		op = kv.MovePrefix
	}
	return kv.Effect{Op: op, Key: e.key, To: to}
}

// exchanged swaps the nodes.
func (r *renaming) exchanged() {
	fs := r.fs
	a, b := fs.tree.nodeOf(&r.from), fs.tree.nodeOf(&r.to)
	toA, toB := r.to.at, r.from.at
	toA.kind, toB.kind = r.from.at.kind, r.to.at.kind
	fs.tree.mu.Lock()
	moveA, moveB := a != nil && a.at == r.from.at, b != nil && b.at == r.to.at
	if moveB {
		fs.tree.unslot(b) // else a would put it out of its place
	}
	if moveA {
		fs.tree.move(a, toA)
	}
	if moveB {
		fs.tree.move(b, toB)
	}
	fs.tree.mu.Unlock()
	for _, n := range []*node{a, b} {
		if n != nil {
			fs.remarkNode(n)
		}
	}
}

// remarkNode follows what is open of a node that has moved.
func (fs *fileSystem) remarkNode(n *node) {
	if n.kind == kindDir {
		fs.remarkBelow(n)
		return
	}
	if f := fs.tree.openFile(n); f != nil {
		if key, err := fs.tree.key(n); err == nil {
			fs.remark(f, key)
		}
	}
}
