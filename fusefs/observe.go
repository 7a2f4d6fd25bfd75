package fusefs

import (
	"context"

	"kivaloo/kvstore/kv"
)

// Changed implements kv.Observer. Nodes follow what others have moved at once;
// the kernel is told, and the answer to who made the change let go, by a
// goroutine of its own: the kernel takes locks that requests hold.
func (fs *fileSystem) Changed(changes []kv.Change, done func()) {
	stale := map[*node]bool{}
	fs.tree.mu.Lock()
	for i := range changes {
		fs.tree.follow(&changes[i], stale)
	}
	fs.tree.mu.Unlock()
	fs.notifiers.Add(1)
	go func() {
		defer fs.notifiers.Done()
		defer done()
		for n := range stale {
			fs.tellKernel(n)
		}
	}()
}

// follow brings the tree up to date with one change of others, and collects the
// open nodes whose contents or place have changed.
func (t *tree) follow(c *kv.Change, stale map[*node]bool) {
	switch c.Op {
	case kv.Moved:
		t.followMove(c, stale)
	case kv.PrefixMoved:
		t.followPrefix(c, stale)
	case kv.Changed, kv.MetaChanged, kv.Deleted:
		if n := t.findKey(c.Key); n != nil && n.file != nil {
			stale[n] = true
		}
	}
}

// followMove gives a node the place that its pair has now. Where the tree has no
// node for the new directory, it makes one that nobody holds but this.
func (t *tree) followMove(c *kv.Change, stale map[*node]bool) {
	n := t.byBirth[c.Birth]
	if n == nil || c.Birth == 0 || n.kind != kindFile {
		return
	}
	stale[n] = true
	if to, ok := t.slotFor(c.To, kindFile); ok {
		t.move(n, to)
	}
}

func (t *tree) followPrefix(c *kv.Change, stale map[*node]bool) {
	if len(c.Key) == 0 || c.Key[len(c.Key)-1] != '/' || len(c.To) == 0 || c.To[len(c.To)-1] != '/' {
		t.followKeys(c, stale)
		return
	}
	n := t.findPrefix(c.Key)
	if n == nil || n.isRoot() {
		return
	}
	if to, ok := t.slotFor(c.To, kindDir); ok {
		t.move(n, to)
		stale[n] = true
	}
}

// followKeys follows the move of a prefix that is no directory's: each open file
// below it by itself.
func (t *tree) followKeys(c *kv.Change, stale map[*node]bool) {
	for n := range t.open {
		key := n.key(nil)
		if n.gone || len(key) < len(c.Key) || string(key[:len(c.Key)]) != string(c.Key) {
			continue
		}
		to, ok := t.slotFor(append(append([]byte(nil), c.To...), key[len(c.Key):]...), kindFile)
		if ok {
			t.move(n, to)
			stale[n] = true
		}
	}
}

// slotFor is the slot of a key or prefix, with nodes for the directories above.
func (t *tree) slotFor(key []byte, kind nodeKind) (slot, bool) {
	rest := string(key)
	if kind == kindDir {
		rest = rest[:len(rest)-1]
	}
	dir := t.byID[rootID]
	for i := 0; i < len(rest); i++ {
		if rest[i] != '/' {
			continue
		}
		at := slot{dir, kindDir, rest[:i]}
		if dir = t.bySlot[at]; dir == nil {
			dir = t.add(at, 0)
		}
		rest, i = rest[i+1:], -1
	}
	if kind == kindFile && rest == "" && !dir.isRoot() {
		return slot{}, false // a marker
	}
	return slot{dir, kind, rest}, true
}

// tellKernel drops what the kernel may hold of an open file: pages of a mapping.
// Then it follows the file to its new key.
func (fs *fileSystem) tellKernel(n *node) {
	if n.kind == kindFile {
		if s := fs.server.Load(); s != nil {
			s.InodeNotify(n.id, 0, 0)
		}
	}
	fs.remarkNode(n)
}

// begin starts what runs beside the requests.
func (fs *fileSystem) begin() error {
	fs.timerDone = make(chan struct{})
	go fs.runTimer()
	return fs.session.Observe(fs)
}

// shutDown commits what is left and ends the session. The store is the caller's.
func (fs *fileSystem) shutDown() error {
	close(fs.stop)
	<-fs.timerDone
	err := fs.commitAll(context.Background())
	if closeErr := fs.session.Close(); err == nil {
		err = closeErr
	}
	fs.notifiers.Wait()
	return err
}
