package fusefs

import (
	"context"
	"syscall"

	"kivaloo/kvstore/kv"
)

// renameFile moves one pair. What has been written and not been committed goes
// with it, in the same transaction: a rename never brings an empty file to the
// name of a full one.
func (r *renaming) renameFile(ctx context.Context) error {
	old := r.keepTarget(ctx)
	end, err := r.begin(&r.from, &r.to)
	if err == nil {
		err = r.renameFileBegun(ctx)
		end()
	}
	if old != nil {
		r.fs.linger(ctx, old, err == nil)
	}
	return err
}

func (r *renaming) renameFileBegun(ctx context.Context) error {
	f, layer := r.takeLayer()
	if err := r.fillFile(ctx, f, layer); err != nil {
		r.putBack(f, layer)
		return err
	}
	if err := r.commit(ctx); err != nil {
		r.putBack(f, layer)
		return err
	}
	r.renamedFile(ctx, f, layer)
	return nil
}

// begin takes the turns of the open files at both ends, in the order of their
// ids, and says on the moved node that it is on its way.
func (r *renaming) begin(entries ...*entry) (end func(), err error) {
	var files []*file
	var nodes []*node
	for _, e := range entries {
		n := r.fs.tree.at(e)
		if n == nil {
			continue
		}
		nodes = append(nodes, n)
		if f := r.fs.tree.openFile(n); f != nil {
			files = append(files, f)
		}
	}
	if len(files) == 2 && files[0].n.id > files[1].n.id {
		files[0], files[1] = files[1], files[0]
	}
	for _, f := range files {
		f.takeTurn()
	}
	moving := r.fs.tree.beginMove(nodes)
	end = func() {
		r.fs.tree.endMove(nodes, moving)
		for _, f := range files {
			f.endTurn()
		}
	}
	for _, e := range entries {
		if !r.fs.stillFresh(e) {
			end()
			return nil, kv.ErrCondition
		}
	}
	return end, nil
}

// stillFresh says that an entry that was resolved to an uncommitted file is one
// still.
func (fs *fileSystem) stillFresh(e *entry) bool {
	if e.fresh == nil {
		return true
	}
	f := fs.tree.openFile(e.fresh)
	if f == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state == fresh
}

func (t *tree) beginMove(nodes []*node) chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	moving := make(chan struct{})
	for _, n := range nodes {
		n.moving = moving
	}
	return moving
}

func (t *tree) endMove(nodes []*node, moving chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range nodes {
		if n.moving == moving {
			n.moving = nil
		}
	}
	close(moving)
}

// takeLayer takes what the file has unsaved, to be committed with the rename.
func (r *renaming) takeLayer() (*file, *buffer) {
	n := r.fs.tree.at(&r.from)
	if n == nil {
		return nil, nil
	}
	f := r.fs.tree.openFile(n)
	if f == nil {
		return nil, nil
	}
	layer, ok := f.beginFlush(false)
	if !ok {
		return f, nil
	}
	return f, layer
}

// fillFile writes the transaction: the unsaved data, and the move.
func (r *renaming) fillFile(ctx context.Context, f *file, layer *buffer) error {
	if err := r.fillTarget(); err != nil {
		return err
	}
	if r.from.fresh != nil {
		return r.fillFresh(f, layer)
	}
	if layer != nil {
		txns, err := r.fs.layerTxns(ctx, f, layer)
		if err != nil || len(txns) > 1 {
			return orElse(err, syscall.EXDEV)
		}
		r.txn.Guards = append(r.txn.Guards, txns[0].Guards...)
		r.txn.Effects = append(r.txn.Effects, txns[0].Effects...)
	}
	r.guard(kv.Guard{Op: kv.BirthEquals, Key: r.from.key, Stamp: r.from.pair.Birth})
	r.effect(kv.Effect{Op: kv.Move, Key: r.from.key, To: r.to.key})
	return nil
}

// fillTarget guards what the new name leads to now.
func (r *renaming) fillTarget() error {
	if r.to.hasPair {
		r.guard(kv.Guard{Op: kv.BirthEquals, Key: r.to.key, Stamp: r.to.pair.Birth})
		return nil
	}
	r.guard(kv.Guard{Op: kv.Absent, Key: r.to.key})
	return nil
}

// fillFresh creates a file under its new name: the store never knew the old one.
func (r *renaming) fillFresh(f *file, layer *buffer) error {
	if layer == nil {
		return kv.ErrCondition
	}
	txns, err := r.fs.creationTxns(f, layer, r.to.key)
	if err != nil {
		return err
	}
	// The first guard is that the new name is free, the last effect touches the
	// old directory: commit does that.
	effects := txns[0].Effects[:len(txns[0].Effects)-1]
	effects[0].Fresh = effects[0].Op == kv.Put
	if r.to.hasPair && !effects[0].Fresh {
		r.effect(kv.Effect{Op: kv.Delete, Key: r.to.key})
	}
	r.txn.Effects = append(r.txn.Effects, effects...)
	r.guard(kv.Guard{Op: kv.Absent, Key: r.from.key})
	return nil
}

func orElse(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// putBack gives a file its unsaved data back after a rename that failed.
func (r *renaming) putBack(f *file, layer *buffer) {
	if layer == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flushing = nil
	f.layers++
	f.buf = f.buf.onto(*layer)
}

// renamedFile brings tree and files up to date.
func (r *renaming) renamedFile(ctx context.Context, f *file, layer *buffer) {
	fs := r.fs
	r.displaced()
	wasFresh := r.from.fresh != nil
	fs.moved(&r.from, r.to.at)
	if f == nil {
		return
	}
	if wasFresh {
		if err := fs.committed(ctx, f); err != nil {
			fs.log.Error("pin after rename", "path", fs.tree.describe(f.n), "error", err)
		}
	}
	if layer != nil {
		fs.endFlush(f, layer, nil, nil)
	}
}

// displaced says to the node of what was under the new name that it has none.
func (r *renaming) displaced() {
	if !r.to.found {
		return
	}
	n := r.fs.tree.nodeOf(&r.to)
	if n == nil {
		return
	}
	if f := r.fs.tree.openFile(n); f != nil {
		r.fs.orphaned(f)
		r.fs.unsaved.remove(f)
		return
	}
	r.fs.detach(n)
}
