package fusefs

import (
	"context"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"kivaloo/kvstore/kv"
)

// read answers bytes of a file as its openers see it, unsaved writes included.
func (fs *fileSystem) read(ctx context.Context, f *file, off int64, dst []byte) (int, error) {
	v, pair, err := fs.lookOver(ctx, f, off, int64(len(dst)))
	if err != nil {
		return 0, err
	}
	n := max(0, min(v.size(&pair)-off, int64(len(dst))))
	v.read(off, dst[:n], pair.Value, &pair)
	return int(n), nil
}

// fileBytesMax is the longest that a file may become here: what was written and
// not committed is in memory. Longer values, which others have put, can be read.
const fileBytesMax = 64 << 20

// write puts data into the file's buffer. What is known to fail at the commit
// fails here: many programs never look at what close says.
func (fs *fileSystem) write(ctx context.Context, h *handle, in *fuse.WriteIn, data []byte) (int, error) {
	f := h.f
	appends := in.Flags&syscall.O_APPEND != 0 && in.WriteFlags&fuse.WRITE_CACHE == 0
	off := int64(in.Offset)
	if !appends && off >= fileBytesMax {
		return 0, syscall.EFBIG
	}
	if err := fs.reserve(ctx, int64(len(data))); err != nil {
		return 0, err
	}
	n, added, err := fs.writeReserved(ctx, f, in, appends, data)
	fs.release(int64(len(data)) - added)
	if err != nil {
		return 0, err
	}
	fs.unsaved.add(f)
	// mmap's writes have no caller that waits for more than the page.
	if in.Flags&syscall.O_DSYNC != 0 && in.WriteFlags&fuse.WRITE_CACHE == 0 {
		return n, fs.save(ctx, f, h)
	}
	return n, nil
}

// reserve sets room aside, in memory and in the store.
func (fs *fileSystem) reserve(ctx context.Context, bytes int64) error {
	for !fs.unsaved.take(bytes, fs.opts.UnsavedBytes) {
		if !fs.makeRoom(ctx) {
			// Not ENOSPC: the disk may be empty, and who gets that deletes files.
			return syscall.ENOBUFS
		}
	}
	if err := fs.session.Reserve(ctx, bytes); err != nil {
		fs.unsaved.count(-bytes)
		return err
	}
	return nil
}

// makeRoom commits what may be committed unasked, waits for commits that are under
// way, and says whether there was any. What may not be committed is what would be
// seen half done: files that are being created or written anew; or has no name.
func (fs *fileSystem) makeRoom(ctx context.Context) bool {
	now := time.Now()
	files := fs.unsaved.list(func(f *file) bool { return f.overdue(now) || f.isFlushing() })
	for _, f := range files {
		if err := fs.saveFinished(ctx, f); err != nil {
			fs.log.Error("commit to make room", "path", fs.tree.describe(f.n), "error", err)
		}
	}
	return len(files) > 0
}

func (f *file) isFlushing() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.flushing != nil
}

// writeReserved writes, at the end of the file as it is now if it appends: the
// kernel's idea of the end can be older than a native change. It says how many
// bytes the buffer has grown by.
func (fs *fileSystem) writeReserved(ctx context.Context, f *file, in *fuse.WriteIn, appends bool, data []byte) (n int, added int64, err error) {
	kill := in.WriteFlags&fuse.WRITE_KILL_SUIDGID != 0
	for {
		w := write{off: int64(in.Offset), data: data, killPriv: kill}
		if appends {
			v, pair, err := fs.lookOver(ctx, f, 0, 0)
			if err != nil {
				return 0, 0, err
			}
			w.off, w.view = v.size(&pair), &v
		}
		if w.off >= fileBytesMax {
			return 0, 0, syscall.EFBIG
		}
		w.data = data[:min(int64(len(data)), fileBytesMax-w.off)]
		if w.stamp, err = fs.store.Stamp(ctx); err != nil {
			return 0, 0, err
		}
		added, err := f.write(&w)
		if err != errMoved {
			return len(w.data), added, err
		}
	}
}

// A write is bytes on their way into a buffer.
type write struct {
	off      int64
	data     []byte
	stamp    kv.Stamp
	killPriv bool
	view     *view // on which the offset rests; nil if on none
}

// write is errMoved if what the offset rests on has changed.
func (f *file) write(w *write) (added int64, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == lost {
		return 0, syscall.EIO
	}
	if w.view != nil && f.layers != w.view.layers {
		return 0, errMoved
	}
	before := f.buf.bytes
	f.buf.write(w.off, w.data)
	f.dirtied(w.stamp)
	f.killPriv(w.killPriv)
	added = f.buf.bytes - before
	f.buf.reserved += added
	return added, nil
}

// dirtied notes a change of the contents. The caller holds the mutex.
func (f *file) dirtied(stamp kv.Stamp) {
	if !f.buf.dirty() {
		f.since = time.Now()
	}
	f.buf.mtime = max(f.buf.mtime, stamp)
}

// killPriv ends suid and sgid: now, in a file whose attributes are here, else
// with the commit.
func (f *file) killPriv(yes bool) {
	switch {
	case !yes:
	case f.state.hasPair():
		f.buf.killPriv = true
	default:
		f.attr.Mode = withoutPriv(f.attr.Mode)
	}
}
