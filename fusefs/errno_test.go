package fusefs_test

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestErrnos(t *testing.T) {
	m := newMount(t)
	m.sh("echo f > file; mkdir -p dir/sub empty; ln -s file link")
	p := m.path
	for _, c := range []struct {
		what string
		err  error
		want syscall.Errno
	}{
		{"open of nothing", openErr(p("none"), unix.O_RDONLY), syscall.ENOENT},
		{"exclusive create over a file", openErr(p("file"), unix.O_CREAT|unix.O_EXCL|unix.O_RDWR), syscall.EEXIST},
		{"open of a directory for writing", openErr(p("dir"), unix.O_WRONLY), syscall.EISDIR},
		{"a file as a directory", openErr(p("file/x"), unix.O_RDONLY), syscall.ENOTDIR},
		{"O_NOFOLLOW", openErr(p("link"), unix.O_RDONLY|unix.O_NOFOLLOW), syscall.ELOOP},
		{"mkdir over a directory", unix.Mkdir(p("dir"), 0o755), syscall.EEXIST},
		{"mkdir over a file", unix.Mkdir(p("file"), 0o755), syscall.EEXIST},
		{"mkdir below nothing", unix.Mkdir(p("none/x"), 0o755), syscall.ENOENT},
		{"rmdir of a full directory", unix.Rmdir(p("dir")), syscall.ENOTEMPTY},
		{"rmdir of a file", unix.Rmdir(p("file")), syscall.ENOTDIR},
		{"rmdir of nothing", unix.Rmdir(p("none")), syscall.ENOENT},
		{"unlink of a directory", unix.Unlink(p("dir")), syscall.EISDIR},
		{"unlink of nothing", unix.Unlink(p("none")), syscall.ENOENT},
		{"rename of nothing", unix.Rename(p("none"), p("x")), syscall.ENOENT},
		{"rename of a file over a directory", unix.Rename(p("file"), p("dir")), syscall.EISDIR},
		{"rename of a directory over a file", unix.Rename(p("dir"), p("file")), syscall.ENOTDIR},
		{"symlink over a file", unix.Symlink("x", p("file")), syscall.EEXIST},
		{"hard link", unix.Link(p("file"), p("hard")), syscall.EPERM},
		{"mknod over a file", unix.Mknod(p("file"), unix.S_IFIFO|0o600, 0), syscall.EEXIST},
		{"truncate of a directory", unix.Truncate(p("dir"), 0), syscall.EISDIR},
		{"readlink of a file", readlinkErr(p("file")), syscall.EINVAL},
		{"getxattr of none", getxattrErr(p("file"), "user.none"), syscall.ENODATA},
		{"an ACL", getxattrErr(p("file"), "system.posix_acl_access"), syscall.EOPNOTSUPP},
		{"removexattr of none", unix.Removexattr(p("file"), "user.none"), syscall.ENODATA},
		{"fallocate", fallocateErr(p("file")), syscall.EOPNOTSUPP},
		{"O_TMPFILE", openErr(p("dir"), unix.O_TMPFILE|unix.O_RDWR), syscall.EOPNOTSUPP},
	} {
		wantErrno(t, c.what, c.err, c.want)
	}
}

func openErr(path string, flags int) error {
	fd, err := unix.Open(path, flags, 0o644)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func readlinkErr(path string) error {
	_, err := unix.Readlink(path, make([]byte, 10))
	return err
}

func getxattrErr(path, name string) error {
	_, err := unix.Getxattr(path, name, make([]byte, 10))
	return err
}

func fallocateErr(path string) error {
	fd, err := unix.Open(path, unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fallocate(fd, 0, 0, 100)
}
