package fusefs

import (
	"context"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"kivaloo/kvstore/kv"
)

// A handle is an open of a file.
type handle struct {
	f *file
	// writes: opened for writing, or with O_TRUNC.
	writes bool
	// err is what a commit failed with that another handle asked for. It is
	// guarded by the file's mutex.
	err syscall.Errno
}

// handles are what is open, by the number that the kernel knows it by.
type handles struct {
	mu    sync.Mutex
	last  uint64
	files map[uint64]*handle
	dirs  map[uint64]*dirHandle
}

func newHandles() handles {
	return handles{files: map[uint64]*handle{}, dirs: map[uint64]*dirHandle{}}
}

func (hs *handles) addFile(h *handle) uint64 {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.last++
	hs.files[hs.last] = h
	return hs.last
}

func (hs *handles) file(fh uint64) (*handle, error) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if h := hs.files[fh]; h != nil {
		return h, nil
	}
	return nil, syscall.EBADF
}

func (hs *handles) removeFile(fh uint64) *handle {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	h := hs.files[fh]
	delete(hs.files, fh)
	return h
}

// opensForWriting says that an open may change the file.
func opensForWriting(flags uint32) bool {
	return flags&syscall.O_ACCMODE != syscall.O_RDONLY || flags&syscall.O_TRUNC != 0
}

// enter makes a handle of a file that is held already. The file knows its writers
// before they change anything, so that the end of another handle leaves alone
// what they have only begun.
func (f *file) enter(flags uint32) *handle {
	h := &handle{f: f, writes: opensForWriting(flags)}
	if h.writes {
		f.mu.Lock()
		f.writers[h] = struct{}{}
		f.mu.Unlock()
	}
	return h
}

// leave takes a handle off the file's writers.
func (f *file) leave(h *handle) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.writers, h)
}

// admit gives the kernel a number for a handle.
func (fs *fileSystem) admit(h *handle, out *fuse.OpenOut) {
	out.Fh = fs.handles.addFile(h)
	out.OpenFlags = fuse.FOPEN_DIRECT_IO
	if !h.writes {
		// Who only reads has nothing to flush: a round trip less for each close.
		out.OpenFlags |= fuse.FOPEN_NOFLUSH
	}
}

// open opens a node that the kernel knows.
func (fs *fileSystem) open(ctx context.Context, n *node, in *fuse.OpenIn, out *fuse.OpenOut) error {
	f := fs.tree.hold(n)
	h := f.enter(in.Flags)
	if err := fs.openHeld(ctx, f, in); err != nil {
		f.leave(h)
		fs.closeFile(ctx, f)
		return err
	}
	fs.admit(h, out)
	return nil
}

func (fs *fileSystem) openHeld(ctx context.Context, f *file, in *fuse.OpenIn) error {
	state, _, _, err := fs.whereIs(f)
	if err == nil && state == stored {
		err = fs.pinOpened(ctx, f)
	}
	if err == nil && in.Flags&syscall.O_TRUNC != 0 {
		err = fs.truncateOpen(ctx, f, 0, in.Mode&fuse.OPEN_KILL_SUIDGID != 0)
	}
	return err
}

// pinOpened pins the pair of a file that has just been opened. A node whose key
// is gone or has another pair must be looked up again, unless the pair is pinned:
// by another opener, or by the rename that has replaced it.
func (fs *fileSystem) pinOpened(ctx context.Context, f *file) error {
	if f.isPinned() {
		return nil
	}
	fs.tree.mu.Lock()
	gone := f.n.gone
	fs.tree.mu.Unlock()
	if gone {
		return syscall.ESTALE
	}
	err := fs.pin(ctx, f)
	if err != nil && errnoOf(err) == syscall.ENOENT {
		if fs.waitMoving(f.n) {
			return fs.pinOpened(ctx, f)
		}
		return syscall.ESTALE
	}
	return err
}

// close ends a handle. What was only created or truncated is committed now: no
// close will come for it.
func (fs *fileSystem) close(ctx context.Context, fh uint64) {
	h := fs.handles.removeFile(fh)
	if h == nil {
		return
	}
	h.f.leave(h)
	if h.writes && fs.opts.Durability != DurabilityInterval {
		if err := fs.saveFinished(ctx, h.f); err != nil {
			fs.log.Error("commit at the last close", "path", fs.tree.describe(h.f.n), "error", err)
		}
	}
	fs.closeFile(ctx, h.f)
}

// closeFile takes an opening back; with the last one the file is done with,
// unless the timer still has to commit it.
func (fs *fileSystem) closeFile(ctx context.Context, f *file) {
	f.mu.Lock()
	waits := f.buf.dirty() && f.state.named()
	f.mu.Unlock()
	if waits && fs.unsaved.keep(f) {
		return // the timer takes this opening over
	}
	fs.unsaved.remove(f)
	if !fs.tree.letGo(f.n) {
		return
	}
	fs.unpin(ctx, f)
	f.mu.Lock()
	released := f.buf.reserved
	f.buf = newBuffer()
	f.mu.Unlock()
	fs.release(released)
	fs.unsaved.remove(f)
}

// truncateOpen changes the size of a file that is open. It is committed with
// what is written next.
func (fs *fileSystem) truncateOpen(ctx context.Context, f *file, size int64, killPriv bool) error {
	if size > fileBytesMax {
		return syscall.EFBIG
	}
	for {
		v, pair, err := fs.lookOver(ctx, f, 0, 0)
		if err != nil {
			return err
		}
		stamp, err := fs.store.Stamp(ctx)
		if err != nil {
			return err
		}
		if f.truncate(&v, &pair, size, stamp, killPriv) {
			fs.unsaved.add(f)
			return nil
		}
	}
}

// truncate is done on what a view saw, unless that has changed.
func (f *file) truncate(v *view, pair *kv.Pair, size int64, stamp kv.Stamp, killPriv bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.layers != v.layers || f.state != v.state {
		return false
	}
	below := v.lower.size(pair.Size)
	if f.buf.voided(pair) {
		f.buf.uncut()
	}
	if f.buf.cut == noCut {
		f.buf.seen = max(pair.Modified, v.lower.mtime)
	}
	f.buf.truncate(size, below)
	f.buf.flushed = false
	f.dirtied(stamp)
	f.killPriv(killPriv)
	return true
}
