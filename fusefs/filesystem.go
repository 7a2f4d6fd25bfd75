package fusefs

import (
	"context"
	"errors"
	"hash/maphash"
	"log"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/hanwen/go-fuse/v2/fuse"

	"kivaloo/fusefs/namespace"
	"kivaloo/kvstore/kv"
)

// A fileSystem is the state of a mount.
type fileSystem struct {
	opts    Options
	store   kv.Store
	session kv.Session
	log     *slog.Logger
	// server talks to the kernel; nil until the mount is made.
	server atomic.Pointer[fuse.Server]

	tree      *tree
	handles   handles
	unsaved   unsaved
	marks     marks
	positions positions
	// cookieSeed keys the hash of read positions.
	cookieSeed maphash.Seed
	// began is the mtime of a directory of which nothing is known.
	began kv.Stamp

	// paths is held shared by who turns nodes into keys and goes to the store with
	// them, alone by who renames a directory. Nobody takes it twice.
	paths sync.RWMutex

	stop      chan struct{}
	timerDone chan struct{}
	notifiers sync.WaitGroup
}

func newFileSystem(o Options) (*fileSystem, error) {
	ctx := context.Background()
	began, err := o.Store.Stamp(ctx)
	if err != nil {
		return nil, err
	}
	root, err := o.Store.Get(ctx, kv.GetRequest{Space: kv.Root, Want: kv.WantStamps})
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		return nil, err
	}
	session, err := o.Store.Session(ctx)
	if err != nil {
		return nil, err
	}
	fs := &fileSystem{
		opts: o, store: o.Store, session: session, log: o.Logger,
		tree: newTree(root.Birth), handles: newHandles(),
		unsaved:    unsaved{files: map[*file]bool{}},
		marks:      marks{session: session, count: map[string]int{}},
		positions:  positions{known: map[positionKey]position{}},
		cookieSeed: maphash.MakeSeed(), began: began,
		stop: make(chan struct{}),
	}
	if err := fs.begin(); err != nil {
		return nil, errors.Join(err, session.Close())
	}
	return fs, nil
}

// statFs answers df.
func (fs *fileSystem) statFs(ctx context.Context, out *fuse.StatfsOut) error {
	u, err := fs.store.Space(ctx)
	if err != nil {
		return err
	}
	// Pairs is a bound; there is no limit to their number but space. A file takes
	// a hundred bytes or so.
	const bytesPerFile = 128
	free := max(u.FreeBytes, 0)
	*out = fuse.StatfsOut{
		Bsize: ioBytes, Frsize: ioBytes,
		Blocks: uint64(max(u.FileBytes, free) / ioBytes),
		Bfree:  uint64(free / ioBytes), Bavail: uint64(free / ioBytes),
		Files: uint64(max(u.Pairs, 0)) + uint64(free)/bytesPerFile, Ffree: uint64(free) / bytesPerFile,
		NameLen: namespaceNameLen,
	}
	return nil
}

// namespaceNameLen is what tools take for the limit; names up to
// namespace.NameBytesMax work.
const namespaceNameLen = min(255, namespace.NameBytesMax)

// stdLogger carries what go-fuse logs.
func stdLogger(l *slog.Logger) *log.Logger {
	return slog.NewLogLogger(l.Handler(), slog.LevelWarn)
}
