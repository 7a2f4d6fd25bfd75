package fusefs

import (
	"errors"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"kivaloo/fusefs/attr"
	"kivaloo/fusefs/namespace"
	"kivaloo/kvstore/kv"
)

// Errors become errnos here and nowhere else. Where a handler knows the errno
// that POSIX wants, it returns a syscall.Errno; what comes up from below is one
// of the sentinels in this table.
var errnos = []struct {
	err   error
	errno syscall.Errno
}{
	{kv.ErrNotFound, syscall.ENOENT},
	{kv.ErrCondition, syscall.ESTALE},
	{kv.ErrTooLarge, syscall.EFBIG},
	{kv.ErrNoSpace, syscall.ENOSPC},
	{kv.ErrCorrupt, syscall.EIO},
	{kv.ErrFailed, syscall.EIO},
	{kv.ErrReadOnly, syscall.EROFS},
	{kv.ErrUnsupported, syscall.EOPNOTSUPP},
	{kv.ErrClosed, syscall.EIO},
	{kv.ErrInvalid, syscall.EIO}, // what a handler asks must have a meaning
	{attr.ErrVersion, syscall.EIO},
	{attr.ErrMalformed, syscall.EIO},
	{namespace.ErrNameTooLong, syscall.ENAMETOOLONG},
	{namespace.ErrKeyTooLong, syscall.ENAMETOOLONG},
	{namespace.ErrBadName, syscall.EINVAL},
	{namespace.ErrReserved, syscall.EPERM},
}

func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	for _, e := range errnos {
		if errors.Is(err, e.err) {
			return e.errno
		}
	}
	return syscall.EIO
}

// status translates the outcome of a request. What the caller only learns as
// EIO is logged, since its cause would be lost.
func (fs *fileSystem) status(op string, n *node, err error) fuse.Status {
	if err == nil {
		return fuse.OK
	}
	errno := errnoOf(err)
	if errno == syscall.EIO {
		fs.log.Error("request failed", "op", op, "path", fs.tree.describe(n), "error", err)
	}
	return fuse.Status(errno)
}
