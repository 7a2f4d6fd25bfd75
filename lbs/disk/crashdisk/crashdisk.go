// Package crashdisk is a file system in memory whose power can be cut.
//
// It keeps for every file two states, what programs see (the page cache) and
// what is on the disk, and between them everything that was written and not yet
// synced. A cut decides by chance, from a seed, what of that reached the disk:
// each sector of each write by itself, each size, each change of a name.
//
//	d := crashdisk.New(seed)
//	d.CutAt(n)          // the power fails at the n-th call from now
//	… run the program on d until it fails with ErrPowerCut …
//	d = d.Crash()       // what the next boot finds
//	… run the program on the new d …
//
// Kill is the end of the process alone: nothing that was written is lost, but
// what was not synced still can be, at a later Crash.
//
// The model is harsher than a journalling file system where the rules leave
// room: sectors written between two syncs reach the disk in any order and in any
// of the versions they had; a name that was not synced may be lost although the
// file was; changes of names that touch neither the same name nor the same file
// are lost independently. Only these are certain: a sector is never torn, a
// rename never half done, changes of one name or one file keep their order, and
// a sector that never was written reads as zeros.
//
// The owner of all state is the Disk, under its lock; a Disk and the files opened
// on it are safe for concurrent use.
package crashdisk

import (
	"errors"
	"math/rand/v2"
	"sync"

	"kivaloo/lbs/disk"
)

var (
	// ErrPowerCut: the power is off, since a call that CutAt or Cut named.
	ErrPowerCut = errors.New("power cut")

	// ErrKilled: the process that used this Disk was killed, or the disk went on
	// to its next boot.
	ErrKilled = errors.New("process was killed")
)

// DefaultBytes is the size of a new disk.
const DefaultBytes = 1 << 40

// Stats counts what cuts did to what was not synced, over the whole life of a
// disk, its reboots included.
type Stats struct {
	Cuts         int // how often the power was cut
	SectorsLost  int // sectors that kept an older version
	SectorsKept  int // sectors that got their newest version
	WritesTorn   int // writes of which one part was kept and another lost
	SizesLost    int // files that did not get their newest size
	SizesKept    int // files that did
	EntriesLost  int // changes of names that were undone
	EntriesKept  int // changes of names that were kept
	SyncsHonored int // syncs that were finished, but never answered
}

// A Disk is one boot of a disk: it serves until the power is cut or the process
// killed, and every call fails ever after. Crash and Kill make the next one.
type Disk struct {
	mu struct {
		sync.Mutex
		*image
		dead  error // why every call fails, or nil
		locks map[*inode]bool
		calls int   // counted so far
		endAt int   // the call at which it ends; 0: never
		end   error // how: ErrPowerCut or ErrKilled
		fates *rand.Rand
		stats Stats
	}
}

var _ disk.FS = (*Disk)(nil)

// New makes an empty disk whose cuts are decided by the seed.
func New(seed uint64) *Disk {
	return boot(newImage(DefaultBytes), rand.New(rand.NewPCG(seed, 0)), Stats{})
}

func boot(img *image, fates *rand.Rand, stats Stats) *Disk {
	d := &Disk{}
	d.mu.image = img
	d.mu.locks = map[*inode]bool{}
	d.mu.fates = fates
	d.mu.stats = stats
	return d
}

// Calls is the number of calls so far, of the file system and of its files.
func (d *Disk) Calls() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.calls
}

// CutAt makes the power fail at the n-th call from now, counted from 1. The call
// itself fails; by chance, what it should do has been begun, or even finished,
// before the lights went out.
func (d *Disk) CutAt(n int) { d.endAt(n, ErrPowerCut) }

// KillAt makes the process die at the n-th call from now, counted from 1: the call
// fails, done or not, and so do all after it. Kill makes the next Disk.
func (d *Disk) KillAt(n int) { d.endAt(n, ErrKilled) }

func (d *Disk) endAt(n int, end error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.endAt, d.mu.end = d.mu.calls+n, end
}

// Cut makes the power fail now.
func (d *Disk) Cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.dead == nil {
		d.mu.dead = ErrPowerCut
	}
}

// IsCut says whether the power has failed.
func (d *Disk) IsCut() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.dead == ErrPowerCut
}

// Crash cuts the power, if that has not happened yet, and answers the disk as the
// next boot finds it. The old Disk stays dead, so that what still runs on it can
// do no harm.
func (d *Disk) Crash() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	img := d.takeLocked()
	d.mu.stats.Cuts++
	img.settle(&fate{rand: d.mu.fates, stats: &d.mu.stats})
	return boot(img, d.mu.fates, d.mu.stats)
}

// Kill ends the process that uses the disk, as kill -9 does: locks are gone, what
// was written is there, and what was not synced is still not. An end that CutAt
// or KillAt has announced is still to come, and calls are counted on.
func (d *Disk) Kill() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := boot(d.takeLocked(), d.mu.fates, d.mu.stats)
	next.mu.calls = d.mu.calls
	if d.mu.endAt > d.mu.calls {
		next.mu.endAt, next.mu.end = d.mu.endAt, d.mu.end
	}
	return next
}

// takeLocked moves the image out of a Disk and leaves it dead.
func (d *Disk) takeLocked() *image {
	img := d.mu.image
	if img == nil {
		panic("crashdisk: this Disk has been crashed or killed already; use the one that was answered")
	}
	d.mu.image = nil
	if d.mu.dead == nil {
		d.mu.dead = ErrKilled
	}
	return img
}

// Clone copies a disk with all that is unsynced, so that one state can be crashed
// in many ways; the seed decides the fates of the copy. Nothing is open or locked
// in the copy, and nothing counted.
func (d *Disk) Clone(seed uint64) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return boot(d.mu.image.clone(), rand.New(rand.NewPCG(seed, 1)), Stats{})
}

// SetBytes makes the disk smaller or larger: with less than its files take, it is
// full.
func (d *Disk) SetBytes(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.bytes = bytes
}

// Stats answers what was lost and kept so far.
func (d *Disk) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.stats
}

// Add sums up two counts.
func (s Stats) Add(o Stats) Stats {
	s.Cuts += o.Cuts
	s.SectorsLost += o.SectorsLost
	s.SectorsKept += o.SectorsKept
	s.WritesTorn += o.WritesTorn
	s.SizesLost += o.SizesLost
	s.SizesKept += o.SizesKept
	s.EntriesLost += o.EntriesLost
	s.EntriesKept += o.EntriesKept
	s.SyncsHonored += o.SyncsHonored
	return s
}

// call runs one call of the interface under the lock. When it is the one at which
// the disk ends, chance decides whether its work is done all the same: a write
// that is half under way, a sync that was never answered.
func (d *Disk) call(sync bool, do func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.dead != nil {
		return d.mu.dead
	}
	d.mu.calls++
	if d.mu.calls != d.mu.endAt {
		return do()
	}
	if d.mu.fates.IntN(2) == 0 {
		if err := do(); err == nil && sync {
			d.mu.stats.SyncsHonored++
		}
	}
	d.mu.dead = d.mu.end
	return d.mu.dead
}
