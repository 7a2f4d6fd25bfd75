package fusefs

import (
	"context"
	"errors"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"kivaloo/fusefs/attr"
	"kivaloo/fusefs/namespace"
	"kivaloo/kvstore/kv"
)

// generation goes with every node id. Ids are never reused, so it never changes.
const generation = 1

// errOvertaken: what was read of the store is older than what the tree knows.
var errOvertaken = errors.New("renamed since it was looked up")

// lookup finds a name and answers its node.
func (fs *fileSystem) lookup(ctx context.Context, dir *node, name string, out *fuse.EntryOut) error {
	for range commitTriesMax {
		if err := fs.lookupOnce(ctx, dir, name, out); err != errOvertaken {
			return err
		}
	}
	return syscall.ESTALE
}

func (fs *fileSystem) lookupOnce(ctx context.Context, dir *node, name string, out *fuse.EntryOut) error {
	e, err := fs.resolve(ctx, dir, name)
	if err != nil {
		return err
	}
	switch {
	case e.found:
		return fs.answer(ctx, &e, out)
	case errors.Is(e.err, namespace.ErrKeyTooLong):
		return e.err
	}
	return syscall.ENOENT
}

// answer enters what was found into the tree and gives its node to the kernel.
func (fs *fileSystem) answer(ctx context.Context, e *entry, out *fuse.EntryOut) error {
	n := fs.enter(e)
	if n == nil {
		return errOvertaken
	}
	p, err := fs.entryAttr(ctx, n, e)
	if err != nil {
		fs.forget(n.id, 1)
		return err
	}
	fillEntry(n, &p, out)
	return nil
}

func (fs *fileSystem) enter(e *entry) *node {
	if e.fresh == nil {
		return fs.tree.enter(e.at, e.birth(), e.renamings)
	}
	return fs.tree.enterFresh(e.fresh)
}

// enterFresh counts a lookup of a file that was not committed a moment ago. By
// now it may be, closed and forgotten too: then the name must be resolved again.
func (t *tree) enterFresh(n *node) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID[n.id] != n {
		return nil
	}
	n.lookups++
	return n
}

func fillEntry(n *node, p *pairAttr, out *fuse.EntryOut) {
	out.NodeId, out.Generation = n.id, generation
	p.fill(&out.Attr)
}

// entryAttr is attrOf without reading again what resolve has read.
func (fs *fileSystem) entryAttr(ctx context.Context, n *node, e *entry) (pairAttr, error) {
	if !e.hasPair || n.kind == kindVirtual || n.isValue() || n.kind == kindFile && fs.tree.openFile(n) != nil {
		return fs.attrOf(ctx, n)
	}
	a, err := decodeMeta(&e.pair)
	if err != nil {
		return pairAttr{}, err
	}
	fs.tree.mu.Lock()
	defer fs.tree.mu.Unlock()
	var p pairAttr
	if n.kind == kindDir {
		p = fs.shownDir(e.pair, n.dir.touched, &a)
	} else {
		p = fs.opts.fileAttr(&e.pair, &a)
	}
	p.ino = n.ino
	return p, nil
}

// dirAttrOf gives what stat shows of a directory.
func (fs *fileSystem) dirAttrOf(ctx context.Context, n *node) (pairAttr, error) {
	fs.tree.mu.Lock()
	gone, last, key, birth := n.gone, n.dir.last, n.key(nil), n.birth
	touched := n.dir.touched
	fs.tree.mu.Unlock()
	switch {
	case gone && last != nil:
		return *last, nil
	case gone:
		return pairAttr{}, syscall.ESTALE
	}
	pair, err := fs.markerOf(ctx, n, key)
	if err != nil {
		return pairAttr{}, err
	}
	if birth != 0 && pair.Birth != 0 && pair.Birth != birth {
		return pairAttr{}, syscall.ESTALE
	}
	if pair.Birth != 0 && birth == 0 && !n.isRoot() {
		fs.tree.rebirth(n, pair.Birth)
	}
	a, err := decodeMeta(&pair)
	if err != nil {
		return pairAttr{}, err
	}
	return fs.shownDir(pair, touched, &a), nil
}

// shownDir shows a directory that has perhaps no marker, or one that does not
// know yet of the last name that came or went.
func (fs *fileSystem) shownDir(pair kv.Pair, touched kv.Stamp, a *attr.Attr) pairAttr {
	if pair.Birth == 0 {
		touched = max(touched, fs.began)
	}
	if touched > pair.Modified {
		pair.Modified, pair.Version, pair.Brought = touched, max(pair.Version, touched), true
	}
	return fs.opts.dirAttr(&pair, a)
}

// markerOf reads a directory's marker. The pair is empty where it has none, and
// the error ESTALE where there is no directory any more.
func (fs *fileSystem) markerOf(ctx context.Context, n *node, key []byte) (kv.Pair, error) {
	if n.isRoot() {
		pair, err := fs.store.Get(ctx, kv.GetRequest{Space: kv.Root, Want: kv.WantStamps})
		if err != nil && errnoOf(err) == syscall.ENOENT {
			return kv.Pair{}, nil
		}
		return pair, err
	}
	fresh := fs.tree.hasFresh(n) // before the store: they may be committed in between
	first, found, err := fs.firstBelow(ctx, key)
	switch {
	case err != nil:
		return kv.Pair{}, err
	case !found && !fresh:
		return kv.Pair{}, syscall.ESTALE
	case found && len(first.Key) == len(key):
		return first, nil
	}
	return kv.Pair{}, nil
}
