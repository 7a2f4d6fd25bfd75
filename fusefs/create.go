package fusefs

import (
	"context"
	"errors"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"kivaloo/fusefs/attr"
	"kivaloo/kvstore/kv"
)

// create is open(O_CREAT). The new file is visible on the mount at once, and in
// the store with its first commit.
func (fs *fileSystem) create(ctx context.Context, dir *node, in *fuse.CreateIn, name string, out *fuse.CreateOut) error {
	for range commitTriesMax {
		if err := fs.createOnce(ctx, dir, in, name, out); err != errOvertaken {
			return err
		}
	}
	return syscall.ESTALE
}

func (fs *fileSystem) createOnce(ctx context.Context, dir *node, in *fuse.CreateIn, name string, out *fuse.CreateOut) error {
	e, err := fs.resolve(ctx, dir, name)
	if err != nil {
		return err
	}
	if e.found {
		return fs.createExisting(ctx, &e, in, out)
	}
	if err := e.creatable(kindFile); err != nil {
		return err
	}
	a, err := fs.newAttr(ctx, dir, &in.InHeader, in.Mode&^in.Umask|syscall.S_IFREG)
	if err != nil {
		return err
	}
	birth, err := fs.store.Stamp(ctx)
	if err != nil {
		return err
	}
	f := fs.tree.addFreshFile(&e, birth, a, in.Flags&syscall.O_EXCL != 0)
	if f == nil {
		return errOvertaken
	}
	fs.admit(f.enter(in.Flags), &out.OpenOut)
	fs.unsaved.add(f)
	v := f.look(0, 0)
	p := fs.openAttr(f.n, &v, kv.Pair{Birth: birth}, &a)
	p.ino = uint64(birth)
	fillEntry(f.n, &p, &out.EntryOut)
	return nil
}

// createExisting opens what somebody has created between the kernel's lookup and
// now.
func (fs *fileSystem) createExisting(ctx context.Context, e *entry, in *fuse.CreateIn, out *fuse.CreateOut) error {
	switch {
	case in.Flags&syscall.O_EXCL != 0:
		return syscall.EEXIST
	case !e.isFile():
		return syscall.EISDIR
	}
	if err := fs.answer(ctx, e, &out.EntryOut); err != nil {
		return err
	}
	n, err := fs.tree.node(out.NodeId)
	if err == nil {
		err = fs.open(ctx, n, &fuse.OpenIn{InHeader: in.InHeader, Flags: in.Flags, Mode: in.OpenFlags}, &out.OpenOut)
	}
	if err != nil {
		fs.forget(out.NodeId, 1)
	}
	return err
}

// addFreshFile makes the node and the file of a creation, looked up and opened
// once. It gives nil if something has got the name since it was resolved.
func (t *tree) addFreshFile(e *entry, birth kv.Stamp, a attr.Attr, excl bool) *file {
	n := t.enter(e.at, birth, e.renamings)
	if n == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f := newFile(n, fresh)
	f.attr, f.excl = a, excl
	f.buf.cut, f.buf.born = 0, true
	f.dirtied(birth)
	n.file = f
	t.open[n] = struct{}{}
	n.opens++
	t.addFresh(n)
	e.at.parent.dir.touched = birth
	return f
}

// newAttr are the attributes of something new in dir. The kernel leaves the
// setgid bit of directories to us.
func (fs *fileSystem) newAttr(ctx context.Context, dir *node, caller *fuse.InHeader, mode uint32) (attr.Attr, error) {
	p, err := fs.dirAttrOf(ctx, dir.real())
	if err != nil {
		return attr.Attr{}, err
	}
	if p.nlink == 0 {
		return attr.Attr{}, syscall.ENOENT
	}
	a := attr.Attr{HasMode: true, Mode: mode, HasOwner: true, UID: caller.Uid, GID: caller.Gid}
	if p.mode&syscall.S_ISGID != 0 {
		a.GID = p.gid
		if mode&syscall.S_IFMT == syscall.S_IFDIR {
			a.Mode |= syscall.S_ISGID
		}
	}
	return a, nil
}

// A creation is something that is committed as it is made: anything but a file
// that is opened.
type creation struct {
	kind  nodeKind
	attr  attr.Attr
	value []byte
}

// make commits a creation and answers its node.
func (fs *fileSystem) make(ctx context.Context, dir *node, name string, c *creation, out *fuse.EntryOut) error {
	for range commitTriesMax {
		e, err := fs.resolve(ctx, dir, name)
		if err != nil {
			return err
		}
		if err := e.creatable(c.kind); err != nil {
			return err
		}
		txn, err := fs.creationTxn(dir, &e, c)
		if err != nil {
			return err
		}
		res, err := fs.session.Commit(ctx, txn)
		if err == nil {
			err = fs.made(ctx, &e, c, res.Version-kv.Stamp(len(txn.Effects)-1), out)
			if err == errOvertaken {
				err = fs.lookup(ctx, dir, name, out)
			}
			return err
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

// creationTxn puts the pair, if neither a pair nor a directory has its name.
func (fs *fileSystem) creationTxn(dir *node, e *entry, c *creation) (*kv.Txn, error) {
	key, prefix := e.key, e.key
	if c.kind == kindDir {
		if e.at.kind == kindFile { // resolve stopped at the file that is not there
			key = append(append([]byte(nil), e.key...), '/')
			prefix = key
		}
	} else {
		prefix = append(append([]byte(nil), e.key...), '/')
	}
	if len(key) > kv.KeyBytesMax {
		return nil, syscall.ENAMETOOLONG
	}
	txn := &kv.Txn{
		Guards: []kv.Guard{{Op: kv.Absent, Key: key}},
		Effects: []kv.Effect{{
			Op: kv.Put, Key: key, Value: c.value, SetMeta: true, Meta: c.attr.Encode(),
		}},
	}
	if len(prefix) <= kv.KeyBytesMax {
		txn.Guards = append(txn.Guards, kv.Guard{Op: kv.Absent, Key: prefix}, kv.Guard{Op: kv.PrefixEmpty, Key: prefix})
	}
	if c.kind == kindDir && !e.folder {
		txn.Guards = append(txn.Guards, kv.Guard{Op: kv.Absent, Key: prefix[:len(prefix)-1]})
	}
	fs.touchNow(txn, dir)
	return txn, nil
}

// touchNow is touch of a transaction whose own stamps say when.
func (fs *fileSystem) touchNow(txn *kv.Txn, dir *node) {
	fs.touch(txn, dir)
	txn.Effects[len(txn.Effects)-1].Modified = 0
}

// made answers what has just been committed, without reading it again.
func (fs *fileSystem) made(ctx context.Context, e *entry, c *creation, birth kv.Stamp, out *fuse.EntryOut) error {
	e.at.kind = c.kind
	e.found, e.hasPair = true, true
	e.pair = kv.Pair{
		Birth: birth, Modified: birth, Version: birth, Names: 1,
		Size: int64(len(c.value)), Meta: c.attr.Encode(),
	}
	return fs.answer(ctx, e, out)
}

func (fs *fileSystem) mkdir(ctx context.Context, dir *node, in *fuse.MkdirIn, name string, out *fuse.EntryOut) error {
	a, err := fs.newAttr(ctx, dir, &in.InHeader, in.Mode&^in.Umask&permBits|syscall.S_IFDIR)
	if err != nil {
		return err
	}
	return fs.make(ctx, dir, name, &creation{kind: kindDir, attr: a}, out)
}

func (fs *fileSystem) mknod(ctx context.Context, dir *node, in *fuse.MknodIn, name string, out *fuse.EntryOut) error {
	mode := in.Mode &^ in.Umask
	if mode&syscall.S_IFMT == 0 {
		mode |= syscall.S_IFREG
	}
	a, err := fs.newAttr(ctx, dir, &in.InHeader, mode)
	if err != nil {
		return err
	}
	if kind := mode & syscall.S_IFMT; kind == syscall.S_IFCHR || kind == syscall.S_IFBLK {
		a.Rdev = in.Rdev
	}
	return fs.make(ctx, dir, name, &creation{attr: a}, out)
}

func (fs *fileSystem) symlink(ctx context.Context, dir *node, caller *fuse.InHeader, target, name string, out *fuse.EntryOut) error {
	a, err := fs.newAttr(ctx, dir, caller, syscall.S_IFLNK|0o777)
	if err != nil {
		return err
	}
	return fs.make(ctx, dir, name, &creation{attr: a, value: []byte(target)}, out)
}

func (fs *fileSystem) readlink(ctx context.Context, n *node) ([]byte, error) {
	if n.kind != kindFile {
		return nil, syscall.EINVAL
	}
	if f := fs.tree.openFile(n); f != nil {
		pair, err := fs.get(ctx, f, kv.GetRequest{Want: kv.WantAll})
		return pair.Value, err
	}
	pair, err := fs.closedPair(ctx, n, kv.WantAll)
	if err != nil && fs.tree.openFile(n) != nil {
		return fs.readlink(ctx, n) // replaced on the way, and kept
	}
	return pair.Value, err
}
