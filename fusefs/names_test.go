package fusefs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kivaloo/fusefs/attr"
	"kivaloo/kvstore/kv"
)

func TestNativeWritesAreSeenAtOnce(t *testing.T) {
	m := newMount(t)
	for i := range 20 {
		value := fmt.Sprint("value ", i)
		m.set("dir/k", value)
		m.wantFile("dir/k", value)
		if got := m.stat("dir/k").Size; got != int64(len(value)) {
			t.Errorf("size %d", got)
		}
		name := fmt.Sprintf("n%02d", i)
		m.set("dir/"+name, "")
		if got := m.names("dir"); !strings.HasSuffix(got, name) {
			t.Errorf("listing: %s", got)
		}
	}
	m.call("Commit", kv.Txn{Effects: []kv.Effect{{Op: kv.DeletePrefix, Key: []byte("dir/")}}})
	if _, err := os.Stat(m.path("dir")); !os.IsNotExist(err) {
		t.Errorf("a directory without keys: %v", err)
	}
}

func TestNamesThatKeysHaveOtherwise(t *testing.T) {
	m := newMount(t)
	for _, key := range []string{
		"", "plain", "100%", "a%41", ".", "..", "nul\x00nul", "both", "both/in", "a!b", "a", "a/x",
		"marked/", "double//slash", strings.Repeat("long", 400),
	} {
		m.set(key, "value of "+key)
	}
	seen := map[string]bool{}
	filepath.WalkDir(m.dir, func(path string, d os.DirEntry, err error) error {
		must(t, err)
		if d.IsDir() {
			return nil
		}
		got, err := os.ReadFile(path)
		must(t, err)
		seen[string(got)] = true
		return nil
	})
	if len(seen) != 15 {
		t.Errorf("%d of 15 values are found: %v", len(seen), seen)
	}
	for name, value := range map[string]string{
		"%": "value of ", "both%.": "value of both", "%2E": "value of .", "%2E.": "value of ..",
		"nul%00nul": "value of nul\x00nul", "marked/%.": "value of marked/", "double/%/slash": "value of double//slash",
	} {
		m.wantFile(name, value)
	}
	// What an application makes under a name is found under that name.
	for _, name := range []string{"my%00", "x%.", "both%.", "75%", "%2F", "a%."} {
		must(t, os.WriteFile(m.path(name), []byte(name), 0o644))
		m.wantFile(name, name)
		if !strings.Contains(" "+m.names("")+" ", " "+name+" ") {
			t.Errorf("%s is not listed: %s", name, m.names(""))
		}
		must(t, os.Remove(m.path(name)))
		if _, err := os.Stat(m.path(name)); !os.IsNotExist(err) {
			t.Errorf("%s after its removal: %v", name, err)
		}
	}
	must(t, os.WriteFile(m.path("marked/%."), []byte("new"), 0o644))
	m.wantValue("marked/", "new")
	wantErrno(t, "rmdir of a marker with a value", unix.Rmdir(m.path("marked")), syscall.ENOTEMPTY)
	must(t, os.Remove(m.path("marked/%.")))
	must(t, unix.Rmdir(m.path("marked")))
	m.wantNoKey("marked/")
}

func TestLongNames(t *testing.T) {
	m := newMount(t)
	name := strings.Repeat("n", 700)
	must(t, os.WriteFile(m.path(name), []byte("long"), 0o644))
	m.wantFile(name, "long")
	wantErrno(t, "a name over the limit", os.WriteFile(m.path(strings.Repeat("n", 1025)), nil, 0o644), syscall.ENAMETOOLONG)
	m.set(strings.Repeat("v", 2000), "virtual")
	cut := strings.Repeat("v", 1022) + "%+"
	m.wantFile(cut+"/"+strings.Repeat("v", 978), "virtual")
	wantErrno(t, "rmdir of a virtual directory", unix.Rmdir(m.path(cut)), syscall.EPERM)
	wantErrno(t, "rename of a virtual directory", unix.Rename(m.path(cut), m.path("x")), syscall.EPERM)
	dir := m.dir
	var err error
	for range 5 { // beyond the longest key; each path is below PATH_MAX
		must(t, os.Chdir(dir))
		dir = strings.Repeat("d", 900)
		if err = os.Mkdir(dir, 0o755); err != nil {
			break
		}
	}
	os.Chdir("/")
	wantErrno(t, "a path over the limit of a key", err, syscall.ENAMETOOLONG)
}

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

func TestCwdThatIsRemoved(t *testing.T) {
	m := newMount(t)
	m.sh(`mkdir d; cd d; rmdir ../d; stat -c %h . | grep -qx 0; ! touch x 2>/dev/null; test -z "$(ls -A .)"`)
}

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
		t.Skip("needs root")
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

// TestLargeDirectory lists while others create: every name that was there all
// the time comes exactly once.
func TestLargeDirectory(t *testing.T) {
	m := newMount(t)
	const entries = 20000
	for from := 0; from < entries; from += 2000 {
		var txn kv.Txn
		for i := from; i < from+2000; i++ {
			key := fmt.Appendf(nil, "dir/k%05d", i)
			if i%100 == 0 {
				key = append(key, "/below"...)
			}
			txn.Effects = append(txn.Effects, kv.Effect{Op: kv.Put, Key: key})
		}
		m.call("Commit", txn)
	}
	stop := make(chan struct{})
	var creators sync.WaitGroup
	creators.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			name := m.path(fmt.Sprintf("dir/k%05d.new", i*37%entries))
			if f, err := os.Create(name); err == nil {
				time.Sleep(time.Millisecond)
				f.Close()
				os.Remove(name)
			}
		}
	})
	for range 3 {
		seen := map[string]int{}
		for _, name := range strings.Fields(m.names("dir")) {
			seen[name]++
		}
		for i := range entries {
			if name := fmt.Sprintf("k%05d", i); seen[name] != 1 {
				t.Fatalf("%s is listed %d times", name, seen[name])
			}
		}
	}
	close(stop)
	creators.Wait()
	m.sh("rm -rf dir")
	if keys := m.call("Keys", "dir").Keys; len(keys) > 0 {
		t.Errorf("rm -rf left %d keys", len(keys))
	}
}

func TestListingContinuesAnywhere(t *testing.T) {
	m := newMount(t)
	m.sh("for i in $(seq 100 400); do echo > f$i; done")
	dir, err := unix.Open(m.dir, unix.O_DIRECTORY, 0)
	must(t, err)
	defer unix.Close(dir)
	buf := make([]byte, 1000)
	var all []string
	for {
		n, err := unix.ReadDirent(dir, buf)
		must(t, err)
		if n == 0 {
			break
		}
		_, _, names := unix.ParseDirent(buf[:n], -1, nil)
		all = append(all, names...)
		// What has been listed can be removed at once.
		for _, name := range names {
			must(t, os.Remove(m.path(name)))
		}
	}
	if len(all) != 301 {
		t.Errorf("%d names", len(all))
	}
}

func TestForgetLeadsBackToTheRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to drop the kernel's caches")
	}
	m := newMount(t)
	m.sh("mkdir -p a/b/c; for i in $(seq 100); do echo $i > a/b/c/$i; done; mv a/b a/d; rm a/d/c/5?; find . | xargs stat > /dev/null")
	if n := m.call("Nodes", 0).Count; n < 50 {
		t.Errorf("only %d nodes", n)
	}
	for range 50 {
		must(t, os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0))
		if m.call("Nodes", 0).Count == 1 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("%d nodes are left", m.call("Nodes", 0).Count)
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
