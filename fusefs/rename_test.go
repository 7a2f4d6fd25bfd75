package fusefs_test

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRenameOfADirtyFileCommitsItsData(t *testing.T) {
	m := newMount(t)
	m.set("target", "old")
	for _, name := range []string{"fresh", "stored"} {
		if name == "stored" {
			m.set(name, "before")
		}
		f, err := os.Create(m.path(name))
		must(t, err)
		fmt.Fprint(f, name)
		before := m.commits()
		must(t, os.Rename(m.path(name), m.path("target")))
		if got := m.commits() - before; got != 1 {
			t.Errorf("%s: %d commits", name, got)
		}
		m.wantValue("target", name)
		m.wantNoKey(name)
		fmt.Fprint(f, "+")
		must(t, f.Close())
		m.wantValue("target", name+"+")
	}
}

func TestRenameFlags(t *testing.T) {
	m := newMount(t)
	m.sh("echo a > a; echo b > b; mkdir d e; echo x > d/x")
	rename := func(from, to string, flags uint) error {
		return unix.Renameat2(unix.AT_FDCWD, m.path(from), unix.AT_FDCWD, m.path(to), flags)
	}
	wantErrno(t, "NOREPLACE over a file", rename("a", "b", unix.RENAME_NOREPLACE), syscall.EEXIST)
	must(t, rename("a", "c", unix.RENAME_NOREPLACE))
	must(t, rename("c", "b", unix.RENAME_EXCHANGE))
	m.wantFile("b", "a\n")
	m.wantFile("c", "b\n")
	must(t, rename("d", "c", unix.RENAME_EXCHANGE))
	m.wantFile("d", "b\n")
	m.wantFile("c/x", "x\n")
	must(t, rename("c", "e", unix.RENAME_EXCHANGE))
	m.wantFile("e/x", "x\n")
	wantErrno(t, "EXCHANGE with nothing", rename("e", "none", unix.RENAME_EXCHANGE), syscall.ENOENT)
	wantErrno(t, "unknown flag", rename("b", "z", 1<<2), syscall.EINVAL)
	if keys := m.call("Keys", "\x00").Keys; len(keys) > 0 {
		t.Errorf("left behind: %q", keys)
	}
}

func TestRenameOfADirectory(t *testing.T) {
	m := newMount(t)
	m.sh("mkdir -p d/sub full empty; echo 1 > d/1; echo 2 > d/sub/2; echo x > full/x")
	ino := m.stat("d/sub/2").Ino
	open, err := os.OpenFile(m.path("d/sub/2"), os.O_RDWR|os.O_APPEND, 0)
	must(t, err)
	fresh, err := os.Create(m.path("d/sub/fresh"))
	must(t, err)
	fmt.Fprint(fresh, "f")
	wantErrno(t, "over a full directory", unix.Rename(m.path("d"), m.path("full")), syscall.ENOTEMPTY)
	wantErrno(t, "into itself", unix.Rename(m.path("d"), m.path("d/sub/d")), syscall.EINVAL)
	wantErrno(t, "over a file", unix.Rename(m.path("d"), m.path("full/x")), syscall.ENOTDIR)
	before := m.commits()
	must(t, unix.Rename(m.path("d"), m.path("empty")))
	if got := m.commits() - before; got != 1 {
		t.Errorf("%d commits", got)
	}
	if got := m.stat("empty/sub/2").Ino; got != ino {
		t.Errorf("inode number %d, was %d", got, ino)
	}
	fmt.Fprint(open, "+")
	must(t, open.Close())
	must(t, fresh.Close())
	m.wantValue("empty/sub/2", "2\n+")
	m.wantValue("empty/sub/fresh", "f")
	if got := m.call("Keys", "d/").Keys; len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
	if got := m.names(""); got != "empty full" {
		t.Error(got)
	}
}

// TestRenameBeyondATransactionIsACopy: EXDEV makes mv copy and remove.
func TestRenameBeyondATransactionIsACopy(t *testing.T) {
	m := newMount(t)
	m.sh("mkdir -p d/sub; echo 1 > d/1; echo 2 > d/sub/2")
	m.call("RefuseMoves", true)
	wantErrno(t, "rename", unix.Rename(m.path("d"), m.path("e")), syscall.EXDEV)
	m.sh("mv d e")
	m.wantValue("e/sub/2", "2\n")
	if got := m.names(""); got != "e" {
		t.Error(got)
	}
}
