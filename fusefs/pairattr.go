package fusefs

import (
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"kivaloo/fusefs/attr"
	"kivaloo/kvstore/kv"
)

const permBits = 0o7777

// blockBytes is what st_blocks counts in, and ioBytes what st_blksize suggests.
const (
	blockBytes = 512
	ioBytes    = 4096
)

// pairAttr is all that stat shows of a node.
type pairAttr struct {
	ino      uint64
	size     int64
	mode     uint32
	nlink    uint32
	uid, gid uint32
	rdev     uint32
	atime    attr.Time
	mtime    attr.Time
	ctime    attr.Time
	btime    attr.Time
}

func timeOf(s kv.Stamp) attr.Time {
	return attr.Time{Sec: int64(s / 1e9), Nsec: uint32(s % 1e9)}
}

// decodeMeta reads a pair's metadata.
func decodeMeta(pair *kv.Pair) (attr.Attr, error) { return attr.Decode(pair.Meta) }

// fileAttr is what stat shows of a pair. Its type is a regular file's unless its
// metadata say otherwise: a pair is no directory.
func (o *Options) fileAttr(pair *kv.Pair, a *attr.Attr) pairAttr {
	p := o.shown(pair, a)
	if p.mode&syscall.S_IFMT == syscall.S_IFDIR || !a.HasMode {
		p.mode = o.FileMode | syscall.S_IFREG
	}
	return p
}

// dirAttr is what stat shows of a directory with a marker.
func (o *Options) dirAttr(pair *kv.Pair, a *attr.Attr) pairAttr {
	p := o.shown(pair, a)
	if !a.HasMode {
		p.mode = o.DirMode
	}
	p.mode = p.mode&permBits | syscall.S_IFDIR
	p.size = 0
	return p
}

func (o *Options) shown(pair *kv.Pair, a *attr.Attr) pairAttr {
	p := pairAttr{size: pair.Size, mode: a.Mode, nlink: 1, uid: o.UID, gid: o.GID, rdev: a.Rdev}
	if a.HasOwner {
		p.uid, p.gid = a.UID, a.GID
	}
	p.setTimes(pair.Modified, pair.Version, pair.Brought, a)
	p.btime = timeOf(pair.Birth)
	return p
}

// setTimes shows the stamps of a pair, and the hand-set times that still hold.
func (p *pairAttr) setTimes(modified, version kv.Stamp, brought bool, a *attr.Attr) {
	p.mtime, p.ctime = timeOf(modified), timeOf(version)
	if brought {
		p.ctime = p.mtime
	}
	p.atime = p.mtime
	times := a.Times.At(uint64(modified))
	if times.HasMtime {
		p.mtime = times.Mtime
	}
	if times.HasAtime {
		p.atime = times.Atime
	}
}

// fill writes attributes for the kernel.
func (p *pairAttr) fill(out *fuse.Attr) {
	*out = fuse.Attr{
		Ino:  p.ino,
		Size: uint64(p.size), Blocks: uint64((p.size + blockBytes - 1) / blockBytes), Blksize: ioBytes,
		Mode: p.mode, Nlink: p.nlink, Rdev: p.rdev,
		Owner: fuse.Owner{Uid: p.uid, Gid: p.gid},
		Atime: uint64(p.atime.Sec), Atimensec: p.atime.Nsec,
		Mtime: uint64(p.mtime.Sec), Mtimensec: p.mtime.Nsec,
		Ctime: uint64(p.ctime.Sec), Ctimensec: p.ctime.Nsec,
	}
}

// fillStatx writes them with the time of birth.
func (p *pairAttr) fillStatx(out *fuse.Statx) {
	*out = fuse.Statx{
		Mask: statxBasicStats | statxBtime, Blksize: ioBytes,
		Nlink: p.nlink, Uid: p.uid, Gid: p.gid, Mode: uint16(p.mode),
		Ino: p.ino, Size: uint64(p.size), Blocks: uint64((p.size + blockBytes - 1) / blockBytes),
		Atime: sxTime(p.atime), Btime: sxTime(p.btime), Ctime: sxTime(p.ctime), Mtime: sxTime(p.mtime),
		RdevMajor: p.rdev >> 8 & 0xfff, RdevMinor: p.rdev&0xff | p.rdev>>12&0xfff00,
	}
}

// Bits of the mask of statx(2).
const (
	statxBasicStats = 0x7ff
	statxBtime      = 0x800
)

func sxTime(t attr.Time) fuse.SxTime { return fuse.SxTime{Sec: uint64(t.Sec), Nsec: t.Nsec} }

// attrOf gives what stat shows of a node.
func (fs *fileSystem) attrOf(ctx context.Context, n *node) (pairAttr, error) {
	var p pairAttr
	var err error
	switch n.kind {
	case kindDir:
		p, err = fs.dirAttrOf(ctx, n)
	case kindVirtual:
		p, err = fs.dirAttrOf(ctx, n.real())
		p.mode &^= 0o222 | syscall.S_ISGID
		p.btime = attr.Time{}
	default:
		p, err = fs.fileAttrOf(ctx, n)
	}
	fs.tree.mu.Lock()
	p.ino = n.ino
	fs.tree.mu.Unlock()
	return p, err
}
