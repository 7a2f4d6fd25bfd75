package crashdisk

import (
	"math/rand/v2"
	"sort"

	"kivaloo/lbs/disk"
)

// An inode is a file or a directory, whatever its names.
type inode struct {
	id    int                        // in order of creation, so that fates can be dealt in order
	links int                        // names that programs see
	names struct{ seen, disk names } // of a directory

	cache []byte // what programs see
	disk  []byte // what is on the disk; shorter than cache where nothing was written

	sizeOnDisk int64
	sizes      []int64 // sizes since the last sync, newest last

	dirty  map[int64]*sector // sectors written since the last sync
	writes int               // counts writes, to tell which were torn
}

// names is the contents of a directory; nil for a file.
type names map[string]*inode

// A sector that was written since the last sync has a version for each write. The
// newest is in the cache; the older ones are kept here.
type sector struct {
	older  [][]byte // contents after writes[0], writes[1], … but for the newest
	writes []int    // which write made each version
}

func (n *inode) isDir() bool { return n.names.seen != nil }

func (n *inode) write(p []byte, off int64) {
	end := off + int64(len(p))
	if end > int64(len(n.cache)) {
		n.resize(end)
	}
	n.writes++
	for s := off / disk.SectorBytes; s*disk.SectorBytes < end; s++ {
		n.soil(s)
	}
	copy(n.cache[off:end], p)
}

// soil notes that a sector gets a new version, and keeps the one it has.
func (n *inode) soil(s int64) {
	d := n.dirty[s]
	if d == nil {
		d = &sector{}
		n.dirty[s] = d
	} else {
		d.older = append(d.older, append([]byte(nil), sectorOf(n.cache, s)...))
	}
	d.writes = append(d.writes, n.writes)
}

// resize makes the file longer, with zeros, or shorter. What is cut off is
// overwritten with zeros first, so that it cannot come back by a longer size.
func (n *inode) resize(size int64) {
	old := int64(len(n.cache))
	if size < old {
		n.write(make([]byte, old-size), size)
		n.cache = n.cache[:size]
		for s := range n.dirty {
			if s*disk.SectorBytes >= size {
				delete(n.dirty, s)
			}
		}
	} else {
		n.cache = append(n.cache, make([]byte, size-old)...)
	}
	n.sizes = append(n.sizes, size)
}

// datasync carries the contents, and the size where it has grown.
func (n *inode) datasync() {
	for s := range n.dirty {
		n.store(s, sectorOf(n.cache, s))
	}
	clear(n.dirty)
	if size := int64(len(n.cache)); size > n.sizeOnDisk {
		n.sizeOnDisk, n.sizes = size, nil
	}
}

func (n *inode) sync() {
	n.datasync()
	n.sizeOnDisk, n.sizes = int64(len(n.cache)), nil
	n.disk = n.disk[:min(len(n.disk), len(n.cache))]
}

// store puts a sector on the disk.
func (n *inode) store(s int64, p []byte) {
	off := s * disk.SectorBytes
	if end := off + int64(len(p)); end > int64(len(n.disk)) {
		n.disk = append(n.disk, make([]byte, end-int64(len(n.disk)))...)
	}
	copy(n.disk[off:], p)
}

// readDirect copies what the disk holds, once the system has written out what it
// knows to be dirty.
func (n *inode) readDirect(p []byte, off int64) int {
	count := copy(p, n.cache[min(off, int64(len(n.cache))):])
	for s := off / disk.SectorBytes; s*disk.SectorBytes < off+int64(count); s++ {
		if n.dirty[s] != nil {
			continue
		}
		at := s*disk.SectorBytes - off
		have := p[at:min(at+disk.SectorBytes, int64(count))]
		clear(have[copy(have, sectorOf(n.disk, s)):])
	}
	return count
}

// fail is a sync that failed: by chance some of the sectors reached the disk, and
// the system takes all of them for clean.
func (n *inode) fail(r *rand.Rand) {
	for _, s := range n.dirtySectors() {
		if r.IntN(2) == 0 {
			n.store(s, sectorOf(n.cache, s))
		}
	}
	clear(n.dirty)
}

func (n *inode) dirtySectors() []int64 {
	all := make([]int64, 0, len(n.dirty))
	for s := range n.dirty {
		all = append(all, s)
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	return all
}

func (n *inode) clone() *inode {
	c := *n
	c.cache = append([]byte(nil), n.cache...)
	c.disk = append([]byte(nil), n.disk...)
	c.sizes = append([]int64(nil), n.sizes...)
	c.dirty = make(map[int64]*sector, len(n.dirty))
	for s, d := range n.dirty {
		c.dirty[s] = &sector{
			older:  append([][]byte(nil), d.older...), // versions are never changed
			writes: append([]int(nil), d.writes...),
		}
	}
	return &c
}

// sectorOf is the part of b that lies in sector s; it may be short or empty.
func sectorOf(b []byte, s int64) []byte {
	from := min(s*disk.SectorBytes, int64(len(b)))
	return b[from:min(from+disk.SectorBytes, int64(len(b)))]
}
