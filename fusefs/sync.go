package fusefs

import (
	"context"
	"errors"
	"syscall"
)

// flush is close(2) of a descriptor. It commits what was written, and no more: a
// shell's redirection closes once before it writes, and each process that has
// inherited a descriptor closes it when it ends.
func (fs *fileSystem) flush(ctx context.Context, h *handle) error {
	if !h.writes {
		return nil
	}
	if err := h.takeError(); err != nil {
		return err
	}
	if fs.opts.Durability != DurabilityClose || !h.f.flushNow() {
		return nil
	}
	return fs.saveFor(ctx, h)
}

// saveFor commits the file for one handle. The commit may have been another's
// that was under way: its error is ours too.
func (fs *fileSystem) saveFor(ctx context.Context, h *handle) error {
	if err := fs.save(ctx, h.f, h); err != nil {
		return err
	}
	return h.takeError()
}

// flushNow says whether a close has something to commit, and notes that there
// was one.
func (f *file) flushNow() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.buf.flushed = true
	return f.buf.wrote || f.flushing != nil
}

// fsync commits whatever there is.
func (fs *fileSystem) fsync(ctx context.Context, h *handle) error {
	if err := h.takeError(); err != nil {
		return err
	}
	if fs.opts.Durability == DurabilityInterval {
		return nil
	}
	return fs.saveFor(ctx, h)
}

// takeError gives the error of a commit that others asked for, once.
func (h *handle) takeError() error {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	errno := h.err
	h.err = 0
	if errno != 0 {
		return errno
	}
	return nil
}

// fsyncDir commits the names below a directory that are not in the store yet.
func (fs *fileSystem) fsyncDir(ctx context.Context, dir *node) error {
	if fs.opts.Durability == DurabilityInterval {
		return nil
	}
	return fs.saveEach(ctx, fs.unsaved.list(func(f *file) bool {
		f.mu.Lock()
		isFresh := f.state == fresh
		f.mu.Unlock()
		fs.tree.mu.Lock()
		defer fs.tree.mu.Unlock()
		return isFresh && f.n.isBelow(dir.real())
	}), false)
}

// commitAll commits everything that is unsaved.
func (fs *fileSystem) commitAll(ctx context.Context) error {
	return fs.saveEach(ctx, fs.unsaved.list(func(*file) bool { return true }), false)
}

// saveEach commits many files, side by side so that they share flushes; finished
// leaves alone what writers have only begun. A file that somebody else has created
// first is no failure of who asked.
func (fs *fileSystem) saveEach(ctx context.Context, files []*file, finished bool) error {
	errs := make(chan error, len(files))
	slots := make(chan struct{}, saversMax)
	for _, f := range files {
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			fs.paths.RLock()
			defer fs.paths.RUnlock()
			errs <- fs.saveIf(ctx, f, nil, finished)
			fs.unsaved.giveBack(ctx, fs, f)
		}()
	}
	var all error
	for range files {
		if err := <-errs; err != nil && !errors.Is(err, syscall.EEXIST) {
			all = errors.Join(all, err)
		}
	}
	return all
}

// saversMax bounds how many files are committed side by side.
const saversMax = 64
