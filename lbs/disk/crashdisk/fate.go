package crashdisk

import "math/rand/v2"

// fate decides what of the unsynced survives a cut.
//
// Even chances for each sector would hardly ever keep or lose the whole of a
// larger write. So each file is first dealt a temper: it loses everything, keeps
// everything, keeps what came first, or leaves each sector to itself.
type fate struct {
	rand  *rand.Rand
	stats *Stats
}

type temper int

const (
	losesAll temper = iota
	keepsAll
	keepsFirst
	tossesEach
	tempers
)

// settle makes of an image what a boot finds after the power was cut.
func (img *image) settle(f *fate) {
	all := img.inodes()
	for _, n := range all {
		if !n.isDir() {
			f.settleFile(n)
		}
	}
	f.settleNames(img)
	for _, n := range all {
		n.links = 0
	}
	for _, n := range all {
		if n.isDir() {
			n.names.seen = names{}
			for name, child := range n.names.disk {
				n.names.seen[name] = child
				child.links++
			}
		}
	}
}

func (f *fate) settleNames(img *image) {
	before := len(img.pending)
	keep := map[*change]bool{}
	mood := f.temper()
	for i, c := range img.pending {
		keep[c] = f.keeps(mood, i, before)
	}
	img.commit(func(c *change) bool { return keep[c] })
	f.stats.EntriesLost += len(img.pending)
	f.stats.EntriesKept += before - len(img.pending)
	img.pending = nil
}

func (f *fate) settleFile(n *inode) {
	mood := f.temper()
	kept, lost := map[int]bool{}, map[int]bool{}
	sectors := n.dirtySectors()
	for i, s := range sectors {
		d := n.dirty[s]
		version := f.version(mood, i, len(sectors), len(d.writes))
		if version > 0 {
			n.store(s, d.at(version-1, sectorOf(n.cache, s)))
		}
		for j, w := range d.writes {
			(map[bool]map[int]bool{true: kept, false: lost})[j < version][w] = true
		}
		f.count(version == len(d.writes), &f.stats.SectorsKept, &f.stats.SectorsLost)
	}
	for w := range kept {
		if lost[w] {
			f.stats.WritesTorn++
		}
	}
	f.settleSize(n, mood)
}

// settleSize comes after the sectors: what lies beyond the size that survives is
// gone, and what was never written up to it reads as zeros.
func (f *fate) settleSize(n *inode, mood temper) {
	size := n.sizeOnDisk
	if len(n.sizes) > 0 {
		version := f.version(mood, 0, 1, len(n.sizes))
		if version > 0 {
			size = n.sizes[version-1]
		}
		f.count(version == len(n.sizes), &f.stats.SizesKept, &f.stats.SizesLost)
	}
	found := make([]byte, size)
	copy(found, n.disk)
	n.cache, n.disk = found, append([]byte(nil), found...)
	n.sizeOnDisk, n.sizes = size, nil
	clear(n.dirty)
}

func (f *fate) temper() temper { return temper(f.rand.IntN(int(tempers))) }

// keeps deals the fate of the i-th of n things.
func (f *fate) keeps(mood temper, i, n int) bool {
	switch mood {
	case losesAll:
		return false
	case keepsAll:
		return true
	case keepsFirst:
		return i < (n+1)/2
	default:
		return f.rand.IntN(2) == 0
	}
}

// version picks which of the versions of a thing survives: 0 is the one that was
// on the disk, the last the newest.
func (f *fate) version(mood temper, i, n, versions int) int {
	if !f.keeps(mood, i, n) {
		return 0
	}
	if mood == tossesEach {
		return 1 + f.rand.IntN(versions)
	}
	return versions
}

func (f *fate) count(kept bool, yes, no *int) {
	if kept {
		*yes++
	} else {
		*no++
	}
}

// at is the contents of a version, the newest of which is in the cache.
func (d *sector) at(version int, newest []byte) []byte {
	if version < len(d.older) {
		return d.older[version]
	}
	return newest
}
