package fusefs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"kivaloo/kvstore/kv"
)

// A renaming is one rename(2) under way.
type renaming struct {
	fs             *fileSystem
	fromDir, toDir *node
	from, to       entry
	flags          uint32
	// txn is filled step by step.
	txn kv.Txn
}

// errNeedsPaths: a directory is renamed, so nobody else may go to the store with
// a key meanwhile.
var errNeedsPaths = errors.New("the rename of a directory")

// rename gives a thing another name, in one transaction.
func (fs *fileSystem) rename(ctx context.Context, fromDir, toDir *node, from, to string, flags uint32) error {
	if flags&^(unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE) != 0 {
		return syscall.EINVAL
	}
	fs.paths.RLock()
	err := fs.renameTries(ctx, fromDir, toDir, from, to, flags, false)
	fs.paths.RUnlock()
	if !errors.Is(err, errNeedsPaths) {
		return err
	}
	fs.paths.Lock()
	defer fs.paths.Unlock()
	return fs.renameTries(ctx, fromDir, toDir, from, to, flags, true)
}

func (fs *fileSystem) renameTries(ctx context.Context, fromDir, toDir *node, from, to string, flags uint32, alone bool) error {
	for range commitTriesMax {
		r := renaming{fs: fs, fromDir: fromDir, toDir: toDir, flags: flags}
		err := r.resolve(ctx, from, to)
		if err == nil {
			err = r.run(ctx, alone)
		}
		if !errors.Is(err, kv.ErrCondition) {
			return err
		}
		if err := errors.Join(fs.sameDir(ctx, fromDir), fs.sameDir(ctx, toDir)); err != nil {
			return err
		}
	}
	return syscall.EIO
}

// resolve finds both ends and refuses what cannot be.
func (r *renaming) resolve(ctx context.Context, from, to string) (err error) {
	if r.from, err = r.fs.resolve(ctx, r.fromDir, from); err != nil {
		return err
	}
	if r.to, err = r.fs.resolve(ctx, r.toDir, to); err != nil {
		return err
	}
	if err := r.check(); err != nil {
		return err
	}
	if r.from.isDir() && r.to.at.kind == kindFile && !r.to.found {
		r.to.at.kind = kindDir
		r.to.key = append(bytes.Clone(r.to.key), '/')
	}
	if len(r.to.key) > kv.KeyBytesMax {
		return syscall.ENAMETOOLONG
	}
	return nil
}

func (r *renaming) check() error {
	from, to := &r.from, &r.to
	switch {
	case !from.found:
		return syscall.ENOENT
	case from.at.kind == kindVirtual || to.at.kind == kindVirtual || from.isMarkerValue() || to.isMarkerValue():
		return syscall.EPERM
	case r.exchanges():
		if !to.found {
			return syscall.ENOENT
		}
		return nil
	case r.flags&unix.RENAME_NOREPLACE != 0 && to.found:
		return syscall.EEXIST
	case from.isDir() && to.isFile():
		return syscall.ENOTDIR
	case from.isFile() && to.isDir():
		return syscall.EISDIR
	case to.found:
		return nil
	case from.isDir():
		return to.creatable(kindDir)
	}
	return to.creatable(kindFile)
}

func (e *entry) isMarkerValue() bool {
	return e.at.kind == kindFile && e.at.comp == "" && e.at.parent != nil && !e.at.parent.isRoot()
}

func (r *renaming) exchanges() bool { return r.flags&unix.RENAME_EXCHANGE != 0 }

func (r *renaming) run(ctx context.Context, alone bool) error {
	if r.from.at == r.to.at {
		return nil
	}
	if (r.from.isDir() || r.to.isDir()) && !alone {
		return errNeedsPaths
	}
	switch {
	case r.exchanges():
		return r.exchange(ctx)
	case r.from.isDir():
		return r.renameDir(ctx)
	}
	return r.renameFile(ctx)
}

// commit carries the transaction out, with the two directories touched.
func (r *renaming) commit(ctx context.Context) error {
	r.fs.touchNow(&r.txn, r.fromDir)
	if r.toDir.real() != r.fromDir.real() {
		r.fs.touchNow(&r.txn, r.toDir)
	}
	_, err := r.fs.session.Commit(ctx, &r.txn)
	return err
}

func (r *renaming) guard(g kv.Guard)   { r.txn.Guards = append(r.txn.Guards, g) }
func (r *renaming) effect(e kv.Effect) { r.txn.Effects = append(r.txn.Effects, e) }

// renameDir moves all keys below. What is there already must be an empty
// directory. Nobody else is under way with a key.
func (r *renaming) renameDir(ctx context.Context) error {
	from, to := &r.from, &r.to
	if bytes.HasPrefix(to.key, from.key) {
		return syscall.EINVAL
	}
	var last *pairAttr
	if to.found {
		if err := r.fs.checkEmpty(ctx, to); err != nil {
			return err
		}
		var err error
		if last, err = r.fs.lastAttr(ctx, to); err != nil {
			return err
		}
		r.guard(kv.Guard{Op: kv.BirthEquals, Key: to.key, Stamp: to.pair.Birth})
		r.guard(kv.Guard{Op: kv.ValueEquals, Key: to.key})
		r.effect(kv.Effect{Op: kv.Delete, Key: to.key})
	} else {
		r.guard(kv.Guard{Op: kv.Absent, Key: to.key})
		r.guard(kv.Guard{Op: kv.Absent, Key: to.key[:len(to.key)-1]})
	}
	r.guard(kv.Guard{Op: kv.PrefixEmpty, Key: to.key})
	r.movePrefix(from, to.key)
	if err := r.commit(ctx); err != nil {
		return crossDevice(err)
	}
	if to.found {
		r.fs.removedDir(to, last)
	}
	r.fs.moved(from, to.at)
	return nil
}

// movePrefix moves a directory that is still the one that was resolved. One
// without a marker gets it now: there may be nothing else to move.
func (r *renaming) movePrefix(from *entry, to []byte) {
	if from.hasPair {
		r.guard(kv.Guard{Op: kv.BirthEquals, Key: from.key, Stamp: from.pair.Birth})
	} else {
		r.guard(kv.Guard{Op: kv.Absent, Key: from.key})
		r.effect(kv.Effect{Op: kv.Patch, Key: from.key})
	}
	r.effect(kv.Effect{Op: kv.MovePrefix, Key: from.key, To: to})
}

// crossDevice makes mv copy what one transaction cannot move.
func crossDevice(err error) error {
	if errors.Is(err, kv.ErrTooLarge) {
		return fmt.Errorf("%w: %w", syscall.EXDEV, err)
	}
	return err
}

// moved gives the node of what has been renamed its new place, unless the tree
// has been told of that, or of the next rename, already.
func (fs *fileSystem) moved(from *entry, to slot) {
	n := fs.tree.nodeOf(from)
	if n == nil {
		return
	}
	fs.tree.mu.Lock()
	if n.at == from.at {
		fs.tree.move(n, to)
	}
	key := n.key(nil)
	f := n.file
	fs.tree.mu.Unlock()
	if f != nil {
		fs.remark(f, key)
	}
	if n.kind == kindDir {
		fs.remarkBelow(n)
	}
}

// remarkBelow follows the files that are open in a directory that has moved.
func (fs *fileSystem) remarkBelow(dir *node) {
	for _, f := range fs.tree.openBelow(dir) {
		if key, err := fs.tree.key(f.n); err == nil {
			fs.remark(f, key)
		}
	}
}

// openBelow lists the open files below a directory.
func (t *tree) openBelow(dir *node) []*file {
	t.mu.Lock()
	defer t.mu.Unlock()
	var below []*file
	for n := range t.open {
		if n.isBelow(dir) {
			below = append(below, n.file)
		}
	}
	return below
}
