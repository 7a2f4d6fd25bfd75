package crashdisk

import (
	"io/fs"
	"path"
	"sort"
	"strings"
	"syscall"
)

// An image is the tree of files as programs see it, with the changes of names
// that no directory sync has made durable.
type image struct {
	root    *inode
	nextID  int
	pending []*change
	bytes   int64 // size of the disk
}

// A change is one step in the life of names: create, link, remove or rename, each
// whole or not at all.
type change struct {
	edits []edit
}

// An edit sets one name of one directory, or removes it.
type edit struct {
	dir  *inode
	name string
	to   *inode // nil: no such name
	was  *inode // what had the name before, or nil
}

func newImage(bytes int64) *image {
	img := &image{bytes: bytes}
	img.root = img.newDir()
	return img
}

func (img *image) newFile() *inode {
	img.nextID++
	return &inode{id: img.nextID, dirty: map[int64]*sector{}}
}

func (img *image) newDir() *inode {
	n := img.newFile()
	n.names.seen, n.names.disk = names{}, names{}
	return n
}

// find walks to a name. Absolute and relative names are the same: there is one
// working directory, the root.
func (img *image) find(name string) (*inode, error) {
	n := img.root
	for _, part := range split(name) {
		if !n.isDir() {
			return nil, syscall.ENOTDIR
		}
		if n = n.names.seen[part]; n == nil {
			return nil, fs.ErrNotExist
		}
	}
	return n, nil
}

// parent finds the directory in which a name stands, and the name in it.
func (img *image) parent(name string) (dir *inode, base string, err error) {
	parts := split(name)
	if len(parts) == 0 {
		return nil, "", fs.ErrInvalid
	}
	base = parts[len(parts)-1]
	dir, err = img.find(strings.Join(parts[:len(parts)-1], "/"))
	if err == nil && !dir.isDir() {
		err = syscall.ENOTDIR
	}
	return dir, base, err
}

func split(name string) []string {
	name = strings.Trim(path.Clean("/"+name), "/")
	if name == "" {
		return nil
	}
	return strings.Split(name, "/")
}

// apply makes a change visible, and remembers it until it is durable.
func (img *image) apply(edits ...edit) {
	for i := range edits {
		e := &edits[i]
		e.was = e.dir.names.seen[e.name]
		if e.was != nil {
			e.was.links--
		}
		if e.to != nil {
			e.to.links++
		}
		e.dir.names.seen.set(e.name, e.to)
	}
	img.pending = append(img.pending, &change{edits})
}

func (n names) set(name string, to *inode) {
	if to == nil {
		delete(n, name)
	} else {
		n[name] = to
	}
}

// syncDir makes every change durable that touches the directory, and with each of
// them what it builds on.
func (img *image) syncDir(dir *inode) {
	img.commit(func(c *change) bool { return c.touches(dir) })
}

// commit makes the chosen changes durable, and keeps the order of those that
// share a name or a file: a later one carries the earlier ones along.
func (img *image) commit(chosen func(*change) bool) {
	take := make([]bool, len(img.pending))
	for i := len(img.pending) - 1; i >= 0; i-- {
		take[i] = chosen(img.pending[i])
		for j := i + 1; j < len(take) && !take[i]; j++ {
			take[i] = take[j] && img.pending[j].buildsOn(img.pending[i])
		}
	}
	var left []*change
	for i, c := range img.pending {
		if !take[i] {
			left = append(left, c)
			continue
		}
		for _, e := range c.edits {
			e.dir.names.disk.set(e.name, e.to)
		}
	}
	img.pending = left
}

func (c *change) touches(dir *inode) bool {
	for _, e := range c.edits {
		if e.dir == dir {
			return true
		}
	}
	return false
}

func (c *change) buildsOn(earlier *change) bool {
	for _, e := range c.edits {
		for _, o := range earlier.edits {
			sameName := e.dir == o.dir && e.name == o.name
			sameFile := e.to != nil && (e.to == o.to || e.to == o.was) ||
				e.was != nil && (e.was == o.to || e.was == o.was)
			if sameName || sameFile {
				return true
			}
		}
	}
	return false
}

// inodes lists everything that has a name, for programs or on the disk, in order
// of creation.
func (img *image) inodes() []*inode {
	known := map[*inode]bool{}
	var walk func(n *inode)
	walk = func(n *inode) {
		if known[n] {
			return
		}
		known[n] = true
		for _, entries := range []names{n.names.seen, n.names.disk} {
			for _, child := range entries {
				walk(child)
			}
		}
	}
	walk(img.root)
	for _, c := range img.pending {
		for _, e := range c.edits {
			if e.to != nil {
				walk(e.to)
			}
		}
	}
	all := make([]*inode, 0, len(known))
	for n := range known {
		all = append(all, n)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].id < all[j].id })
	return all
}

// used is what all files take together.
func (img *image) used() int64 {
	var sum int64
	for _, n := range img.inodes() {
		if n.links > 0 {
			sum += int64(len(n.cache))
		}
	}
	return sum
}

func (img *image) clone() *image {
	twin := map[*inode]*inode{}
	for _, n := range img.inodes() {
		twin[n] = n.clone()
	}
	// A file that lost all its names may still be what a change replaced.
	of := func(n *inode) *inode {
		if n != nil && twin[n] == nil {
			twin[n] = n.clone()
		}
		return twin[n]
	}
	copyNames := func(from names) names {
		if from == nil {
			return nil
		}
		to := names{}
		for name, n := range from {
			to[name] = of(n)
		}
		return to
	}
	c := &image{root: of(img.root), nextID: img.nextID, bytes: img.bytes}
	for _, n := range img.inodes() {
		twin[n].names.seen = copyNames(n.names.seen)
		twin[n].names.disk = copyNames(n.names.disk)
	}
	for _, old := range img.pending {
		fresh := &change{}
		for _, e := range old.edits {
			fresh.edits = append(fresh.edits, edit{dir: of(e.dir), name: e.name, to: of(e.to), was: of(e.was)})
		}
		c.pending = append(c.pending, fresh)
	}
	return c
}
