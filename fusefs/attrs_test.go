package fusefs_test

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"kivaloo/fusefs/attr"
	"kivaloo/kvstore/kv"
)

func TestAttributes(t *testing.T) {
	m := newMount(t, func(c *mountConfig) { c.UID, c.GID = 7, 8 })
	m.set("native", "n")
	if st := m.stat("native"); st.Mode != unix.S_IFREG|0o644 || st.Uid != 7 || st.Gid != 8 || st.Nlink != 1 {
		t.Errorf("a native key: mode %o, owner %d:%d", st.Mode, st.Uid, st.Gid)
	}
	m.set("dir/below", "")
	if st := m.stat("dir"); st.Mode != unix.S_IFDIR|0o755 || st.Ino < 1<<62 || st.Nlink != 1 {
		t.Errorf("a directory without marker: mode %o, number %d", st.Mode, st.Ino)
	}
	m.sh(`umask 027; echo x > f; chmod 4751 f; chown 12:34 f; mkdir s; chmod 2770 s; chgrp 55 s; mkdir s/d; echo > s/f; mknod n c 1 3`)
	if st := m.stat("f"); st.Mode&0o7777 != 0o751 || st.Uid != 12 || st.Gid != 34 {
		t.Errorf("f: mode %o, owner %d:%d; chown ends suid", st.Mode, st.Uid, st.Gid)
	}
	if st := m.stat("s/d"); st.Mode&0o7777 != 0o2750 || st.Gid != 55 {
		t.Errorf("a directory in a setgid one: mode %o, group %d", st.Mode, st.Gid)
	}
	if st := m.stat("s/f"); st.Mode&0o7777 != 0o640 || st.Gid != 55 {
		t.Errorf("a file in a setgid one: mode %o, group %d", st.Mode, st.Gid)
	}
	if st := m.stat("n"); st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(1, 3) {
		t.Errorf("a device: mode %o, %x", st.Mode, st.Rdev)
	}
}

func TestHandSetTimesHoldUntilTheContentsChange(t *testing.T) {
	m := newMount(t)
	m.set("f", "1")
	set := []unix.Timespec{{Sec: 11, Nsec: 1}, {Sec: -22, Nsec: 999999999}}
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, m.path("f"), set, 0))
	m.sh("chmod 600 f")
	if st := m.stat("f"); st.Atim != set[0] || st.Mtim != set[1] || st.Ctim.Sec < 1e9 {
		t.Errorf("%v %v %v", st.Atim, st.Mtim, st.Ctim)
	}
	m.set("f", "2")
	if st := m.stat("f"); st.Mtim.Sec < 1e9 || st.Mode&0o777 != 0o600 {
		t.Errorf("after a change: %v, mode %o", st.Mtim, st.Mode)
	}
}

func TestTimesAreTheSameBeforeAndAfterClose(t *testing.T) {
	m := newMount(t)
	m.set("old", "value")
	for _, name := range []string{"new", "old"} {
		f, err := os.OpenFile(m.path(name), os.O_CREATE|os.O_RDWR, 0o644)
		must(t, err)
		f.WriteAt([]byte("12"), 0)
		f.WriteAt([]byte("34"), 100)
		must(t, f.Truncate(300))
		before := m.stat(name)
		must(t, f.Close())
		after := m.stat(name)
		if before != after {
			t.Errorf("%s:\n%+v\n%+v", name, before, after)
		}
	}
}

func TestDirectoryTimes(t *testing.T) {
	m := newMount(t)
	m.sh("mkdir d")
	last := m.stat("d").Mtim
	for _, script := range []string{
		"echo x > d/f", "mkdir d/g", "mv d/f d/h", "mv d/h f", "rmdir d/g", "ln -s x d/l", "rm d/l",
	} {
		m.sh(script)
		now := m.stat("d").Mtim
		if now.Nano() <= last.Nano() {
			t.Errorf("%s: the directory's mtime has not grown", script)
		}
		last = now
	}
	m.sh("echo y > d/f")
	last = m.stat("d").Mtim
	m.sh("echo z > d/f")
	if now := m.stat("d").Mtim; now != last {
		t.Error("writing a file has changed its directory's mtime")
	}
}

func TestSetuidEndsWithAWriteByOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		skipMount(t, "needs root")
	}
	dir, err := os.MkdirTemp("", "fusefs")
	must(t, err)
	defer os.Remove(dir)
	must(t, os.Chmod(dir, 0o755))
	m := newMount(t, func(c *mountConfig) { c.AllowOther, c.MountPoint = true, dir })
	m.sh("echo x > f; chown 1000:1000 f; chmod 6777 f")
	cmd := exec.Command("bash", "-c", "echo y >> f")
	cmd.Dir = m.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 2000, Gid: 2000}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if st := m.stat("f"); st.Mode&0o7777 != 0o777 {
		t.Errorf("mode %o", st.Mode)
	}
	m.wantFile("f", "x\ny\n")
}

func TestXattrs(t *testing.T) {
	m := newMount(t)
	m.sh("echo x > f; mkdir d")
	for _, name := range []string{"f", "d"} {
		path := m.path(name)
		must(t, unix.Setxattr(path, "user.b", []byte("2"), 0))
		must(t, unix.Setxattr(path, "user.a", []byte("1"), unix.XATTR_CREATE))
		wantErrno(t, "create", unix.Setxattr(path, "user.a", nil, unix.XATTR_CREATE), syscall.EEXIST)
		wantErrno(t, "replace", unix.Setxattr(path, "user.c", nil, unix.XATTR_REPLACE), syscall.ENODATA)
		wantErrno(t, "too large", unix.Setxattr(path, "user.c", make([]byte, attr.XattrBytesMax), 0), syscall.ENOSPC)
		buf := make([]byte, 100)
		n, err := unix.Listxattr(path, buf)
		if string(buf[:max(n, 0)]) != "user.a\x00user.b\x00" {
			t.Errorf("%s: list %q, %v", name, buf[:max(n, 0)], err)
		}
		n, err = unix.Getxattr(path, "user.b", buf)
		if string(buf[:max(n, 0)]) != "2" {
			t.Errorf("%s: %q, %v", name, buf[:max(n, 0)], err)
		}
		must(t, unix.Removexattr(path, "user.b"))
		wantErrno(t, "after removal", getxattrErr(path, "user.b"), syscall.ENODATA)
	}
}

func TestUnknownMetadataAreAnError(t *testing.T) {
	m := newMount(t)
	m.set("ok", "fine")
	m.call("Commit", kv.Txn{Effects: []kv.Effect{{Op: kv.Put, Key: []byte("newer"), SetMeta: true, Meta: []byte{99}}}})
	var st unix.Stat_t
	wantErrno(t, "stat", unix.Stat(m.path("newer"), &st), syscall.EIO)
	m.wantFile("ok", "fine")
}

func TestStatfs(t *testing.T) {
	m := newMount(t)
	var st unix.Statfs_t
	must(t, unix.Statfs(m.dir, &st))
	if st.Blocks == 0 || st.Bavail == 0 || st.Namelen != 255 || st.Ffree == 0 {
		t.Errorf("%+v", st)
	}
}

func TestReadOnly(t *testing.T) {
	m := newMount(t, func(c *mountConfig) { c.ReadOnly = true })
	m.set("k", "v")
	m.wantFile("k", "v")
	wantErrno(t, "write", os.WriteFile(m.path("k"), nil, 0o644), syscall.EROFS)
	wantErrno(t, "mkdir", os.Mkdir(m.path("d"), 0o755), syscall.EROFS)
}
