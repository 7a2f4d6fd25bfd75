package fusefs

import (
	"context"
	"sync"
	"time"
)

// unsaved knows the files with something to commit, for those who ask for all
// of them: fsync of a directory, the timer, unmount.
type unsaved struct {
	mu    sync.Mutex
	bytes int64
	// dropped are bytes of large buffers that the collector has not been asked for.
	dropped int64
	// files are those that are dirty. One that is true has been closed: its
	// opening is held here.
	files map[*file]bool
}

func (u *unsaved) add(f *file) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, ok := u.files[f]; !ok {
		u.files[f] = false
	}
}

// remove takes a file off the list if it is clean, and not held by it. Here
// alone a file's mutex is taken under this one.
func (u *unsaved) remove(f *file) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f.mu.Lock()
	dirty := f.buf.dirty() && f.state.named()
	f.mu.Unlock()
	if !dirty && !u.files[f] {
		delete(u.files, f)
	}
}

// keep takes the last opening of a file over until it has been committed.
func (u *unsaved) keep(f *file) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	held, listed := u.files[f]
	if held || !listed {
		return false
	}
	u.files[f] = true
	return true
}

// giveBack ends an opening that was kept, once the file is committed.
func (u *unsaved) giveBack(ctx context.Context, fs *fileSystem, f *file) {
	u.mu.Lock()
	held := u.files[f]
	if held {
		u.files[f] = false
	}
	u.mu.Unlock()
	if held {
		fs.closeFile(ctx, f)
	}
}

// list picks files.
func (u *unsaved) list(wanted func(*file) bool) []*file {
	u.mu.Lock()
	all := make([]*file, 0, len(u.files))
	for f := range u.files {
		all = append(all, f)
	}
	u.mu.Unlock()
	picked := all[:0]
	for _, f := range all {
		if wanted(f) {
			picked = append(picked, f)
		}
	}
	return picked
}

// take adds to the sum of what is buffered, if that stays within the bound.
func (u *unsaved) take(bytes, most int64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.bytes+bytes > most {
		return false
	}
	u.bytes += bytes
	return true
}

// count keeps the sum of what is buffered.
func (u *unsaved) count(bytes int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.bytes += bytes
}

// toReturn notes that a large buffer was dropped, and says whether to return memory.
func (u *unsaved) toReturn(bytes int64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.dropped += bytes
	if u.dropped < returnBytes {
		return false
	}
	u.dropped = 0
	return true
}

// runTimer commits what nobody asks for: sync(1) tells a FUSE filesystem
// nothing, and an mmap that outlives its descriptor has no close.
func (fs *fileSystem) runTimer() {
	defer close(fs.timerDone)
	ticker := time.NewTicker(fs.opts.CommitInterval / 2)
	defer ticker.Stop()
	for {
		select {
		case <-fs.stop:
			return
		case <-ticker.C:
		}
		before := time.Now().Add(-fs.opts.CommitInterval / 2)
		files := fs.unsaved.list(func(f *file) bool { return f.overdue(before) })
		if err := fs.saveEach(context.Background(), files, true); err != nil {
			fs.log.Error("commit by the timer", "error", err)
		}
	}
}

// overdue says whether the timer has to commit a file.
func (f *file) overdue(before time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.buf.dirty() && f.state.named() && !f.since.After(before) && !f.unfinished()
}

// unfinished says that an open writer has created or truncated the file and not
// closed it since: nobody may see it half done. The file's mutex is held.
func (f *file) unfinished() bool {
	return (f.buf.born || f.buf.cut != noCut) && !f.buf.flushed && len(f.writers) > 0
}
