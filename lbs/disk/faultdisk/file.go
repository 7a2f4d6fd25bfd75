package faultdisk

import (
	"io/fs"

	"kivaloo/lbs/disk"
)

// A file passes calls on to the file below, and closes it.
type file struct {
	disk.File
	disk *Disk
	name string
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.check(Read, off, len(p)); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *file) ReadDirect(p []byte, off int64) (int, bool, error) {
	if err := f.check(ReadDirect, off, len(p)); err != nil {
		return 0, true, err
	}
	return f.File.ReadDirect(p, off)
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	fault := f.disk.fault(Call{Write, f.name, off, len(p)})
	switch {
	case fault == nil:
		return f.write(p, off)
	case fault.Lost:
		return len(p), nil
	case fault.Shift != 0:
		return f.write(p, off+fault.Shift)
	}
	n, err := f.write(p[:min(len(p), fault.Written)], off)
	if err == nil && fault.Err != nil {
		err = f.injected(fault.Err)
	}
	return n, err
}

// write writes what there is room for.
func (f *file) write(p []byte, off int64) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	short, err := f.disk.grow(f.File, off+int64(len(p)), func() (err error) {
		n, err = f.File.WriteAt(p, off)
		return err
	})
	if short == 0 {
		return n, err
	}
	if fits := int64(len(p)) - short; fits > 0 {
		n, _ = f.write(p[:fits], off)
	}
	return n, f.injected(err)
}

func (f *file) Allocate(bytes int64) error {
	if err := f.check(Allocate, 0, int(bytes)); err != nil {
		return err
	}
	short, err := f.disk.grow(f.File, bytes, func() error { return f.File.Allocate(bytes) })
	if short > 0 {
		return f.injected(err)
	}
	return err
}

func (f *file) Datasync() error { return f.flush(Datasync, f.File.Datasync) }
func (f *file) Sync() error     { return f.flush(Sync, f.File.Sync) }

func (f *file) flush(op Op, do func() error) error {
	if err := f.check(op, 0, 0); err != nil {
		if below, ok := f.File.(interface{ FailSync() }); ok {
			below.FailSync()
		}
		return err
	}
	return do()
}

func (f *file) DropCache() error {
	if err := f.check(DropCache, 0, 0); err != nil {
		return err
	}
	return f.File.DropCache()
}

func (f *file) Truncate(bytes int64) error {
	if err := f.check(Truncate, 0, int(bytes)); err != nil {
		return err
	}
	_, err := f.disk.grow(f.File, bytes, func() error { return f.File.Truncate(bytes) })
	return err
}

func (f *file) Size() (int64, error) {
	if err := f.check(Size, 0, 0); err != nil {
		return 0, err
	}
	return f.File.Size()
}

func (f *file) check(op Op, off int64, bytes int) error {
	if fault := f.disk.fault(Call{op, f.name, off, bytes}); fault != nil && fault.Err != nil {
		return f.injected(fault.Err)
	}
	return nil
}

func (f *file) injected(err error) error {
	return &fs.PathError{Op: "injected", Path: f.name, Err: err}
}
