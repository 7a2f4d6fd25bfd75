package crashdisk

import (
	"io"
	"io/fs"
	"sort"
	"syscall"

	"kivaloo/lbs/disk"
)

// The calls of disk.FS and disk.File. Each is one call for CutAt, but for Close,
// which does nothing to the disk.

func (d *Disk) Open(name string) (disk.File, error) {
	var f *file
	err := d.named("open", name, false, func() error {
		n, err := d.mu.find(name)
		if err == nil && n.isDir() {
			err = syscall.EISDIR
		}
		f = &file{disk: d, inode: n, name: name}
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d *Disk) Create(name string) (disk.File, error) {
	var f *file
	err := d.named("create", name, false, func() error {
		n := d.mu.newFile()
		f = &file{disk: d, inode: n, name: name}
		return d.addLocked(name, n)
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (d *Disk) Mkdir(name string) error {
	return d.named("mkdir", name, false, func() error { return d.addLocked(name, d.mu.newDir()) })
}

// Link gives a file a second name. It is not in disk.FS: only other programs, such
// as backups, do that to a store.
func (d *Disk) Link(from, to string) error {
	return d.named("link", from, false, func() error {
		n, err := d.mu.find(from)
		if err != nil {
			return err
		}
		return d.addLocked(to, n)
	})
}

func (d *Disk) addLocked(name string, n *inode) error {
	dir, base, err := d.mu.parent(name)
	if err != nil {
		return err
	}
	if dir.names.seen[base] != nil {
		return fs.ErrExist
	}
	d.mu.apply(edit{dir: dir, name: base, to: n})
	return nil
}

func (d *Disk) Rename(from, to string) error {
	return d.named("rename", from, false, func() error {
		n, err := d.mu.find(from)
		if err != nil {
			return err
		}
		fromDir, fromBase, err := d.mu.parent(from)
		if err != nil {
			return err
		}
		toDir, toBase, err := d.mu.parent(to)
		if err != nil {
			return err
		}
		if toDir.names.seen[toBase] == n {
			return nil
		}
		d.mu.apply(edit{dir: toDir, name: toBase, to: n}, edit{dir: fromDir, name: fromBase})
		return nil
	})
}

func (d *Disk) Remove(name string) error {
	return d.named("remove", name, false, func() error {
		n, err := d.mu.find(name)
		if err != nil {
			return err
		}
		if len(n.names.seen) > 0 {
			return syscall.ENOTEMPTY
		}
		dir, base, err := d.mu.parent(name)
		if err != nil {
			return err
		}
		d.mu.apply(edit{dir: dir, name: base})
		return nil
	})
}

func (d *Disk) List(dir string) ([]string, error) {
	var all []string
	err := d.named("readdir", dir, false, func() error {
		n, err := d.dirLocked(dir)
		if err != nil {
			return err
		}
		for name := range n.names.seen {
			all = append(all, name)
		}
		sort.Strings(all)
		return nil
	})
	return all, err
}

func (d *Disk) Stat(name string) (disk.Info, error) {
	var info disk.Info
	err := d.named("stat", name, false, func() error {
		n, err := d.mu.find(name)
		if err != nil {
			return err
		}
		info = disk.Info{Bytes: int64(len(n.cache)), Links: uint64(n.links), Mode: 0o600}
		if n.isDir() {
			info.Mode = fs.ModeDir | 0o700
		}
		return nil
	})
	return info, err
}

func (d *Disk) SyncDir(dir string) error {
	return d.named("syncdir", dir, true, func() error {
		n, err := d.dirLocked(dir)
		if err == nil {
			d.mu.syncDir(n)
		}
		return err
	})
}

func (d *Disk) Lock(dir string) (io.Closer, error) {
	var l *lock
	err := d.named("flock", dir, false, func() error {
		n, err := d.dirLocked(dir)
		if err != nil {
			return err
		}
		if d.mu.locks[n] {
			return disk.ErrLocked
		}
		d.mu.locks[n] = true
		l = &lock{d, n}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (d *Disk) Usage(dir string) (disk.Usage, error) {
	var u disk.Usage
	err := d.named("statfs", dir, false, func() error {
		_, err := d.dirLocked(dir)
		u = disk.Usage{Free: max(0, d.mu.bytes-d.mu.used()), Total: d.mu.bytes}
		return err
	})
	return u, err
}

func (d *Disk) dirLocked(dir string) (*inode, error) {
	n, err := d.mu.find(dir)
	if err == nil && !n.isDir() {
		err = syscall.ENOTDIR
	}
	return n, err
}

// named runs a call and dresses its error as the system's are.
func (d *Disk) named(op, name string, sync bool, do func() error) error {
	if err := d.call(sync, do); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

type lock struct {
	disk  *Disk
	inode *inode
}

func (l *lock) Close() error {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	delete(l.disk.mu.locks, l.inode)
	return nil
}
