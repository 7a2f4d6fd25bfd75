package fusefs

import (
	"context"
	"errors"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"kivaloo/fusefs/attr"
	"kivaloo/kvstore/kv"
)

// setAttr changes size, mode, owner or times. It returns when the change is
// committed, but for a file that is not itself, and for the size of a file that
// the caller has open: these wait for the next commit of the file.
func (fs *fileSystem) setAttr(ctx context.Context, n *node, in *fuse.SetAttrIn) error {
	if size, ok := in.GetSize(); ok {
		if err := fs.setSize(ctx, n, in, int64(size)); err != nil {
			return err
		}
	}
	if n.kind == kindVirtual || n.isValue() {
		if in.Valid&(fuse.FATTR_MODE|fuse.FATTR_UID|fuse.FATTR_GID) != 0 {
			return syscall.EPERM
		}
		return nil
	}
	if in.Valid&changesMeta == 0 {
		return nil
	}
	return fs.changeMeta(ctx, n, func(m *metaState) error {
		m.set(in)
		return nil
	})
}

const changesMeta = fuse.FATTR_MODE | fuse.FATTR_UID | fuse.FATTR_GID | fuse.FATTR_ATIME | fuse.FATTR_MTIME

// setSize truncates a file. Without a descriptor there will be no close to
// commit it.
func (fs *fileSystem) setSize(ctx context.Context, n *node, in *fuse.SetAttrIn, size int64) error {
	if n.kind != kindFile {
		return syscall.EISDIR
	}
	if in.Size > fileBytesMax {
		return syscall.EFBIG
	}
	f := fs.tree.hold(n)
	defer fs.closeFile(ctx, f)
	state, _, _, err := fs.whereIs(f)
	if err == nil && state == stored {
		err = fs.pinOpened(ctx, f)
	}
	if err != nil {
		return err
	}
	if err := fs.truncateOpen(ctx, f, size, in.Valid&fuse.FATTR_KILL_SUIDGID != 0); err != nil {
		return err
	}
	if _, open := in.GetFh(); open {
		return nil
	}
	return fs.save(ctx, f, nil)
}

// A metaState is the attributes of something, to be changed.
type metaState struct {
	attr     attr.Attr
	isDir    bool
	modified kv.Stamp // of the pair: what hand-set times are set against
	shown    pairAttr
}

// set applies a SETATTR.
func (m *metaState) set(in *fuse.SetAttrIn) {
	m.setOwner(in)
	if mode, ok := in.GetMode(); ok {
		m.attr.HasMode, m.attr.Mode = true, m.shown.mode&syscall.S_IFMT|mode
	}
	m.attr.Times = m.attr.Times.At(uint64(m.modified))
	t := &m.attr.Times
	if at, ok := in.GetATime(); ok {
		t.HasAtime, t.Atime = true, attr.Time{Sec: at.Unix(), Nsec: uint32(at.Nanosecond())}
	}
	if at, ok := in.GetMTime(); ok {
		t.HasMtime, t.Mtime = true, attr.Time{Sec: at.Unix(), Nsec: uint32(at.Nanosecond())}
	}
}

// setOwner also ends suid and sgid, as chown does for root too.
func (m *metaState) setOwner(in *fuse.SetAttrIn) {
	uid, hasUID := in.GetUID()
	gid, hasGID := in.GetGID()
	if !hasUID && !hasGID {
		return
	}
	m.own()
	if hasUID {
		m.attr.UID = uid
	}
	if hasGID {
		m.attr.GID = gid
	}
	if !m.isDir && withoutPriv(m.shown.mode) != m.shown.mode {
		m.attr.HasMode, m.attr.Mode = true, withoutPriv(m.shown.mode)
		m.shown.mode = m.attr.Mode
	}
}

// own writes down the owner that was a default until now.
func (m *metaState) own() {
	m.attr.HasOwner, m.attr.UID, m.attr.GID = true, m.shown.uid, m.shown.gid
}

// changeMeta changes the metadata of a node: at once where there is no pair yet,
// else by a commit that only holds on what was read.
func (fs *fileSystem) changeMeta(ctx context.Context, n *node, change func(*metaState) error) error {
	for range commitTriesMax {
		err := fs.tryChangeMeta(ctx, n, change)
		if !errors.Is(err, kv.ErrCondition) && !errors.Is(err, errMoved) {
			return err
		}
	}
	return syscall.EIO
}

func (fs *fileSystem) tryChangeMeta(ctx context.Context, n *node, change func(*metaState) error) error {
	if n.kind == kindDir {
		return fs.changeDirMeta(ctx, n, change)
	}
	f := fs.tree.openFile(n)
	if f == nil {
		pair, err := fs.closedPair(ctx, n, kv.WantStamps)
		if err != nil {
			return err
		}
		key, err := fs.tree.key(n)
		if err != nil {
			return err
		}
		return fs.commitMeta(ctx, kv.User, key, &pair, false, change)
	}
	return fs.changeOpenMeta(ctx, f, change)
}

// changeOpenMeta commits what is written first: times hold for the contents that
// are there when they are set.
func (fs *fileSystem) changeOpenMeta(ctx context.Context, f *file, change func(*metaState) error) error {
	if done, err := fs.changeUnstoredMeta(f, change); done {
		return err
	}
	if err := fs.save(ctx, f, nil); err != nil {
		return err
	}
	pair, err := fs.get(ctx, f, kv.GetRequest{Want: kv.WantStamps})
	if err != nil {
		return err
	}
	state, birth, key, err := fs.whereIs(f)
	switch {
	case err != nil:
		return err
	case state == orphan:
		return fs.commitMeta(ctx, kv.Orphan, kv.OrphanKey(birth), &pair, false, change)
	case state != stored || birth != pair.Birth:
		return errMoved
	}
	return fs.commitMeta(ctx, kv.User, key, &pair, false, change)
}

// changeUnstoredMeta changes the attributes of a file without a pair.
func (fs *fileSystem) changeUnstoredMeta(f *file, change func(*metaState) error) (done bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state.hasPair() {
		return false, nil
	}
	if f.flushing != nil && f.state == fresh {
		return false, nil // it is about to have one
	}
	m := metaState{attr: f.attr, modified: f.buf.mtime}
	m.shown = fs.opts.fileAttr(&kv.Pair{}, &m.attr)
	if err := change(&m); err != nil {
		return true, err
	}
	f.attr = m.attr
	return true, nil
}

func (fs *fileSystem) changeDirMeta(ctx context.Context, n *node, change func(*metaState) error) error {
	key, err := fs.tree.key(n)
	if err != nil {
		return err
	}
	pair, err := fs.markerOf(ctx, n, key)
	if err != nil {
		return err
	}
	space := kv.User
	if n.isRoot() {
		space = kv.Root
	}
	return fs.commitMeta(ctx, space, key, &pair, true, change)
}

// commitMeta writes changed metadata of a pair that was just read. A directory
// that has no marker gets one.
func (fs *fileSystem) commitMeta(ctx context.Context, space kv.Space, key []byte, pair *kv.Pair, isDir bool, change func(*metaState) error) error {
	a, err := decodeMeta(pair)
	if err != nil {
		return err
	}
	m := metaState{attr: a, isDir: isDir, modified: pair.Modified}
	guard := kv.Guard{Op: kv.VersionEquals, Space: space, Key: key, Stamp: pair.Version}
	e := kv.Effect{Op: kv.SetMeta, Space: space, Key: key}
	if isDir {
		m.shown = fs.opts.dirAttr(pair, &a)
	} else {
		m.shown = fs.opts.fileAttr(pair, &a)
	}
	if pair.Birth == 0 {
		if m.modified, err = fs.store.Stamp(ctx); err != nil {
			return err
		}
		guard.Op = kv.Absent
		e.Op, e.SetMeta, e.Modified = kv.Put, true, m.modified
	}
	if err := change(&m); err != nil {
		return err
	}
	e.Meta = m.attr.Encode()
	_, err = fs.session.Commit(ctx, &kv.Txn{Guards: []kv.Guard{guard}, Effects: []kv.Effect{e}})
	return err
}
