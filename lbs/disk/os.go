package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sort"
	"syscall"

	"golang.org/x/sys/unix"
)

// A store's files are for its owner alone: values are somebody's data.
const (
	fileMode = 0o600
	dirMode  = 0o700
)

// OS is the operating system's file system. Its zero value is ready.
type OS struct{}

var _ FS = OS{}

func (OS) Open(name string) (File, error) { return openFile(name, os.O_RDWR) }

func (OS) Create(name string) (File, error) {
	return openFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (OS) Rename(from, to string) error { return os.Rename(from, to) }
func (OS) Remove(name string) error     { return os.Remove(name) }
func (OS) Mkdir(name string) error      { return os.Mkdir(name, dirMode) }

func (OS) List(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	sort.Strings(names)
	return names, nil
}

func (OS) Stat(name string) (Info, error) {
	fi, err := os.Lstat(name)
	if err != nil {
		return Info{}, err
	}
	info := Info{Bytes: fi.Size(), Links: 1, Mode: fi.Mode()}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		info.Links = uint64(st.Nlink)
	}
	return info, nil
}

func (OS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Lock holds a flock on the directory itself: it ends with the process, however
// that ends, and needs no file of its own that could be left behind.
func (OS) Lock(dir string) (io.Closer, error) {
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	err = ignoreEINTR(func() error { return unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if err == nil {
		return d, nil
	}
	d.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrLocked
	}
	return nil, &fs.PathError{Op: "flock", Path: dir, Err: err}
}

func (OS) Usage(dir string) (Usage, error) {
	var st unix.Statfs_t
	if err := ignoreEINTR(func() error { return unix.Statfs(dir, &st) }); err != nil {
		return Usage{}, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	unit := int64(st.Bsize)
	return Usage{Free: int64(st.Bavail) * unit, Total: int64(st.Blocks) * unit}, nil
}

// osFile is an os.File, which guards its descriptor against use after Close.
type osFile struct{ *os.File }

func openFile(name string, flags int) (File, error) {
	f, err := os.OpenFile(name, flags, fileMode)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (f osFile) Datasync() error {
	return f.call("fdatasync", func(fd int) error { return unix.Fdatasync(fd) })
}

func (f osFile) Allocate(bytes int64) error {
	err := f.call("fallocate", func(fd int) error { return unix.Fallocate(fd, 0, 0, bytes) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

func (f osFile) DropCache() error {
	return f.call("fadvise", func(fd int) error { return unix.Fadvise(fd, 0, 0, unix.FADV_DONTNEED) })
}

func (f osFile) Size() (int64, error) {
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

// ReadDirect reads through a second descriptor of the same file: O_DIRECT on the
// first would hold for every read. It is opened through /proc since the file may
// have another name by now.
func (f osFile) ReadDirect(p []byte, offset int64) (int, bool, error) {
	d, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_RDONLY|unix.O_DIRECT, 0)
	if err == nil {
		defer d.Close()
		n, err := readFull(d, p, offset)
		if !errors.Is(err, unix.EINVAL) {
			return n, true, err
		}
	}
	// Refused (EINVAL: tmpfs and others; ENOENT: no /proc). Forgetting the cache
	// first makes the answer as honest as it can be.
	_ = f.DropCache()
	n, err := f.ReadAt(p, offset)
	return n, false, err
}

// readFull reads until p is full or the file ends. A direct read that comes back
// short and unaligned is at the end of the file: asking again would be refused.
func readFull(f *os.File, p []byte, offset int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := unix.Pread(int(f.Fd()), p[done:], offset+int64(done))
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return done, &fs.PathError{Op: "pread", Path: f.Name(), Err: err}
		}
		done += n
		if n == 0 || n%DirectBytes != 0 {
			break
		}
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

func (f osFile) call(op string, do func(fd int) error) error {
	err := ignoreEINTR(func() error { return do(int(f.Fd())) })
	if err != nil {
		return &fs.PathError{Op: op, Path: f.Name(), Err: err}
	}
	return nil
}

func ignoreEINTR(do func() error) error {
	for {
		if err := do(); err != unix.EINTR {
			return err
		}
	}
}
