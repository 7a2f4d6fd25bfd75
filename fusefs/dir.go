package fusefs

import (
	"bytes"
	"context"
	"hash/maphash"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// Read positions as the kernel has them: an entry's is a hash of its name, so
// that every handle of a directory gives it the same.
const (
	cookieDot    = 1
	cookieDotDot = 2
	cookieBase   = uint64(1) << 62
)

// A dirHandle is an open directory.
type dirHandle struct {
	dir *node

	mu sync.Mutex
	// lister goes on where the last reply ended, at this cookie.
	lister *lister
	cookie uint64
	// given are the positions of the last reply: the kernel may take back a part
	// of it.
	given map[uint64]position
}

func (fs *fileSystem) openDir(dir *node) uint64 {
	fs.tree.mu.Lock()
	dir.opens++
	fs.tree.mu.Unlock()
	fs.handles.mu.Lock()
	defer fs.handles.mu.Unlock()
	fs.handles.last++
	fs.handles.dirs[fs.handles.last] = &dirHandle{dir: dir}
	return fs.handles.last
}

func (fs *fileSystem) closeDir(fh uint64) {
	fs.handles.mu.Lock()
	h := fs.handles.dirs[fh]
	delete(fs.handles.dirs, fh)
	fs.handles.mu.Unlock()
	if h != nil {
		fs.tree.letGo(h.dir)
	}
}

func (hs *handles) dir(fh uint64) (*dirHandle, error) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if h := hs.dirs[fh]; h != nil {
		return h, nil
	}
	return nil, syscall.EBADF
}

// readDir fills a reply with the entries after a position.
func (fs *fileSystem) readDir(ctx context.Context, h *dirHandle, offset uint64, out *fuse.DirEntryList) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if offset < cookieDotDot && !fs.addDots(h.dir, offset, out) {
		return nil
	}
	if err := fs.seek(ctx, h, offset); err != nil {
		return err
	}
	if h.lister == nil {
		return nil
	}
	h.given = map[uint64]position{}
	for {
		it, err := h.lister.next(ctx)
		if err != nil || it == nil {
			return err
		}
		cookie := fs.cookieOf(it.name)
		if !out.AddDirEntry(fuse.DirEntry{Name: it.name, Ino: it.ino, Mode: it.mode, Off: cookie}) {
			h.lister.unread = it
			return nil
		}
		h.cookie = cookie
		h.given[cookie] = it.after
		fs.positions.add(h.dir.id, cookie, it.after)
	}
}

func (fs *fileSystem) addDots(dir *node, offset uint64, out *fuse.DirEntryList) bool {
	fs.tree.mu.Lock()
	parent := dir.at.parent
	if parent == nil {
		parent = dir
	}
	ino, parentIno := dir.ino, parent.ino
	fs.tree.mu.Unlock()
	if offset < cookieDot && !out.AddDirEntry(fuse.DirEntry{Name: ".", Ino: ino, Mode: syscall.S_IFDIR, Off: cookieDot}) {
		return false
	}
	return out.AddDirEntry(fuse.DirEntry{Name: "..", Ino: parentIno, Mode: syscall.S_IFDIR, Off: cookieDotDot})
}

func (fs *fileSystem) cookieOf(name string) uint64 {
	return maphash.String(fs.cookieSeed, name)&(cookieBase-1) | cookieBase
}

// seek makes the handle's lister stand at a position. A directory that is gone
// has nothing to list.
func (fs *fileSystem) seek(ctx context.Context, h *dirHandle, offset uint64) error {
	place, err := fs.tree.place(h.dir)
	if err != nil {
		h.lister = nil
		return nil
	}
	if h.lister != nil && offset > cookieDotDot && offset == h.cookie && bytes.Equal(place.Prefix, h.lister.place.Prefix) {
		return nil // else the directory has been renamed, or the program seeks
	}
	at, found := h.given[offset]
	if !found {
		at, found = fs.positions.get(h.dir.id, offset)
	}
	h.lister = &lister{fs: fs, dir: h.dir.real(), place: place, at: at}
	if found || offset <= cookieDotDot {
		return nil
	}
	return fs.search(ctx, h.lister, offset)
}

// search goes through the directory up to an entry whose position was given so
// long ago that it is forgotten. If the entry is gone too, the listing begins
// anew: better twice than not at all.
func (fs *fileSystem) search(ctx context.Context, l *lister, cookie uint64) error {
	start := *l
	for {
		it, err := l.next(ctx)
		if err != nil {
			return err
		}
		if it == nil {
			*l = start
			return nil
		}
		if fs.cookieOf(it.name) == cookie {
			return nil
		}
	}
}
