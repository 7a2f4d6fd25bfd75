package fusefs

import (
	"context"
	"syscall"

	"kivaloo/fusefs/attr"
	"kivaloo/kvstore/kv"
)

// A view is what is laid over a pair at one moment. It is taken before the pair
// is read: should the buffer be committed in between, its bytes are simply found
// in both places.
type view struct {
	state  fileState
	attr   attr.Attr
	lower  buffer // being committed
	upper  buffer
	layers uint64
}

// look takes a view of a range of a file.
func (f *file) look(off, length int64) view {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := view{state: f.state, attr: f.attr, lower: newBuffer(), layers: f.layers}
	if f.flushing != nil {
		v.lower = f.flushing.clip(off, length)
	}
	v.upper = f.buf.clip(off, length)
	return v
}

// over lays the view over a pair: a truncation is void if somebody has written
// since.
func (v *view) over(pair *kv.Pair) {
	for _, b := range [...]*buffer{&v.lower, &v.upper} {
		if b.voided(pair) || b.born && v.state == stored {
			b.cut = noCut
			b.end = b.written
		}
	}
}

// size is that of the whole file.
func (v *view) size(pair *kv.Pair) int64 { return v.upper.size(v.lower.size(pair.Size)) }

// read puts the bytes of the range that a view was taken of into dst, which has
// the length that is there. value is what the pair has of them.
func (v *view) read(off int64, dst, value []byte, pair *kv.Pair) {
	left := max(0, min(v.lower.below(pair.Size)-off, int64(len(dst))))
	clear(dst[copy(dst[:left], value):])
	v.lower.overlay(off, dst)
	if v.upper.cut != noCut {
		clear(dst[max(0, min(v.upper.cut-off, int64(len(dst)))):])
	}
	v.upper.overlay(off, dst)
}

// lookOver takes a view of a file and reads the pair below it. Length 0 asks for
// no bytes.
func (fs *fileSystem) lookOver(ctx context.Context, f *file, off, length int64) (view, kv.Pair, error) {
	req := kv.GetRequest{Want: kv.WantStamps, Offset: off, Length: length}
	if length > 0 {
		req.Want = kv.WantAll
	}
	for {
		v := f.look(off, length)
		pair, err := fs.get(ctx, f, req)
		if err != nil {
			return v, pair, err
		}
		if f.look(0, 0).state != v.state {
			continue // it was adopted, or has become an orphan, on the way
		}
		v.over(&pair)
		return v, pair, nil
	}
}

// fileAttrOf gives what stat shows of a pair.
func (fs *fileSystem) fileAttrOf(ctx context.Context, n *node) (pairAttr, error) {
	f := fs.tree.openFile(n)
	if f == nil {
		p, err := fs.closedAttrOf(ctx, n)
		if err == nil || fs.tree.openFile(n) == nil {
			return p, err
		}
		return fs.fileAttrOf(ctx, n) // replaced on the way, and kept
	}
	v, pair, err := fs.lookOver(ctx, f, 0, 0)
	if err != nil {
		return pairAttr{}, err
	}
	a := v.attr
	if v.state.hasPair() {
		if a, err = decodeMeta(&pair); err != nil {
			return pairAttr{}, err
		}
	}
	return fs.openAttr(n, &v, pair, &a), nil
}

// openAttr lays a view over the attributes of a pair.
func (fs *fileSystem) openAttr(n *node, v *view, pair kv.Pair, a *attr.Attr) pairAttr {
	if n.isValue() {
		a = &attr.Attr{}
	}
	size := v.size(&pair)
	for _, b := range [...]*buffer{&v.lower, &v.upper} {
		if b.mtime > pair.Modified {
			pair.Modified, pair.Version = b.mtime, max(pair.Version, b.mtime)
			pair.Brought = true
		}
		if b.killPriv {
			a.Mode = withoutPriv(a.Mode)
		}
	}
	p := fs.opts.fileAttr(&pair, a)
	p.size = size
	if !v.state.named() {
		p.nlink = 0
	}
	return p
}

// closedAttrOf reads the attributes of a pair that nobody has open.
func (fs *fileSystem) closedAttrOf(ctx context.Context, n *node) (pairAttr, error) {
	pair, err := fs.closedPair(ctx, n, kv.WantStamps)
	if err != nil {
		return pairAttr{}, err
	}
	if n.isValue() {
		pair.Meta = nil
	}
	a, err := decodeMeta(&pair)
	if err != nil {
		return pairAttr{}, err
	}
	return fs.opts.fileAttr(&pair, &a), nil
}

// closedPair reads the pair of a node that is not open: if its key is gone or
// another's, the kernel has to look the name up again.
func (fs *fileSystem) closedPair(ctx context.Context, n *node, want kv.Want) (kv.Pair, error) {
	for {
		key, birth, err := fs.tree.keyAndBirth(n)
		if err != nil {
			return kv.Pair{}, err
		}
		pair, err := fs.store.Get(ctx, kv.GetRequest{Key: key, Want: want | kv.WantStamps})
		if err == nil && pair.Birth == birth {
			return pair, nil
		}
		if err == nil || errnoOf(err) == syscall.ENOENT {
			if fs.waitMoving(n) {
				continue
			}
			return kv.Pair{}, syscall.ESTALE
		}
		return kv.Pair{}, err
	}
}

func (t *tree) keyAndBirth(n *node) ([]byte, kv.Stamp, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.gone {
		return nil, 0, syscall.ESTALE
	}
	return n.key(nil), n.birth, nil
}

// withoutPriv is a mode after a write by who may not keep suid and sgid. Without
// execution by the group, sgid means something else and stays.
func withoutPriv(mode uint32) uint32 {
	mode &^= syscall.S_ISUID
	if mode&syscall.S_IXGRP != 0 {
		mode &^= syscall.S_ISGID
	}
	return mode
}
