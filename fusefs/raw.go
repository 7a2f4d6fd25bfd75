package fusefs

import (
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// fileSystem implements fuse.RawFileSystem. Here are all its methods, in the
// order of the interface: each finds its node, holds the paths, calls what does
// the work and translates the outcome. Requests are never given up: an
// interrupted close or fsync must still say whether the data are saved.
//
// Left out, and what the kernel makes of it:
//
//   - Link answers EPERM: links are not made yet.
//   - Tmpfile: EOPNOTSUPP, programs fall back to a name of their own.
//   - Lseek, CopyFileRange: ENOSYS, the kernel does both itself.
//   - Fallocate: EOPNOTSUPP, posix_fallocate falls back to writing.
//   - GetLk, SetLk, SetLkw: not asked for; the kernel's locks are right here.
//   - ReadDirPlus: switched off; with timeouts of 0 it would save nothing.
//   - Writev: ENOSYS, Write is called.
var _ fuse.RawFileSystem = (*fileSystem)(nil)

func (fs *fileSystem) String() string { return "kivaloo" }
func (fs *fileSystem) SetDebug(bool)  {}

func (fs *fileSystem) Init(s *fuse.Server) { fs.server.Store(s) }
func (fs *fileSystem) OnUnmount()          {}

// onNode runs a request about a node.
func (fs *fileSystem) onNode(op string, id uint64, do func(context.Context, *node) error) fuse.Status {
	fs.paths.RLock()
	defer fs.paths.RUnlock()
	n, err := fs.tree.node(id)
	if err == nil {
		err = do(context.Background(), n)
	}
	return fs.status(op, n, err)
}

// onDir runs a request about names in a directory.
func (fs *fileSystem) onDir(op string, id uint64, changes bool, do func(context.Context, *node) error) fuse.Status {
	return fs.onNode(op, id, func(ctx context.Context, n *node) error {
		switch {
		case n.kind == kindFile:
			return syscall.ENOTDIR
		case changes && fs.opts.ReadOnly:
			return syscall.EROFS
		}
		return do(ctx, n)
	})
}

// onFile runs a request about an open file.
func (fs *fileSystem) onFile(op string, fh uint64, do func(context.Context, *handle) error) fuse.Status {
	fs.paths.RLock()
	defer fs.paths.RUnlock()
	h, err := fs.handles.file(fh)
	if err != nil {
		return fs.status(op, nil, err)
	}
	return fs.status(op, h.f.n, do(context.Background(), h))
}

func (fs *fileSystem) Lookup(_ <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return fs.onDir("lookup", in.NodeId, false, func(ctx context.Context, dir *node) error {
		return fs.lookup(ctx, dir, name, out)
	})
}

func (fs *fileSystem) Forget(id, lookups uint64) { fs.forget(id, lookups) }

func (fs *fileSystem) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return fs.onNode("getattr", in.NodeId, func(ctx context.Context, n *node) error {
		p, err := fs.attrOf(ctx, n)
		if err == nil {
			p.fill(&out.Attr)
		}
		return err
	})
}

func (fs *fileSystem) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	return fs.onNode("setattr", in.NodeId, func(ctx context.Context, n *node) error {
		if err := fs.setAttr(ctx, n, in); err != nil {
			return err
		}
		p, err := fs.attrOf(ctx, n)
		if err == nil {
			p.fill(&out.Attr)
		}
		return err
	})
}

func (fs *fileSystem) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	return fs.onDir("mknod", in.NodeId, true, func(ctx context.Context, dir *node) error {
		return fs.mknod(ctx, dir, in, name, out)
	})
}

func (fs *fileSystem) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return fs.onDir("mkdir", in.NodeId, true, func(ctx context.Context, dir *node) error {
		return fs.mkdir(ctx, dir, in, name, out)
	})
}

func (fs *fileSystem) Unlink(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return fs.onDir("unlink", in.NodeId, true, func(ctx context.Context, dir *node) error {
		return fs.unlink(ctx, dir, name)
	})
}

func (fs *fileSystem) Rmdir(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return fs.onDir("rmdir", in.NodeId, true, func(ctx context.Context, dir *node) error {
		return fs.rmdir(ctx, dir, name)
	})
}

// Rename takes the paths itself: alone, if it is a directory's.
func (fs *fileSystem) Rename(_ <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	fromDir, err := fs.tree.directory(in.NodeId)
	if err != nil {
		return fs.status("rename", nil, err)
	}
	toDir, err := fs.tree.directory(in.Newdir)
	if err == nil {
		err = fs.rename(context.Background(), fromDir, toDir, from, to, in.Flags)
	}
	return fs.status("rename", fromDir, err)
}

func (fs *fileSystem) Link(<-chan struct{}, *fuse.LinkIn, string, *fuse.EntryOut) fuse.Status {
	return fuse.EPERM
}

func (fs *fileSystem) Symlink(_ <-chan struct{}, in *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	return fs.onDir("symlink", in.NodeId, true, func(ctx context.Context, dir *node) error {
		return fs.symlink(ctx, dir, in, target, name, out)
	})
}

func (fs *fileSystem) Readlink(_ <-chan struct{}, in *fuse.InHeader) (target []byte, _ fuse.Status) {
	status := fs.onNode("readlink", in.NodeId, func(ctx context.Context, n *node) (err error) {
		target, err = fs.readlink(ctx, n)
		return err
	})
	return target, status
}

// Access is never asked for: default_permissions lets the kernel decide.
func (fs *fileSystem) Access(<-chan struct{}, *fuse.AccessIn) fuse.Status { return fuse.OK }

func (fs *fileSystem) GetXAttr(_ <-chan struct{}, in *fuse.InHeader, name string, dst []byte) (size uint32, _ fuse.Status) {
	status := fs.onNode("getxattr", in.NodeId, func(ctx context.Context, n *node) error {
		value, err := fs.getXattr(ctx, n, name)
		if err == nil {
			size, err = answerBytes(dst, value)
		}
		return err
	})
	return size, status
}

func (fs *fileSystem) ListXAttr(_ <-chan struct{}, in *fuse.InHeader, dst []byte) (size uint32, _ fuse.Status) {
	status := fs.onNode("listxattr", in.NodeId, func(ctx context.Context, n *node) error {
		list, err := fs.listXattr(ctx, n)
		if err == nil {
			size, err = answerBytes(dst, list)
		}
		return err
	})
	return size, status
}

func (fs *fileSystem) SetXAttr(_ <-chan struct{}, in *fuse.SetXAttrIn, name string, value []byte) fuse.Status {
	return fs.onNode("setxattr", in.NodeId, func(ctx context.Context, n *node) error {
		return fs.setXattr(ctx, n, name, value, in.Flags)
	})
}

func (fs *fileSystem) RemoveXAttr(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return fs.onNode("removexattr", in.NodeId, func(ctx context.Context, n *node) error {
		return fs.removeXattr(ctx, n, name)
	})
}

func (fs *fileSystem) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return fs.onDir("create", in.NodeId, true, func(ctx context.Context, dir *node) error {
		return fs.create(ctx, dir, in, name, out)
	})
}

func (fs *fileSystem) Tmpfile(<-chan struct{}, *fuse.CreateIn, *fuse.CreateOut) fuse.Status {
	return fuse.ENOTSUP
}

func (fs *fileSystem) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return fs.onNode("open", in.NodeId, func(ctx context.Context, n *node) error {
		switch {
		case n.kind != kindFile:
			return syscall.EISDIR
		case fs.opts.ReadOnly && opensForWriting(in.Flags):
			return syscall.EROFS
		}
		return fs.open(ctx, n, in, out)
	})
}

func (fs *fileSystem) Read(_ <-chan struct{}, in *fuse.ReadIn, dst []byte) (result fuse.ReadResult, _ fuse.Status) {
	status := fs.onFile("read", in.Fh, func(ctx context.Context, h *handle) error {
		n, err := fs.read(ctx, h.f, int64(in.Offset), dst)
		if err == nil {
			// go-fuse sends a result as a success, whatever the status says.
			result = fuse.ReadResultData(dst[:n])
		}
		return err
	})
	return result, status
}

func (fs *fileSystem) Lseek(<-chan struct{}, *fuse.LseekIn, *fuse.LseekOut) fuse.Status {
	return fuse.ENOSYS
}

func (fs *fileSystem) GetLk(<-chan struct{}, *fuse.LkIn, *fuse.LkOut) fuse.Status { return fuse.ENOSYS }
func (fs *fileSystem) SetLk(<-chan struct{}, *fuse.LkIn) fuse.Status              { return fuse.ENOSYS }
func (fs *fileSystem) SetLkw(<-chan struct{}, *fuse.LkIn) fuse.Status             { return fuse.ENOSYS }

func (fs *fileSystem) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	fs.paths.RLock()
	defer fs.paths.RUnlock()
	fs.close(context.Background(), in.Fh)
}

func (fs *fileSystem) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (written uint32, _ fuse.Status) {
	status := fs.onFile("write", in.Fh, func(ctx context.Context, h *handle) error {
		n, err := fs.write(ctx, h, in, data)
		written = uint32(n)
		return err
	})
	return written, status
}

func (fs *fileSystem) Writev(<-chan struct{}, *fuse.WriteIn, [][]byte) (uint32, fuse.Status) {
	return 0, fuse.ENOSYS
}

func (fs *fileSystem) CopyFileRange(<-chan struct{}, *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	return 0, fuse.ENOSYS
}

func (fs *fileSystem) Ioctl(<-chan struct{}, *fuse.IoctlIn, []byte, *fuse.IoctlOut, []byte) fuse.Status {
	return fuse.Status(syscall.ENOTTY)
}

func (fs *fileSystem) Flush(_ <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	return fs.onFile("flush", in.Fh, fs.flush)
}

func (fs *fileSystem) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return fs.onFile("fsync", in.Fh, fs.fsync)
}

func (fs *fileSystem) Fallocate(<-chan struct{}, *fuse.FallocateIn) fuse.Status { return fuse.ENOTSUP }

func (fs *fileSystem) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return fs.onDir("opendir", in.NodeId, false, func(_ context.Context, dir *node) error {
		out.Fh = fs.openDir(dir)
		return nil
	})
}

func (fs *fileSystem) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return fs.onDir("readdir", in.NodeId, false, func(ctx context.Context, _ *node) error {
		h, err := fs.handles.dir(in.Fh)
		if err != nil {
			return err
		}
		return fs.readDir(ctx, h, in.Offset, out)
	})
}

func (fs *fileSystem) ReadDirPlus(<-chan struct{}, *fuse.ReadIn, *fuse.DirEntryList) fuse.Status {
	return fuse.ENOSYS
}

func (fs *fileSystem) ReleaseDir(in *fuse.ReleaseIn) { fs.closeDir(in.Fh) }

// FsyncDir does not hold the paths: those who commit for it do.
func (fs *fileSystem) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	dir, err := fs.tree.directory(in.NodeId)
	if err == nil {
		err = fs.fsyncDir(context.Background(), dir)
	}
	return fs.status("fsyncdir", dir, err)
}

func (fs *fileSystem) StatFs(_ <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	return fs.status("statfs", nil, fs.statFs(context.Background(), out))
}

func (fs *fileSystem) Statx(_ <-chan struct{}, in *fuse.StatxIn, out *fuse.StatxOut) fuse.Status {
	return fs.onNode("statx", in.NodeId, func(ctx context.Context, n *node) error {
		p, err := fs.attrOf(ctx, n)
		if err == nil {
			p.fillStatx(&out.Statx)
		}
		return err
	})
}
