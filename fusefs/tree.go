package fusefs

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"sync"
	"syscall"

	"kivaloo/fusefs/namespace"
	"kivaloo/kvstore/kv"
)

// rootID is FUSE's number for the root.
const rootID = 1

// hashedInoBase is where the numbers of what has no birth to show begin: stamps
// end there.
const hashedInoBase = uint64(kv.StampMax)

// tree holds the nodes. Node ids come from a counter and are never used twice:
// with ids made of paths, the kernel would take a new directory for an old one.
type tree struct {
	// inoKey keys the hash of numbers from hashedInoBase on.
	inoKey kv.Stamp

	mu      sync.Mutex
	lastID  uint64
	byID    map[uint64]*node
	bySlot  map[slot]*node
	byBirth map[kv.Stamp]*node // pairs other than markers
	// open are the nodes of files that are open.
	open map[*node]struct{}
	// renamings counts the changes of which node is where. What was read of the
	// store before one may be older than what the tree says since.
	renamings uint64
}

func newTree(inoKey kv.Stamp) *tree {
	t := &tree{
		inoKey: inoKey, lastID: rootID,
		byID: map[uint64]*node{}, bySlot: map[slot]*node{}, byBirth: map[kv.Stamp]*node{},
		open: map[*node]struct{}{},
	}
	t.byID[rootID] = &node{id: rootID, kind: kindDir, ino: rootID, dir: &dirState{}}
	return t
}

// node finds the node of a request.
func (t *tree) node(id uint64) (*node, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.byID[id]; n != nil {
		return n, nil
	}
	return nil, syscall.ESTALE
}

// directory finds the node of a request that is about names in a directory.
func (t *tree) directory(id uint64) (*node, error) {
	n, err := t.node(id)
	if err == nil && n.kind == kindFile {
		err = syscall.ENOTDIR
	}
	return n, err
}

// key is the key or prefix of a node that still has one.
func (t *tree) key(n *node) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.gone {
		return nil, syscall.ESTALE
	}
	return n.key(nil), nil
}

// place is where names are looked up in a directory that is still there.
func (t *tree) place(dir *node) (namespace.Dir, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if dir.gone || dir.real().gone {
		return namespace.Dir{}, syscall.ENOENT
	}
	return dir.place(), nil
}

// describe names a node in the log.
func (t *tree) describe(n *node) string {
	if n == nil {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(n.key(nil))
}

// enter finds or makes the node of what a lookup found, and counts the lookup.
// The store was read when the tree had seen this many renamings: where it tells
// something else than a tree that has changed since, it has been overtaken, and
// enter gives nil. The tree would go back to what was true before a rename.
func (t *tree) enter(at slot, birth kv.Stamp, renamings uint64) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	if renamings != t.renamings && !t.agrees(at, birth) {
		return nil
	}
	n := t.find(at, birth)
	if n == nil {
		n = t.add(at, birth)
	}
	n.lookups++
	return n
}

// agrees says that the tree has this pair or directory in this place, or knows
// of neither.
func (t *tree) agrees(at slot, birth kv.Stamp) bool {
	if n := t.bySlot[at]; n != nil {
		return n.birth == birth
	}
	return at.kind != kindFile || t.byBirth[birth] == nil
}

// seen is how many renamings the tree has seen.
func (t *tree) seen() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.renamings
}

// find gives the node of a pair or directory, if there is one, and brings it
// up to date.
func (t *tree) find(at slot, birth kv.Stamp) *node {
	n := t.bySlot[at]
	if n != nil && n.birth != birth {
		if n = t.settle(n, birth); n != nil {
			return n
		}
	}
	if n == nil && at.kind == kindFile {
		if n = t.byBirth[birth]; n != nil {
			t.move(n, at)
		}
	}
	return n
}

// settle decides whether a node whose place shows another birth is still what
// is there. A directory that has got a marker, or lost it, is.
func (t *tree) settle(n *node, birth kv.Stamp) *node {
	if n.kind == kindDir && (n.birth == 0 || birth == 0) {
		if birth != 0 {
			n.birth = birth
		}
		return n
	}
	if n.isValue() {
		n.birth = birth
		return n
	}
	t.detach(n)
	return nil
}

func (t *tree) add(at slot, birth kv.Stamp) *node {
	t.lastID++
	n := &node{id: t.lastID, kind: at.kind, at: at, birth: birth}
	if at.kind != kindFile {
		n.dir = &dirState{}
	}
	n.ino = t.inoOf(n)
	at.parent.children++
	t.byID[n.id] = n
	t.bySlot[at] = n
	if at.kind == kindFile && !n.isValue() {
		t.byBirth[birth] = n
	}
	return n
}

// inoOf is the number under which a node is first shown.
func (t *tree) inoOf(n *node) uint64 {
	if n.birth == 0 || n.isValue() {
		return t.hashIno(n.kind, n.key(nil), n.at.comp)
	}
	return uint64(n.birth)
}

// hashIno numbers what has no birth of its own.
func (t *tree) hashIno(kind nodeKind, key []byte, comp string) uint64 {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 16+len(key)), uint64(t.inoKey))
	b = append(append(b, byte(kind)), key...)
	if kind == kindVirtual {
		b = append(append(b, '/'), comp...)
	}
	sum := sha256.Sum256(b)
	return hashedInoBase | binary.BigEndian.Uint64(sum[:8])&(hashedInoBase-1)
}

// move gives a node another place; who was there is gone.
func (t *tree) move(n *node, to slot) {
	if n.at == to && !n.gone {
		return
	}
	if other := t.bySlot[to]; other != nil && other != n {
		t.detach(other)
	}
	if !n.gone {
		t.unslot(n)
		t.unfresh(n) // what the store has moved is in the store
	}
	t.renamings++
	n.gone = false
	from := n.at.parent
	n.at = to
	to.parent.children++
	t.bySlot[to] = n
	t.shiftFresh(n, from, to.parent)
	from.children--
	t.prune(from)
}

// shiftFresh keeps the counts of uncommitted files right when a directory moves.
func (t *tree) shiftFresh(n, from, to *node) {
	if n.dir == nil || n.dir.freshBelow == 0 {
		return
	}
	addFreshBelow(from, -n.dir.freshBelow)
	addFreshBelow(to, n.dir.freshBelow)
}

// detach takes a node's name away: removed, or replaced by another pair.
func (t *tree) detach(n *node) {
	if n.gone {
		return
	}
	t.unslot(n)
	t.renamings++
	n.gone = true
	t.unfresh(n)
}

func (t *tree) unslot(n *node) {
	if t.bySlot[n.at] == n {
		delete(t.bySlot, n.at)
	}
}

// rebirth says that a node's pair has this birth now.
func (t *tree) rebirth(n *node, birth kv.Stamp) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.kind == kindFile && !n.isValue() {
		if t.byBirth[n.birth] == n {
			delete(t.byBirth, n.birth)
		}
		t.byBirth[birth] = n
	}
	n.birth = birth
}

// forget takes back lookups. With the last one, a file that lingers is given
// back to be let go.
func (t *tree) forget(id, lookups uint64) *file {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.byID[id]
	if n == nil {
		return nil
	}
	n.lookups -= min(lookups, n.lookups)
	if n.lookups == 0 && n.lingers {
		n.lingers = false
		return n.file
	}
	t.prune(n)
	return nil
}

// prune drops a node that nobody needs, and those above that it alone held.
func (t *tree) prune(n *node) {
	for n != nil && !n.held() && t.byID[n.id] == n {
		delete(t.byID, n.id)
		t.unslot(n)
		if t.byBirth[n.birth] == n {
			delete(t.byBirth, n.birth)
		}
		parent := n.at.parent
		parent.children--
		n = parent
	}
}

// findKey gives the node of a pair's key, if there is one.
func (t *tree) findKey(key []byte) *node {
	cut := bytes.LastIndexByte(key, '/') + 1
	dir := t.findPrefix(key[:cut])
	if dir == nil {
		return nil
	}
	return t.bySlot[slot{dir, kindFile, string(key[cut:])}]
}

// findPrefix gives the node of a directory's prefix, if there is one.
func (t *tree) findPrefix(prefix []byte) *node {
	n := t.byID[rootID]
	rest := string(prefix)
	for rest != "" && n != nil {
		var comp string
		comp, rest, _ = strings.Cut(rest, "/")
		n = t.bySlot[slot{n, kindDir, comp}]
	}
	return n
}

// count is the number of nodes, the root included.
func (t *tree) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byID)
}
