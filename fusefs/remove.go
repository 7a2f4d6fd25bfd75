package fusefs

import (
	"context"
	"errors"
	"syscall"

	"kivaloo/kvstore/kv"
)

// unlink removes a name. A pair that is open goes to the orphans in the same
// transaction, since we have it pinned.
func (fs *fileSystem) unlink(ctx context.Context, dir *node, name string) error {
	for range commitTriesMax {
		e, err := fs.resolve(ctx, dir, name)
		if err != nil {
			return err
		}
		switch {
		case !e.found:
			return syscall.ENOENT
		case !e.isFile():
			return syscall.EISDIR
		}
		if err := fs.unlinkEntry(ctx, dir, &e); !errors.Is(err, kv.ErrCondition) {
			return err
		}
		if err := fs.sameDir(ctx, dir); err != nil {
			return err
		}
	}
	return syscall.EIO
}

// unlinkEntry removes what was resolved, or answers ErrCondition if that has
// changed.
func (fs *fileSystem) unlinkEntry(ctx context.Context, dir *node, e *entry) error {
	n := fs.tree.at(e)
	if n != nil {
		if f := fs.tree.openFile(n); f != nil {
			f.takeTurn()
			defer f.endTurn()
			if e.fresh != nil {
				return fs.unlinkFresh(ctx, dir, f)
			}
		}
	}
	if e.fresh != nil {
		return kv.ErrCondition // it was closed on the way
	}
	if err := fs.commitUnlink(ctx, dir, e); err != nil {
		return err
	}
	if n == nil || n.isValue() {
		return nil
	}
	if f := fs.tree.openFile(n); f != nil {
		fs.orphaned(f)
		return nil
	}
	fs.detach(n)
	return nil
}

// at is the node of an entry, if it has one.
func (t *tree) at(e *entry) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.fresh != nil {
		return e.fresh
	}
	if n := t.bySlot[e.at]; n != nil && n.birth == e.birth() {
		return n
	}
	return nil
}

// nodeOf is the node of an entry's pair after the pair has been moved or replaced:
// a lookup that came between the commit and us has told the tree already.
func (t *tree) nodeOf(e *entry) *node {
	if e.fresh == nil && e.at.kind == kindFile && e.found && !e.isMarkerValue() {
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.byBirth[e.birth()]
	}
	return t.at(e)
}

// unlinkFresh takes the name of a file that the store has never seen.
func (fs *fileSystem) unlinkFresh(ctx context.Context, dir *node, f *file) error {
	f.mu.Lock()
	still := f.state == fresh
	f.mu.Unlock()
	if !still {
		return kv.ErrCondition // committed, or adopted, while we waited
	}
	stamp, err := fs.store.Stamp(ctx)
	if err != nil {
		return err
	}
	fs.orphaned(f)
	fs.tree.mu.Lock()
	dir.real().dir.touched = stamp
	fs.tree.mu.Unlock()
	fs.unsaved.remove(f)
	return nil
}

func (fs *fileSystem) commitUnlink(ctx context.Context, dir *node, e *entry) error {
	txn := &kv.Txn{
		Guards:  []kv.Guard{{Op: kv.BirthEquals, Key: e.key, Stamp: e.pair.Birth}},
		Effects: []kv.Effect{{Op: kv.Delete, Key: e.key}},
	}
	if e.at.comp == "" && !e.at.parent.isRoot() {
		// The value of a directory's marker: the marker stays.
		txn.Effects[0] = kv.Effect{Op: kv.Truncate, Key: e.key}
	} else {
		fs.touchNow(txn, dir)
	}
	_, err := fs.session.Commit(ctx, txn)
	return err
}

// rmdir removes a directory that holds nothing but its marker.
func (fs *fileSystem) rmdir(ctx context.Context, dir *node, name string) error {
	for range commitTriesMax {
		e, err := fs.resolve(ctx, dir, name)
		if err != nil {
			return err
		}
		if err := fs.removable(ctx, &e); err != nil {
			return err
		}
		last, err := fs.lastAttr(ctx, &e)
		if err != nil {
			return err
		}
		txn := &kv.Txn{
			Guards: []kv.Guard{
				{Op: kv.BirthEquals, Key: e.key, Stamp: e.pair.Birth},
				{Op: kv.ValueEquals, Key: e.key},
				{Op: kv.PrefixEmpty, Key: e.key},
			},
			Effects: []kv.Effect{{Op: kv.Delete, Key: e.key}},
		}
		fs.touchNow(txn, dir)
		if _, err = fs.session.Commit(ctx, txn); err == nil {
			fs.removedDir(&e, last)
			return nil
		}
		if !errors.Is(err, kv.ErrCondition) {
			return err
		}
		if err := fs.sameDir(ctx, dir); err != nil {
			return err
		}
	}
	return syscall.EIO
}

// removable says why a name is no empty directory.
func (fs *fileSystem) removable(ctx context.Context, e *entry) error {
	switch {
	case !e.found:
		return syscall.ENOENT
	case e.isVirtual():
		return syscall.EPERM
	case !e.isDir():
		return syscall.ENOTDIR
	}
	return fs.checkEmpty(ctx, e)
}

// checkEmpty says whether a directory has anything in it: a key below it, a value
// in its marker, or an uncommitted file.
func (fs *fileSystem) checkEmpty(ctx context.Context, e *entry) error {
	if !e.hasPair || e.pair.Size > 0 {
		return syscall.ENOTEMPTY
	}
	if n := fs.tree.at(e); n != nil && fs.tree.hasFresh(n) {
		return syscall.ENOTEMPTY
	}
	page, err := fs.store.Scan(ctx, kv.ScanRequest{Start: e.key, End: kv.PrefixEnd(e.key), Limit: 2, Want: kv.WantStamps})
	if err == nil && len(page.Entries) > 1 {
		err = syscall.ENOTEMPTY
	}
	return err
}

// lastAttr is what a directory that is about to go shows to who still has it.
func (fs *fileSystem) lastAttr(ctx context.Context, e *entry) (*pairAttr, error) {
	n := fs.tree.at(e)
	if n == nil {
		return nil, nil
	}
	p, err := fs.attrOf(ctx, n)
	p.nlink = 0
	return &p, err
}

func (fs *fileSystem) removedDir(e *entry, last *pairAttr) {
	n := fs.tree.at(e)
	if n == nil {
		return
	}
	fs.tree.mu.Lock()
	defer fs.tree.mu.Unlock()
	n.dir.last = last
	fs.tree.detach(n)
}
