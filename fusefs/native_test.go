package fusefs_test

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"kivaloo/kvstore/kv"
)

// TestAppendGoesToTheEndAsItIs: the kernel's idea of the end of a file is older
// than a native change, so a WRITE can arrive for the wrong place.
func TestAppendGoesToTheEndAsItIs(t *testing.T) {
	m := newMount(t)
	m.set("log", "12\n")
	m.stat("log")
	f, err := os.OpenFile(m.path("log"), os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	m.set("log", "1234567890\n")
	fmt.Fprint(f, "XY\n")
	must(t, f.Close())
	m.wantValue("log", "1234567890\nXY\n")
}

func TestExclusiveCreateThatComesTooLate(t *testing.T) {
	m := newMount(t)
	f, err := os.OpenFile(m.path("lock"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	must(t, err)
	fmt.Fprint(f, "mine")
	m.set("lock", "theirs")
	wantErrno(t, "fsync", f.Sync(), syscall.EEXIST)
	must(t, f.Close())
	m.wantFile("lock", "theirs")
}

func TestPlainCreateAdoptsWhatHasAppeared(t *testing.T) {
	m := newMount(t)
	f, err := os.Create(m.path("k"))
	must(t, err)
	m.set("k", "native")
	m.wantFile("k", "native")
	f.WriteAt([]byte("N"), 0)
	must(t, f.Close())
	m.wantValue("k", "Native")
}

func TestNativeChangeCancelsAPendingTruncate(t *testing.T) {
	m := newMount(t)
	m.set("k", "first")
	f, err := os.OpenFile(m.path("k"), os.O_WRONLY|os.O_TRUNC, 0)
	must(t, err)
	m.wantFile("k", "")
	m.set("k", "second value")
	m.wantFile("k", "second value")
	f.WriteAt([]byte("S"), 0)
	must(t, f.Close())
	m.wantValue("k", "Second value")
}

func TestOpenFileSeesNativeChangesUnderWhatIsNotWritten(t *testing.T) {
	m := newMount(t)
	m.set("k", "aaaaaaaaaa")
	f, err := os.OpenFile(m.path("k"), os.O_RDWR, 0)
	must(t, err)
	f.WriteAt([]byte("XX"), 2)
	m.set("k", "bbbbbbbbbbbb")
	m.wantFile("k", "bbXXbbbbbbbb")
	must(t, f.Close())
	m.wantValue("k", "bbXXbbbbbbbb")
}

func TestOpenFileFollowsNativeMoves(t *testing.T) {
	m := newMount(t)
	m.set("a/b/k", "value")
	m.set("loose", "value")
	var files []*os.File
	for _, name := range []string{"a/b/k", "loose"} {
		f, err := os.OpenFile(m.path(name), os.O_RDWR, 0)
		must(t, err)
		f.WriteAt([]byte("V"), 0)
		files = append(files, f)
	}
	m.call("Commit", kv.Txn{Effects: []kv.Effect{
		{Op: kv.MovePrefix, Key: []byte("a/"), To: []byte("c/")},
		{Op: kv.Move, Key: []byte("loose"), To: []byte("c/d/tight")},
	}})
	for _, f := range files {
		got, err := io.ReadAll(f)
		if string(got) != "Value" {
			t.Errorf("%s: %q, %v", f.Name(), got, err)
		}
		must(t, f.Close())
	}
	m.wantValue("c/b/k", "Value")
	m.wantValue("c/d/tight", "Value")
	m.wantNoKey("a/b/k")
}

func TestMappedPagesSeeNativeChanges(t *testing.T) {
	m := newMount(t)
	m.set("map", strings.Repeat("a", 8192))
	f, err := os.OpenFile(m.path("map"), os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	mem, err := unix.Mmap(int(f.Fd()), 0, 8192, unix.PROT_READ, unix.MAP_SHARED)
	must(t, err)
	defer unix.Munmap(mem)
	for _, c := range []byte("aXYZ") {
		if c != 'a' {
			m.set("map", strings.Repeat(string(c), 8192))
		}
		if mem[0] != c || mem[8191] != c {
			t.Errorf("%c and %c, want %c", mem[0], mem[8191], c)
		}
	}
}

func TestNativeDeleteOfAnOpenFile(t *testing.T) {
	m := newMount(t)
	m.set("k", "value")
	f, err := os.OpenFile(m.path("k"), os.O_RDWR, 0)
	must(t, err)
	f.WriteAt([]byte("V"), 0)
	m.call("Commit", kv.Txn{Effects: []kv.Effect{{Op: kv.Delete, Key: []byte("k")}}})
	got, err := io.ReadAll(f)
	if string(got) != "Value" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	must(t, f.Close())
	m.wantNoKey("k")
}
