package fusefs

import (
	"context"
	"strings"
	"syscall"

	"kivaloo/fusefs/attr"
	"kivaloo/kvstore/kv"
)

// Extended attributes lie in the metadata, to 4 KiB in all. Of the namespaces,
// user and trusted are kept; the rest is answered so that tools go on without.

// xattrErrno says what a name gets that is not kept, or 0.
func xattrErrno(name string, reading bool) error {
	switch {
	case strings.HasPrefix(name, "user."), strings.HasPrefix(name, "trusted."):
		if len(name) > attr.XattrNameBytesMax {
			return syscall.ERANGE
		}
		return nil
	case strings.HasPrefix(name, "security.") && reading:
		return syscall.ENODATA
	}
	// To ENODATA for system.posix_acl_access ls -l would ask twice for each file.
	return syscall.EOPNOTSUPP
}

// metaOf reads the attributes of a node.
func (fs *fileSystem) metaOf(ctx context.Context, n *node) (attr.Attr, error) {
	switch {
	case n.kind == kindVirtual || n.isValue():
		return attr.Attr{}, nil
	case n.kind == kindDir:
		key, err := fs.tree.key(n)
		if err != nil {
			return attr.Attr{}, err
		}
		pair, err := fs.markerOf(ctx, n, key)
		if err != nil {
			return attr.Attr{}, err
		}
		return decodeMeta(&pair)
	}
	f := fs.tree.openFile(n)
	if f == nil {
		pair, err := fs.closedPair(ctx, n, kv.WantStamps)
		if err != nil {
			return attr.Attr{}, err
		}
		return decodeMeta(&pair)
	}
	v, pair, err := fs.lookOver(ctx, f, 0, 0)
	if err != nil || !v.state.hasPair() {
		return v.attr, err
	}
	return decodeMeta(&pair)
}

func (fs *fileSystem) getXattr(ctx context.Context, n *node, name string) ([]byte, error) {
	if err := xattrErrno(name, true); err != nil {
		return nil, err
	}
	a, err := fs.metaOf(ctx, n)
	if err != nil {
		return nil, err
	}
	value, ok := a.Xattr(name)
	if !ok {
		return nil, syscall.ENODATA
	}
	return value, nil
}

func (fs *fileSystem) listXattr(ctx context.Context, n *node) ([]byte, error) {
	a, err := fs.metaOf(ctx, n)
	if err != nil {
		return nil, err
	}
	var list []byte
	for _, x := range a.Xattrs {
		list = append(append(list, x.Name...), 0)
	}
	return list, nil
}

// Flags of setxattr(2).
const (
	xattrCreate  = 1
	xattrReplace = 2
)

func (fs *fileSystem) setXattr(ctx context.Context, n *node, name string, value []byte, flags uint32) error {
	if err := xattrErrno(name, false); err != nil {
		return err
	}
	if n.kind == kindVirtual || n.isValue() {
		return syscall.EPERM
	}
	return fs.changeMeta(ctx, n, func(m *metaState) error {
		_, exists := m.attr.Xattr(name)
		switch {
		case flags&xattrCreate != 0 && exists:
			return syscall.EEXIST
		case flags&xattrReplace != 0 && !exists:
			return syscall.ENODATA
		case !m.attr.SetXattr(name, value):
			return syscall.ENOSPC
		}
		return nil
	})
}

func (fs *fileSystem) removeXattr(ctx context.Context, n *node, name string) error {
	if err := xattrErrno(name, false); err != nil {
		return err
	}
	if n.kind == kindVirtual || n.isValue() {
		return syscall.ENODATA
	}
	return fs.changeMeta(ctx, n, func(m *metaState) error {
		if !m.attr.RemoveXattr(name) {
			return syscall.ENODATA
		}
		return nil
	})
}

// answerBytes writes a value, or says with ERANGE how long it is.
func answerBytes(dst, value []byte) (uint32, error) {
	if len(value) > len(dst) {
		return uint32(len(value)), syscall.ERANGE
	}
	return uint32(copy(dst, value)), nil
}
