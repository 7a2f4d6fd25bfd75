package fusefs

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"syscall"
	"time"

	"kivaloo/kvstore/kv"
)

// commitTriesMax bounds how often a commit follows a pair that others move,
// replace or change under it.
const commitTriesMax = 1000

// save commits what a file's buffer holds and returns when it is durable. The
// error is also left with every writing handle but by, which reports it itself.
func (fs *fileSystem) save(ctx context.Context, f *file, by *handle) error {
	return fs.saveIf(ctx, f, by, false)
}

// saveFinished is save for who was not asked to: it leaves alone what a writer has
// only begun. That is looked at when the buffer is taken, since a writer may have
// begun a moment ago.
func (fs *fileSystem) saveFinished(ctx context.Context, f *file) error {
	return fs.saveIf(ctx, f, nil, true)
}

func (fs *fileSystem) saveIf(ctx context.Context, f *file, by *handle, finished bool) error {
	f.takeTurn()
	defer f.endTurn()
	layer, ok := f.beginFlush(finished)
	if !ok {
		return nil
	}
	err := fs.commitLayer(ctx, f, layer)
	fs.endFlush(f, layer, err, by)
	return err
}

// beginFlush takes the buffer for a commit, if there is anything to commit. What
// is written from now on goes to the next.
func (f *file) beginFlush(finished bool) (*buffer, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.buf.dirty() || !f.state.named() || (finished && f.unfinished()) {
		return nil, false
	}
	layer := f.buf
	f.flushing = &layer
	f.buf = newBuffer()
	f.layers++
	return f.flushing, true
}

// endFlush drops a buffer that has been committed, or failed to be.
func (fs *fileSystem) endFlush(f *file, layer *buffer, err error, by *handle) {
	f.mu.Lock()
	released := layer.reserved
	f.flushing = nil
	f.layers++
	if err != nil {
		released += f.fail(errnoOf(err), by)
	} else if !f.state.named() {
		// Deleted by somebody on the way: what was written goes to the unlinked
		// file, and close succeeds, as on any filesystem.
		f.buf = f.buf.onto(*layer)
		released = 0
	}
	gone := f.state == lost
	f.mu.Unlock()
	if gone {
		fs.detach(f.n)
	}
	fs.release(released)
	fs.unsaved.remove(f)
}

// fail drops the buffer after a failed commit: what cannot be saved must not
// look saved. Each writing handle gets the error once.
func (f *file) fail(errno syscall.Errno, by *handle) (released int64) {
	released = f.buf.reserved
	f.buf = newBuffer()
	if f.state == fresh {
		f.state = lost
	}
	for h := range f.writers {
		if h != by {
			h.err = errno
		}
	}
	return released
}

const (
	// largeBufferBytes is what is worth giving back to the system by itself: left to
	// the collector, a burst of large files is in memory twice, and stays there for
	// minutes after they are closed.
	largeBufferBytes = 1 << 20
	// returnBytes of large buffers, with as much that was copied for their commits,
	// are given back at a time: a collection costs some milliseconds.
	returnBytes = 32 << 20
)

// release gives back room that was set aside.
func (fs *fileSystem) release(bytes int64) {
	if bytes == 0 {
		return
	}
	fs.unsaved.count(-bytes)
	if bytes >= largeBufferBytes && fs.unsaved.toReturn(bytes) {
		debug.FreeOSMemory()
	}
	if err := fs.session.Reserve(context.Background(), -bytes); err != nil && !errors.Is(err, kv.ErrClosed) {
		fs.log.Error("give back reserved space", "error", err)
	}
}

// commitLayer commits a buffer, following the pair to wherever it goes.
func (fs *fileSystem) commitLayer(ctx context.Context, f *file, layer *buffer) error {
	for try := range commitTriesMax {
		txns, err := fs.layerTxns(ctx, f, layer)
		if err == nil {
			err = fs.commitAllOf(ctx, txns)
		}
		switch {
		case err == nil:
			return fs.committed(ctx, f)
		case !errors.Is(err, kv.ErrCondition) && !errors.Is(err, errMoved):
			return err
		}
		done, err := fs.afterConflict(ctx, f, layer, try)
		if done || err != nil {
			return err
		}
	}
	return fmt.Errorf("others change it all the time: %w", syscall.EIO)
}

// commitAllOf commits the parts of a buffer: all but the last of them only where
// it has more pieces than a transaction carries.
func (fs *fileSystem) commitAllOf(ctx context.Context, txns []*kv.Txn) error {
	for _, txn := range txns {
		if _, err := fs.session.Commit(ctx, txn); err != nil {
			return err
		}
	}
	return nil
}

// committed notes that a file is in the store.
func (fs *fileSystem) committed(ctx context.Context, f *file) error {
	f.mu.Lock()
	first := f.state == fresh
	if first {
		f.state = stored
	}
	f.mu.Unlock()
	if !first {
		return nil
	}
	fs.tree.mu.Lock()
	fs.tree.unfresh(f.n)
	fs.tree.mu.Unlock()
	if err := fs.pin(ctx, f); err != nil && !errors.Is(err, kv.ErrNotFound) {
		return err
	} else if err != nil {
		// Deleted before it could be pinned: nothing of it is left but the buffer.
		f.mu.Lock()
		f.state = unnamed
		f.mu.Unlock()
		fs.detach(f.n)
	}
	return nil
}

// afterConflict finds out why a commit's guards did not hold. done says that
// there is nothing left to commit.
func (fs *fileSystem) afterConflict(ctx context.Context, f *file, layer *buffer, try int) (done bool, err error) {
	f.mu.Lock()
	excl := f.state == fresh && f.excl
	f.mu.Unlock()
	if excl {
		return false, fs.exclConflict(ctx, f)
	}
	if err := fs.checkParent(ctx, f); err != nil {
		return false, err
	}
	if _, err := fs.get(ctx, f, kv.GetRequest{Want: kv.WantStamps}); err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == stored {
		layer.disown()
	}
	if !f.state.named() || !layer.wrote && layer.cut == noCut {
		return true, nil // deleted, or a creation that has become somebody else's
	}
	if try > 0 {
		time.Sleep(time.Millisecond)
	}
	return false, nil
}

// exclConflict says whether a file created with O_EXCL has come too late.
func (fs *fileSystem) exclConflict(ctx context.Context, f *file) error {
	if err := fs.checkParent(ctx, f); err != nil {
		return err
	}
	key, err := fs.tree.key(f.n)
	if err != nil {
		return err
	}
	_, err = fs.store.Get(ctx, kv.GetRequest{Key: key, Want: kv.WantStamps})
	if err == nil {
		return syscall.EEXIST
	}
	if errors.Is(err, kv.ErrNotFound) {
		return nil
	}
	return err
}
