package fusefs

import "context"

// Between the lookup and the open of a name, a rename can put another file
// there. On a local filesystem the open then gets the old file; here its pair
// would be gone, and open(2) would fail where readers of files that are replaced
// by rename expect that it never does. So a pair that is replaced is kept, as an
// orphan, until the kernel forgets its node, which it does at once if nobody is
// on the way to it.

// keepTarget holds what is under the new name. The kernel may not know it yet: a
// lookup may be on its way to the tree.
func (r *renaming) keepTarget(ctx context.Context) *file {
	if !r.to.hasPair {
		return nil
	}
	n := r.fs.tree.enter(r.to.at, r.to.birth(), r.to.renamings)
	if n == nil {
		return nil // it is not there any more: the rename's guards will say so
	}
	f := r.fs.tree.hold(n)
	r.fs.forget(n.id, 1)
	if err := r.fs.pin(ctx, f); err != nil {
		r.fs.closeFile(ctx, f)
		return nil
	}
	return f
}

// linger keeps a file that was held until the kernel forgets it; if it was not
// replaced after all, it is let go.
func (fs *fileSystem) linger(ctx context.Context, f *file, replaced bool) {
	fs.tree.mu.Lock()
	n := f.n
	stays := replaced && n.lookups > 0 && !n.lingers
	if stays {
		n.lingers = true
	}
	fs.tree.mu.Unlock()
	if !stays {
		fs.closeFile(ctx, f)
	}
}

// forget takes back lookups. It must not wait: a file that lingers is let go
// beside it.
func (fs *fileSystem) forget(id, lookups uint64) {
	if f := fs.tree.forget(id, lookups); f != nil {
		fs.notifiers.Go(func() { fs.closeFile(context.Background(), f) })
	}
}
