package fusefs

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"

	"kivaloo/fusefs/attr"
	"kivaloo/kvstore/kv"
)

// A fileState says where the pair of an open file is.
type fileState uint8

const (
	// stored: under its key.
	stored fileState = iota
	// fresh: nowhere yet; the name is known to the mount alone.
	fresh
	// orphan: deleted, and kept in space Orphan by our pin.
	orphan
	// unnamed: nowhere, and never will be: unlinked before the first commit. The
	// buffer is all there is.
	unnamed
	// lost: nowhere, because its first commit failed.
	lost
)

// A file is what is open or unsaved of one pair.
type file struct {
	n *node

	// turn is held by who changes the pair or its name, across the commit.
	turn chan struct{}

	mu    sync.Mutex
	state fileState
	// excl: created with O_EXCL. If the key appears, ours is the one too many.
	excl bool
	// attr is that of a file without a pair.
	attr attr.Attr
	buf  buffer
	// flushing is the buffer that is being committed, below buf.
	flushing *buffer
	// layers counts changes of what the buffers are laid over.
	layers uint64
	// since is when buf became dirty.
	since time.Time
	// writers are the handles open for writing: each learns of a failed commit.
	writers map[*handle]struct{}
	// pin is the birth under which the pair is pinned, 0 while it is not, and
	// mark the key whose changes we are told of.
	pin  kv.Stamp
	mark []byte
}

func newFile(n *node, state fileState) *file {
	return &file{
		n: n, state: state, turn: make(chan struct{}, 1),
		buf: newBuffer(), writers: map[*handle]struct{}{},
	}
}

func (f *file) takeTurn() { f.turn <- struct{}{} }
func (f *file) endTurn()  { <-f.turn }

// hasPair says that there is something in the store to read.
func (s fileState) hasPair() bool { return s == stored || s == orphan }

// named says that the file has a name that leads to it.
func (s fileState) named() bool { return s == stored || s == fresh }

// hold finds or makes the file of a node and counts an opening.
func (t *tree) hold(n *node) *file {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.file == nil {
		n.file = newFile(n, stored)
		t.open[n] = struct{}{}
	}
	n.opens++
	return n.file
}

// openFile is the file of a node that is open, or nil.
func (t *tree) openFile(n *node) *file {
	t.mu.Lock()
	defer t.mu.Unlock()
	return n.file
}

// letGo takes an opening back, and says whether it was the last.
func (t *tree) letGo(n *node) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	n.opens--
	if n.opens > 0 {
		return false
	}
	n.file = nil
	delete(t.open, n)
	t.prune(n)
	return true
}

// relocateTriesMax bounds the wait for the news of where a pair has gone: it is
// told before whoever moved it is answered, so it is on its way.
const (
	relocateTriesMax = 200
	relocateDelay    = 5 * time.Millisecond
)

// get reads a part of the pair of an open file, wherever it is. A file without a
// pair gives an empty one.
func (fs *fileSystem) get(ctx context.Context, f *file, req kv.GetRequest) (kv.Pair, error) {
	for try := 0; ; try++ {
		pair, err := fs.getOnce(ctx, f, req)
		if err == nil || !errors.Is(err, errMoved) {
			return pair, err
		}
		if try > commitTriesMax {
			return kv.Pair{}, syscall.ESTALE
		}
		if err := fs.relocate(ctx, f, try); err != nil {
			return kv.Pair{}, err
		}
	}
}

// errMoved: the pair is not where the tree says, or a pair is where none was.
var errMoved = errors.New("the pair has moved")

func (fs *fileSystem) getOnce(ctx context.Context, f *file, req kv.GetRequest) (kv.Pair, error) {
	state, birth, key, err := fs.whereIs(f)
	if err != nil {
		return kv.Pair{}, err
	}
	switch state {
	case unnamed, lost:
		return kv.Pair{Birth: birth}, nil
	case orphan:
		req.Space, req.Key = kv.Orphan, kv.OrphanKey(birth)
	default:
		req.Key = key
	}
	pair, err := fs.store.Get(ctx, req)
	found := err == nil && pair.Birth == birth
	switch {
	case err != nil && !errors.Is(err, kv.ErrNotFound):
		return kv.Pair{}, err
	case state == fresh && (err != nil || f.excl):
		return kv.Pair{Birth: birth}, nil
	case state == fresh:
		fs.adopt(ctx, f, &pair)
		return kv.Pair{}, errMoved
	case !found && state == orphan:
		return kv.Pair{}, syscall.ESTALE // its last close has come in between
	case !found:
		return kv.Pair{}, errMoved
	}
	return pair, nil
}

// whereIs gives a file's state, birth and, if it has a name, its key.
func (fs *fileSystem) whereIs(f *file) (fileState, kv.Stamp, []byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fs.tree.mu.Lock()
	defer fs.tree.mu.Unlock()
	if f.state.named() {
		return f.state, f.n.birth, f.n.key(nil), nil
	}
	return f.state, f.n.birth, nil, nil
}

// relocate looks for a pair that is not where it was: among the orphans, else
// it waits for the news of where it is.
func (fs *fileSystem) relocate(ctx context.Context, f *file, try int) error {
	if fs.waitMoving(f.n) {
		return nil
	}
	state, birth, _, err := fs.whereIs(f)
	if err != nil || state != stored {
		return err
	}
	_, err = fs.store.Get(ctx, kv.GetRequest{Space: kv.Orphan, Key: kv.OrphanKey(birth), Want: kv.WantStamps})
	if err == nil {
		fs.orphaned(f)
		return nil
	}
	if !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	if try >= relocateTriesMax {
		return syscall.ESTALE
	}
	if try > 0 {
		time.Sleep(relocateDelay)
	}
	return nil
}

// waitMoving waits for the rename of a node that is under way, if one is.
func (fs *fileSystem) waitMoving(n *node) bool {
	fs.tree.mu.Lock()
	moving := n.moving
	fs.tree.mu.Unlock()
	if moving != nil {
		<-moving
	}
	return moving != nil
}

// orphaned says that a file's pair has no name any more.
func (fs *fileSystem) orphaned(f *file) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch f.state {
	case stored:
		f.state = orphan
	case fresh:
		f.state = unnamed
	}
	fs.detach(f.n)
}

// detach takes a node's name away.
func (fs *fileSystem) detach(n *node) {
	fs.tree.mu.Lock()
	defer fs.tree.mu.Unlock()
	fs.tree.detach(n)
}

// adopt makes a fresh file the pair that a native client has put under its key.
// What was only created is theirs now; what was written stays ours.
func (fs *fileSystem) adopt(ctx context.Context, f *file, pair *kv.Pair) {
	f.mu.Lock()
	if f.state != fresh {
		f.mu.Unlock()
		return
	}
	f.state = stored
	f.layers++
	f.buf.disown()
	if !f.buf.wrote {
		f.buf.mtime = 0
	}
	f.mu.Unlock()
	fs.tree.rebirth(f.n, pair.Birth)
	fs.tree.mu.Lock()
	fs.tree.unfresh(f.n)
	fs.tree.mu.Unlock()
	if err := fs.pin(ctx, f); err != nil {
		fs.log.Debug("adopted pair is gone", "path", fs.tree.describe(f.n), "error", err)
	}
}

// pin keeps a file's pair while it is open, and asks for its changes.
func (fs *fileSystem) pin(ctx context.Context, f *file) error {
	_, birth, key, err := fs.whereIs(f)
	if err != nil {
		return err
	}
	if f.isPinned() || key == nil {
		return nil
	}
	fs.marks.add(key)
	if err := fs.session.Pin(ctx, key, birth); err != nil {
		fs.marks.remove(key)
		return err
	}
	if !f.pinnedAs(birth, key) { // another opener was first
		fs.marks.remove(key)
		return fs.session.Unpin(ctx, birth)
	}
	return nil
}

func (f *file) isPinned() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pin != 0
}

func (f *file) pinnedAs(birth kv.Stamp, key []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pin != 0 {
		return false
	}
	f.pin, f.mark = birth, key
	return true
}

// unpin ends what pin began.
func (fs *fileSystem) unpin(ctx context.Context, f *file) {
	f.mu.Lock()
	birth, key := f.pin, f.mark
	f.pin, f.mark = 0, nil
	f.mu.Unlock()
	if birth == 0 {
		return
	}
	fs.marks.remove(key)
	if err := fs.session.Unpin(ctx, birth); err != nil && !errors.Is(err, kv.ErrClosed) {
		fs.log.Error("unpin", "birth", birth, "error", err)
	}
}

// remark follows a file's pair to another key.
func (fs *fileSystem) remark(f *file, key []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pin == 0 {
		return
	}
	fs.marks.add(key)
	fs.marks.remove(f.mark)
	f.mark = key
}

// marks counts the keys whose changes we have asked for: the store does not
// count.
type marks struct {
	session kv.Session
	mu      sync.Mutex
	count   map[string]int
}

func (m *marks) add(key []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.count[string(key)]++; m.count[string(key)] == 1 {
		m.session.MarkPrefix(key)
	}
}

func (m *marks) remove(key []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.count[string(key)]--; m.count[string(key)] == 0 {
		delete(m.count, string(key))
		m.session.Unmark(key)
	}
}
