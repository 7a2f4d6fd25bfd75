package fusefs

import (
	"context"
	"errors"
	"syscall"

	"kivaloo/fusefs/namespace"
	"kivaloo/kvstore/kv"
)

// An entry is what a name in a directory stands for at this moment.
type entry struct {
	// at is where the thing is, or would be created. parent is nil when nothing
	// can have this name; then err says why.
	at  slot
	err error
	// found: it is there. A directory may be there without a pair.
	found   bool
	hasPair bool
	pair    kv.Pair // stamps and metadata
	// fresh is the node of a file that is not committed yet.
	fresh *node
	// key is that of the pair, or a directory's prefix.
	key []byte
	// folder: only a directory can have this name.
	folder bool
	// renamings is how many the tree had seen before the store was read.
	renamings uint64
}

func (e *entry) isDir() bool     { return e.found && e.at.kind == kindDir }
func (e *entry) isFile() bool    { return e.found && e.at.kind == kindFile }
func (e *entry) isVirtual() bool { return e.found && e.at.kind == kindVirtual }

// birth is that under which the node is kept.
func (e *entry) birth() kv.Stamp {
	if e.hasPair {
		return e.pair.Birth
	}
	return 0
}

// creatable says why the name cannot be given to something new.
func (e *entry) creatable(kind nodeKind) error {
	switch {
	case e.found:
		return syscall.EEXIST
	case e.err != nil:
		return e.err
	case e.at.kind == kindVirtual, kind == kindFile && e.folder:
		return namespace.ErrReserved
	}
	return nil
}

// resolve finds out what a name stands for.
func (fs *fileSystem) resolve(ctx context.Context, dir *node, name string) (entry, error) {
	renamings := fs.tree.seen()
	e, err := fs.resolveName(ctx, dir, name)
	e.renamings = renamings
	return e, err
}

func (fs *fileSystem) resolveName(ctx context.Context, dir *node, name string) (entry, error) {
	place, err := fs.tree.place(dir)
	if err != nil {
		return entry{}, err
	}
	l, err := place.Lookup(name)
	if err != nil {
		return entry{}, err
	}
	exists := false
	if l.Rival.Kind != namespace.None {
		rival, err := fs.resolveTarget(ctx, dir.real(), &place, l.Rival)
		if err != nil {
			return entry{}, err
		}
		exists = rival.found
	}
	return fs.resolveTarget(ctx, dir.real(), &place, l.Answer(exists))
}

func (fs *fileSystem) resolveTarget(ctx context.Context, dir *node, place *namespace.Dir, t namespace.Target) (entry, error) {
	switch t.Kind {
	case namespace.Virtual:
		return fs.resolveVirtual(ctx, dir, place, t.Cut)
	case namespace.Value:
		e := entry{at: slot{dir, kindFile, ""}, key: place.Prefix}
		err := fs.resolvePair(ctx, &e)
		e.found = e.found && e.pair.Size > 0
		return e, err
	case namespace.Beside:
		return fs.resolveBeside(ctx, dir, place, t.Component)
	case namespace.Folder:
		e, err := fs.resolveDir(ctx, dir, place, t.Component)
		e.folder = true
		return e, err
	case namespace.Main:
		return fs.resolveMain(ctx, dir, place, t.Component)
	}
	return entry{err: t.Err}, nil
}

// resolveMain finds a directory, else a file. A directory may take the place of
// a file between the two looks, so that neither sees a thing: hence the third.
func (fs *fileSystem) resolveMain(ctx context.Context, dir *node, place *namespace.Dir, comp string) (entry, error) {
	e, err := fs.resolveDir(ctx, dir, place, comp)
	if err != nil || e.found {
		return e, err
	}
	if e, err = fs.resolveFile(ctx, dir, place, comp); err != nil || e.found {
		return e, err
	}
	if d, err := fs.resolveDir(ctx, dir, place, comp); err != nil || d.found {
		return d, err
	}
	return e, nil
}

// resolveBeside finds a pair whose key is a directory's too.
func (fs *fileSystem) resolveBeside(ctx context.Context, dir *node, place *namespace.Dir, comp string) (entry, error) {
	e, err := fs.resolveFile(ctx, dir, place, comp)
	if err != nil || !e.found {
		return e, err
	}
	d, err := fs.resolveDir(ctx, dir, place, comp)
	e.found = d.found
	return e, err
}

func (fs *fileSystem) resolveDir(ctx context.Context, dir *node, place *namespace.Dir, comp string) (entry, error) {
	e := entry{at: slot{dir, kindDir, comp}, key: place.AppendPrefix(nil, comp)}
	if namespace.CheckKey(e.key) != nil {
		return e, nil
	}
	fresh := fs.tree.hasFreshAt(e.at) // before the store: they may be committed in between
	first, found, err := fs.firstBelow(ctx, e.key)
	if err != nil {
		return e, err
	}
	if found && len(first.Key) == len(e.key) {
		e.hasPair, e.pair = true, first
	}
	e.found = found || fresh
	return e, nil
}

// firstBelow reads the first pair whose key begins with prefix: its marker, if a
// directory has one.
func (fs *fileSystem) firstBelow(ctx context.Context, prefix []byte) (kv.Pair, bool, error) {
	page, err := fs.store.Scan(ctx, kv.ScanRequest{
		Start: prefix, End: kv.PrefixEnd(prefix), Limit: 1, Want: kv.WantStamps,
	})
	if err != nil || len(page.Entries) == 0 {
		return kv.Pair{}, false, err
	}
	return page.Entries[0], true, nil
}

// resolveFile finds a pair, or a file that is to become one. If a native client
// has made the pair meanwhile, the file is that pair now, unless it was to be
// the only one of its name.
func (fs *fileSystem) resolveFile(ctx context.Context, dir *node, place *namespace.Dir, comp string) (entry, error) {
	e := entry{at: slot{dir, kindFile, comp}, key: place.AppendKey(nil, comp)}
	n := fs.tree.freshFile(dir, comp) // before the store: it may be committed in between
	if err := fs.resolvePair(ctx, &e); err != nil || n == nil {
		return e, err
	}
	if !e.found {
		e.found, e.fresh = true, n
		return e, nil
	}
	if f := fs.tree.openFile(n); f != nil && !f.excl {
		fs.adopt(ctx, f, &e.pair)
	}
	return e, nil
}

func (fs *fileSystem) resolvePair(ctx context.Context, e *entry) error {
	pair, err := fs.store.Get(ctx, kv.GetRequest{Key: e.key, Want: kv.WantStamps})
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	e.found, e.hasPair, e.pair = err == nil, err == nil, pair
	return err
}

// resolveVirtual finds a virtual directory: it exists while something is in it.
func (fs *fileSystem) resolveVirtual(ctx context.Context, dir *node, place *namespace.Dir, cut string) (entry, error) {
	e := entry{at: slot{dir, kindVirtual, cut}, key: place.Prefix}
	l := lister{fs: fs, dir: dir, place: namespace.Dir{Prefix: place.Prefix, Cut: cut}}
	item, err := l.next(ctx)
	e.found = item != nil
	return e, err
}
