package crashdisk

import (
	"errors"
	"io"
	"syscall"
)

// A file is an open file; it keeps its inode whatever happens to the name.
type file struct {
	disk  *Disk
	inode *inode
	name  string
}

func (f *file) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.call("read", false, func() error {
		cache := f.inode.cache
		n = copy(p, cache[min(max(off, 0), int64(len(cache))):])
		return nil
	})
	return n, atEnd(err, n, len(p))
}

func (f *file) ReadDirect(p []byte, off int64) (n int, direct bool, err error) {
	err = f.call("read", false, func() error {
		n = f.inode.readDirect(p, off)
		return nil
	})
	return n, true, atEnd(err, n, len(p))
}

func atEnd(err error, have, want int) error {
	if err == nil && have < want {
		return io.EOF
	}
	return err
}

// WriteAt is never short but on a full disk: there it writes what fits.
func (f *file) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.call("write", false, func() error {
		if off < 0 {
			return syscall.EINVAL
		}
		n = f.roomLocked(off, len(p))
		if n > 0 {
			f.inode.write(p[:n], off)
		}
		if n < len(p) {
			return syscall.ENOSPC
		}
		return nil
	})
	if errors.Is(err, ErrPowerCut) || errors.Is(err, ErrKilled) {
		n = 0
	}
	return n, err
}

// roomLocked says how many bytes of a write fit on the disk.
func (f *file) roomLocked(off int64, n int) int {
	size := int64(len(f.inode.cache))
	grows := off + int64(n) - size
	if grows <= 0 {
		return n
	}
	short := grows - (f.disk.mu.bytes - f.disk.mu.used())
	return int(max(0, int64(n)-max(0, short)))
}

func (f *file) Allocate(bytes int64) error {
	return f.call("fallocate", false, func() error {
		size := int64(len(f.inode.cache))
		if bytes <= size {
			return nil
		}
		if bytes-size > f.disk.mu.bytes-f.disk.mu.used() {
			return syscall.ENOSPC
		}
		f.inode.resize(bytes)
		return nil
	})
}

func (f *file) Datasync() error {
	return f.call("fdatasync", true, func() error {
		f.inode.datasync()
		return nil
	})
}

func (f *file) Sync() error {
	return f.call("fsync", true, func() error {
		f.inode.sync()
		return nil
	})
}

// FailSync does to the file what a failed sync does: some of what was dirty is on
// the disk, and the cache shows all of it as clean. The faulty disk calls it.
func (f *file) FailSync() {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	f.inode.fail(f.disk.mu.fates)
}

// DropCache shows from now on what the disk holds, but for what is dirty.
func (f *file) DropCache() error {
	return f.call("fadvise", false, func() error {
		f.inode.readDirect(f.inode.cache, 0)
		return nil
	})
}

func (f *file) Truncate(bytes int64) error {
	return f.call("truncate", false, func() error {
		if bytes < 0 {
			return syscall.EINVAL
		}
		f.inode.resize(bytes)
		return nil
	})
}

func (f *file) Size() (size int64, err error) {
	err = f.call("stat", false, func() error {
		size = int64(len(f.inode.cache))
		return nil
	})
	return size, err
}

func (f *file) Close() error { return nil }

func (f *file) call(op string, sync bool, do func() error) error {
	return f.disk.named(op, f.name, sync, do)
}
