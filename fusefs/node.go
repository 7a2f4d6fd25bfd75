package fusefs

import (
	"kivaloo/fusefs/namespace"
	"kivaloo/kvstore/kv"
)

// A nodeKind says what a node stands for.
type nodeKind uint8

const (
	// kindFile: a pair, whatever its type: file, symlink, fifo, device.
	kindFile nodeKind = iota
	// kindDir: all keys with a prefix, and its marker if there is one.
	kindDir
	// kindVirtual: what a name that is cut for its length leads through.
	kindVirtual
)

// A slot is a place where a node can be. No two nodes have the same.
type slot struct {
	parent *node // a real directory
	kind   nodeKind
	comp   string // the component, or the Cut of a virtual directory
}

// A node is what the kernel knows as an inode. It lives while the kernel holds
// it, while it is open, and while nodes lie below it. All fields but id and kind
// are guarded by the tree's mutex.
type node struct {
	id   uint64
	kind nodeKind

	// at is where the node is. A node that is gone keeps it for messages.
	at slot
	// ino is st_ino, and stays what it was when the node was first shown.
	ino uint64
	// birth is that of the node's pair; 0 for a directory without a marker.
	birth kv.Stamp
	// gone: the name has been removed, or another pair has taken it.
	gone bool

	lookups  uint64 // held by the kernel
	children int    // nodes whose parent this is
	opens    int    // handles
	// file is what is open or unsaved of a pair.
	file *file

	// lingers: replaced by a rename, and held open until the kernel forgets it.
	lingers bool

	// moving is closed when the rename under way has ended; nil when there is none.
	moving chan struct{}

	dir *dirState
}

// dirState is what a directory's node has beyond a file's.
type dirState struct {
	// fresh are the files created in it and not yet committed, by component.
	fresh map[string]*node
	// freshBelow counts them, and those of the directories below: with any, the
	// directory exists.
	freshBelow int
	// touched is when a name was last added or removed, where the marker does
	// not say it yet.
	touched kv.Stamp
	// last is the attributes of a directory that is gone, for who still has it.
	last *pairAttr
}

func (n *node) isRoot() bool { return n.id == rootID }

// isValue says that n is the value of a directory's own marker.
func (n *node) isValue() bool {
	return n.kind == kindFile && n.at.comp == "" && n.at.parent != nil && !n.at.parent.isRoot()
}

// isBelow says whether a directory lies above the node.
func (n *node) isBelow(dir *node) bool {
	for n = n.at.parent; n != nil; n = n.at.parent {
		if n == dir {
			return true
		}
	}
	return false
}

// real is the directory whose keys n lists: itself, or the one above a virtual one.
func (n *node) real() *node {
	if n.kind == kindVirtual {
		return n.at.parent
	}
	return n
}

// held says that somebody still needs the node.
func (n *node) held() bool { return n.lookups > 0 || n.children > 0 || n.opens > 0 || n.isRoot() }

// key appends the node's key, or a directory's prefix. The caller holds the
// tree's mutex.
func (n *node) key(dst []byte) []byte {
	if n.at.parent == nil {
		return dst
	}
	dst = n.at.parent.key(dst)
	switch n.kind {
	case kindVirtual:
		return dst
	case kindDir:
		return append(append(dst, n.at.comp...), '/')
	}
	return append(dst, n.at.comp...)
}

// place is where names in the directory are looked up.
func (n *node) place() namespace.Dir {
	if n.kind == kindVirtual {
		return namespace.Dir{Prefix: n.at.parent.key(nil), Cut: n.at.comp}
	}
	return namespace.Dir{Prefix: n.key(nil)}
}
