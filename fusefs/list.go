package fusefs

import (
	"bytes"
	"context"
	"syscall"

	"kivaloo/fusefs/namespace"
	"kivaloo/kvstore/kv"
)

// listPageEntries is how many entries are read ahead: enough for a reply.
const listPageEntries = 512

// A lister goes through a directory in the order of the keys: what is in the
// store, and between it what has been created and not been committed. It skips
// from sub-directory to sub-directory, so that its cost is the number of
// entries, and holds one page of them.
type lister struct {
	fs    *fileSystem
	dir   *node // the real directory
	place namespace.Dir
	at    position

	page []listed
	// done: there is nothing after the page.
	done bool
	// unread is an item that did not fit into a reply.
	unread *item
}

// A position is a place between two entries.
type position struct {
	// next is the first key that may be the next entry's, without the directory's
	// prefix, which can change; "": from the start.
	next string
	// virtual is the last virtual directory that was listed: many keys lead to it.
	virtual string
}

// A listed is an entry as it was read.
type listed struct {
	pair  kv.Pair
	fresh bool
	also  namespace.Also // the pair is a directory too
}

// An item is an entry as it is shown.
type item struct {
	name  string
	ino   uint64
	mode  uint32 // the type bits
	after position
}

// next gives the next entry, nil at the end.
func (l *lister) next(ctx context.Context) (*item, error) {
	if it := l.unread; it != nil {
		l.unread = nil
		return it, nil
	}
	for {
		if len(l.page) == 0 {
			if l.done {
				return nil, nil
			}
			if err := l.fill(ctx); err != nil {
				return nil, err
			}
			continue
		}
		e := l.page[0]
		l.page = l.page[1:]
		it, err := l.show(ctx, &e)
		if err != nil || it != nil {
			return it, err
		}
	}
}

// fill reads the next page.
func (l *lister) fill(ctx context.Context) error {
	from, to := l.place.Bounds()
	if l.at.next != "" {
		from = l.place.AppendKey(nil, l.at.next)
	}
	if to != nil && bytes.Compare(from, to) >= 0 {
		l.done = true
		return nil
	}
	// Before the store: what is committed in between is found there.
	fresh := l.fs.tree.freshAfter(l.dir, l.component(from))
	page, err := l.fs.store.Scan(ctx, kv.ScanRequest{
		Start: from, End: to, Delimiter: []byte{'/'}, Skip: len(l.place.Prefix),
		Limit: listPageEntries, Want: kv.WantStamps,
	})
	if err != nil {
		return err
	}
	l.done = !page.More
	l.page = l.page[:0]
	for i := range page.Entries {
		l.page = append(l.page, listed{pair: page.Entries[i], also: alsoDir(&page, i)})
	}
	l.mergeFresh(fresh, page.Next)
	if page.More {
		l.at.next = l.component(page.Next)
	}
	return nil
}

// component is what a key of the directory has after its prefix.
func (l *lister) component(key []byte) string {
	return string(key[min(len(key), len(l.place.Prefix)):])
}

// alsoDir judges whether a pair is a directory too, from what follows it.
func alsoDir(page *kv.ScanPage, i int) namespace.Also {
	if i+1 < len(page.Entries) {
		return namespace.AlsoDir(page.Entries[i].Key, page.Entries[i+1].Key)
	}
	if page.More {
		return namespace.AlsoAsk
	}
	return namespace.AlsoNo
}

// mergeFresh adds to the page the uncommitted files whose keys lie in it.
func (l *lister) mergeFresh(fresh []string, next []byte) {
	at := 0
	for _, comp := range fresh {
		key := l.place.AppendKey(nil, comp)
		if !l.done && bytes.Compare(key, next) >= 0 {
			break
		}
		for at < len(l.page) && bytes.Compare(l.page[at].pair.Key, key) < 0 {
			at++
		}
		if at < len(l.page) && bytes.Equal(l.page[at].pair.Key, key) {
			continue
		}
		l.page = append(l.page, listed{})
		copy(l.page[at+1:], l.page[at:])
		l.page[at] = listed{pair: kv.Pair{Key: key}, fresh: true, also: namespace.AlsoAsk}
	}
}

// show makes an item of what was read, or nil of what the directory does not show.
func (l *lister) show(ctx context.Context, e *listed) (*item, error) {
	comp, found := l.place.Entry(e.pair.Key)
	it := &item{mode: syscall.S_IFDIR}
	kind := namespace.Main
	switch found {
	case namespace.FoundNothing:
		return nil, nil
	case namespace.FoundMarker:
		if e.pair.Size == 0 {
			return nil, nil
		}
		kind = namespace.Value
	case namespace.FoundPair:
		also, err := l.isDirToo(ctx, e)
		if err != nil {
			return nil, err
		}
		if also {
			kind = namespace.Beside
		}
	}
	name, virtual, ok, err := l.nameOf(ctx, kind, comp)
	if err != nil || !ok || virtual && name == l.at.virtual {
		return nil, err
	}
	it.name = name
	at := slot{l.dir, kindDir, string(comp)}
	switch {
	case virtual:
		l.at.virtual = name
		at.kind, at.comp = kindVirtual, l.cutOf(name)
	case found != namespace.FoundDir:
		at.kind, it.mode = kindFile, l.typeOf(e, kind)
	}
	it.after = position{next: l.component(l.after(e, found, comp)), virtual: l.at.virtual}
	it.ino, err = l.fs.listedIno(ctx, at, &e.pair, &l.place)
	return it, err
}

// after is the first key that is not the entry's.
func (l *lister) after(e *listed, found namespace.Found, comp []byte) []byte {
	if found == namespace.FoundDir {
		return l.place.AppendAfter(nil, comp)
	}
	return append(append(make([]byte, 0, len(e.pair.Key)+1), e.pair.Key...), 0)
}

func (l *lister) cutOf(name string) string {
	if look, err := l.place.Lookup(name); err == nil {
		return look.Plain.Cut
	}
	return ""
}

// isDirToo answers, with a look at the store where the page does not tell,
// whether a pair is a directory as well.
func (l *lister) isDirToo(ctx context.Context, e *listed) (bool, error) {
	if e.also != namespace.AlsoAsk {
		return e.also == namespace.AlsoYes, nil
	}
	prefix := append(append(make([]byte, 0, len(e.pair.Key)+1), e.pair.Key...), '/')
	if namespace.CheckKey(prefix) != nil {
		return false, nil
	}
	_, found, err := l.fs.firstBelow(ctx, prefix)
	return found, err
}

func (l *lister) nameOf(ctx context.Context, kind namespace.Kind, comp []byte) (name string, virtual, ok bool, err error) {
	shifted := false
	if kind == namespace.Main {
		if rival := l.place.Rival(comp); rival.Kind != namespace.None {
			e, err := l.fs.resolveTarget(ctx, l.dir, &l.place, rival)
			if err != nil {
				return "", false, false, err
			}
			shifted = e.found
		}
	}
	b, virtual, ok := l.place.AppendName(nil, kind, comp, shifted)
	return string(b), virtual, ok, nil
}

// typeOf is the type of a file. Metadata that cannot be read show as a regular
// file: stat will say more.
func (l *lister) typeOf(e *listed, kind namespace.Kind) uint32 {
	if e.fresh || kind == namespace.Value {
		return syscall.S_IFREG
	}
	a, err := decodeMeta(&e.pair)
	if err != nil {
		return syscall.S_IFREG
	}
	p := l.fs.opts.fileAttr(&e.pair, &a)
	return p.mode & syscall.S_IFMT
}

// listedIno is the number that stat shows for an entry: that of its node, if it
// has one already.
func (fs *fileSystem) listedIno(ctx context.Context, at slot, pair *kv.Pair, place *namespace.Dir) (uint64, error) {
	fs.tree.mu.Lock()
	n := fs.tree.bySlot[at]
	fs.tree.mu.Unlock()
	if n != nil {
		return n.ino, nil // set when the node was made, never changed
	}
	probe := node{kind: at.kind, at: at, birth: pair.Birth}
	if at.kind == kindDir {
		marker, err := fs.store.Get(ctx, kv.GetRequest{Key: place.AppendPrefix(nil, at.comp), Want: kv.WantStamps})
		if err != nil && errnoOf(err) != syscall.ENOENT {
			return 0, err
		}
		probe.birth = marker.Birth
	}
	fs.tree.mu.Lock()
	defer fs.tree.mu.Unlock()
	return fs.tree.inoOf(&probe), nil
}
