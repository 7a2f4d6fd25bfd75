// Package faultdisk makes calls of another disk fail, or do wrong, on demand.
//
//	d := faultdisk.New(crashdisk.New(seed))
//	d.FailNth(faultdisk.Datasync, 3, syscall.EIO) // the third from now
//	d.SetRoom(64 << 10)                           // a disk that is nearly full
//	remove := d.Inject(func(c faultdisk.Call) *faultdisk.Fault {
//		if c.Op == faultdisk.Write && strings.Contains(c.Name, "seg_") {
//			return &faultdisk.Fault{Lost: true}
//		}
//		return nil
//	})
//
// A sync that is made to fail fails as real ones do: what was dirty is partly on
// the disk, and the cache takes all of it for clean (if the disk below can do
// that; crashdisk can).
package faultdisk

import (
	"io"
	"io/fs"
	"sync"
	"syscall"

	"kivaloo/lbs/disk"
)

// An Op is a kind of call; kinds can be joined with |.
type Op uint32

const (
	Open Op = 1 << iota
	Create
	Rename
	Remove
	Mkdir
	List
	Stat
	SyncDir
	Lock
	Usage
	Read
	ReadDirect
	Write
	Allocate
	Datasync
	Sync
	DropCache
	Truncate
	Size

	Any     Op = 1<<iota - 1
	Flushes    = SyncDir | Datasync | Sync
	Reads      = Read | ReadDirect
)

// A Call is one call that is about to be made.
type Call struct {
	Op     Op
	Name   string // the name it was opened by, if it is a file's
	Offset int64
	Bytes  int
}

// A Fault is what happens instead.
type Fault struct {
	Err     error // what the call answers
	Written int   // of a write: how much is written all the same
	Lost    bool  // a write that answers well and writes nothing
	Shift   int64 // a write that answers well and goes so many bytes astray
}

// unlimited is the room of a disk without a budget.
const unlimited = -1

// A Disk passes calls on to another one, unless a rule says otherwise. It is safe
// for concurrent use, and so are rules if they are.
type Disk struct {
	inner disk.FS
	mu    struct {
		sync.Mutex
		rules  map[int]func(Call) *Fault
		lastID int
		counts map[Op]int
	}
	room struct {
		sync.Mutex // held while files grow or shrink
		left       int64
	}
}

var _ disk.FS = (*Disk)(nil)

// New wraps a disk; nothing fails until it is told to.
func New(inner disk.FS) *Disk {
	d := &Disk{inner: inner}
	d.mu.rules = map[int]func(Call) *Fault{}
	d.mu.counts = map[Op]int{}
	d.room.left = unlimited
	return d
}

// Inject adds a rule, which is asked about every call and answers nil to let it
// pass, and a function that removes it again.
func (d *Disk) Inject(rule func(Call) *Fault) (remove func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.lastID++
	id := d.mu.lastID
	d.mu.rules[id] = rule
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.mu.rules, id)
	}
}

// FailNth makes the n-th call from now, counted from 1, of the given kinds fail
// once.
func (d *Disk) FailNth(op Op, n int, err error) {
	var mu sync.Mutex
	d.Inject(func(c Call) *Fault {
		if c.Op&op == 0 {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if n--; n != 0 {
			return nil
		}
		return &Fault{Err: err}
	})
}

// Count answers how many calls of the given kinds there were.
func (d *Disk) Count(op Op) (sum int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for kind, n := range d.mu.counts {
		if kind&op != 0 {
			sum += n
		}
	}
	return sum
}

// SetRoom says by how many bytes files may still grow in all; beyond it the disk
// is full. It can be raised later; files that are removed give back theirs.
func (d *Disk) SetRoom(bytes int64) {
	d.room.Lock()
	defer d.room.Unlock()
	d.room.left = bytes
}

// Rot flips bits: it applies the mask to every byte of a range of a file.
func (d *Disk) Rot(name string, offset int64, bytes int, mask byte) error {
	f, err := d.inner.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	p := make([]byte, bytes)
	if _, err := f.ReadAt(p, offset); err != nil {
		return err
	}
	for i := range p {
		p[i] ^= mask
	}
	if _, err := f.WriteAt(p, offset); err != nil {
		return err
	}
	return f.Sync()
}

// fault counts a call and asks the rules about it.
func (d *Disk) fault(c Call) *Fault {
	d.mu.Lock()
	d.mu.counts[c.Op]++
	rules := make([]func(Call) *Fault, 0, len(d.mu.rules))
	for id := 1; id <= d.mu.lastID; id++ {
		if r := d.mu.rules[id]; r != nil {
			rules = append(rules, r)
		}
	}
	d.mu.Unlock()
	for _, r := range rules {
		if f := r(c); f != nil {
			return f
		}
	}
	return nil
}

func (d *Disk) check(op Op, name string) error {
	if f := d.fault(Call{Op: op, Name: name}); f != nil && f.Err != nil {
		return &fs.PathError{Op: "injected", Path: name, Err: f.Err}
	}
	return nil
}

func (d *Disk) Open(name string) (disk.File, error) {
	if err := d.check(Open, name); err != nil {
		return nil, err
	}
	return d.wrap(name)(d.inner.Open(name))
}

func (d *Disk) Create(name string) (disk.File, error) {
	if err := d.check(Create, name); err != nil {
		return nil, err
	}
	return d.wrap(name)(d.inner.Create(name))
}

func (d *Disk) wrap(name string) func(disk.File, error) (disk.File, error) {
	return func(f disk.File, err error) (disk.File, error) {
		if err != nil {
			return nil, err
		}
		return &file{File: f, disk: d, name: name}, nil
	}
}

func (d *Disk) Rename(from, to string) error {
	if err := d.check(Rename, from); err != nil {
		return err
	}
	return d.giveBack(to, func() error { return d.inner.Rename(from, to) })
}

func (d *Disk) Remove(name string) error {
	if err := d.check(Remove, name); err != nil {
		return err
	}
	return d.giveBack(name, func() error { return d.inner.Remove(name) })
}

// giveBack runs what takes the last name of a file, and adds its bytes to the room.
func (d *Disk) giveBack(name string, do func() error) error {
	d.room.Lock()
	defer d.room.Unlock()
	if d.room.left == unlimited {
		return do()
	}
	info, statErr := d.inner.Stat(name)
	err := do()
	if err == nil && statErr == nil && info.Links == 1 && info.Mode.IsRegular() {
		d.room.left += info.Bytes
	}
	return err
}

func (d *Disk) Mkdir(name string) error {
	if err := d.check(Mkdir, name); err != nil {
		return err
	}
	return d.inner.Mkdir(name)
}

func (d *Disk) List(dir string) ([]string, error) {
	if err := d.check(List, dir); err != nil {
		return nil, err
	}
	return d.inner.List(dir)
}

func (d *Disk) Stat(name string) (disk.Info, error) {
	if err := d.check(Stat, name); err != nil {
		return disk.Info{}, err
	}
	return d.inner.Stat(name)
}

func (d *Disk) SyncDir(dir string) error {
	if err := d.check(SyncDir, dir); err != nil {
		return err
	}
	return d.inner.SyncDir(dir)
}

func (d *Disk) Lock(dir string) (io.Closer, error) {
	if err := d.check(Lock, dir); err != nil {
		return nil, err
	}
	return d.inner.Lock(dir)
}

func (d *Disk) Usage(dir string) (disk.Usage, error) {
	if err := d.check(Usage, dir); err != nil {
		return disk.Usage{}, err
	}
	u, err := d.inner.Usage(dir)
	d.room.Lock()
	defer d.room.Unlock()
	if d.room.left != unlimited {
		u.Free = min(u.Free, max(0, d.room.left))
	}
	return u, err
}

// grow runs what makes a file longer, if there is room; else it answers how much
// there is, and ENOSPC.
func (d *Disk) grow(f disk.File, end int64, do func() error) (short int64, err error) {
	d.room.Lock()
	defer d.room.Unlock()
	if d.room.left == unlimited {
		return 0, do()
	}
	size, err := f.Size()
	if err != nil {
		return 0, err
	}
	if short := end - size - max(0, d.room.left); end > size && short > 0 {
		return short, syscall.ENOSPC
	}
	if err := do(); err != nil {
		return 0, err
	}
	d.room.left -= max(0, end-size)
	return 0, nil
}
