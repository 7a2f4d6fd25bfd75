package fusefs_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kivaloo/kvstore/kv"
)

func TestWriteThenRead(t *testing.T) {
	m := newMount(t)
	must(t, os.MkdirAll(m.path("users/alice"), 0o755))
	must(t, os.WriteFile(m.path("users/alice/email"), []byte("a@b"), 0o644))
	m.wantFile("users/alice/email", "a@b")
	m.wantValue("users/alice/email", "a@b")
	if got := m.names("users/alice"); got != "email" {
		t.Error(got)
	}
}

func TestNewFileIsInTheStoreWholeWithItsFirstCommit(t *testing.T) {
	m := newMount(t)
	f, err := os.OpenFile(m.path("new"), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	must(t, err)
	fmt.Fprint(f, "one")
	if got := m.names(""); got != "new" {
		t.Errorf("listing before the commit: %q", got)
	}
	m.wantFile("new", "one")
	m.wantNoKey("new")
	fmt.Fprint(f, "two")
	must(t, f.Close())
	m.wantValue("new", "onetwo")
}

func TestCreatedFileLeftOpenIsLeftAlone(t *testing.T) {
	m := newMount(t, func(c *mountConfig) { c.Interval = 50 * time.Millisecond })
	f, err := os.Create(m.path("half"))
	must(t, err)
	fmt.Fprint(f, "ha")
	time.Sleep(200 * time.Millisecond)
	m.wantNoKey("half")
	fmt.Fprint(f, "lf")
	must(t, f.Close())
	m.wantValue("half", "half")
}

func TestTimerCommitsUnflushedWritesAndBareCreations(t *testing.T) {
	m := newMount(t, func(c *mountConfig) { c.Interval = 50 * time.Millisecond })
	m.set("old", "old")
	f, err := os.OpenFile(m.path("old"), os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	f.WriteAt([]byte("N"), 0)
	g, err := os.Create(m.path("flushed"))
	must(t, err)
	defer g.Close()
	dup, err := unix.Dup(int(g.Fd()))
	must(t, err)
	must(t, unix.Close(dup))
	time.Sleep(300 * time.Millisecond)
	m.wantValue("old", "Nld")
	m.wantValue("flushed", "")
}

func TestUnlinkedOpenFile(t *testing.T) {
	for _, committed := range []bool{true, false} {
		m := newMount(t)
		f, err := os.OpenFile(m.path("gone"), os.O_CREATE|os.O_RDWR, 0o644)
		must(t, err)
		fmt.Fprint(f, "0123456789")
		if committed {
			must(t, f.Sync())
		}
		must(t, os.Remove(m.path("gone")))
		m.wantNoKey("gone")
		fmt.Fprint(f, "more")
		got := make([]byte, 20)
		n, _ := f.ReadAt(got, 0)
		if string(got[:n]) != "0123456789more" {
			t.Errorf("committed %v: %q", committed, got[:n])
		}
		var st unix.Stat_t
		must(t, unix.Fstat(int(f.Fd()), &st))
		if st.Nlink != 0 || st.Size != 14 {
			t.Errorf("committed %v: nlink %d, size %d", committed, st.Nlink, st.Size)
		}
		must(t, f.Truncate(4))
		must(t, f.Sync())
		must(t, f.Close())
		m.wantNoKey("gone")
	}
}

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

func TestMmap(t *testing.T) {
	m := newMount(t)
	must(t, os.WriteFile(m.path("map"), bytes.Repeat([]byte("."), 10000), 0o644))
	f, err := os.OpenFile(m.path("map"), os.O_RDWR, 0)
	must(t, err)
	mem, err := unix.Mmap(int(f.Fd()), 0, 10000, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(t, err)
	copy(mem[5000:], "written")
	must(t, unix.Msync(mem, unix.MS_SYNC))
	if got, _ := m.get("map"); got[5000:5007] != "written" {
		t.Error("msync has not committed")
	}
	copy(mem[9990:], "last")
	must(t, unix.Munmap(mem))
	must(t, f.Close())
	m.settle()
	if got, _ := m.get("map"); len(got) != 10000 || got[9990:9994] != "last" {
		t.Errorf("after the last close: %d bytes", len(got))
	}
}

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

func TestSparse(t *testing.T) {
	m := newMount(t)
	f, err := os.Create(m.path("sparse"))
	must(t, err)
	f.WriteAt([]byte("end"), 1<<20)
	f.WriteAt([]byte("mid"), 4096)
	must(t, f.Truncate(2<<20))
	must(t, f.Close())
	want := make([]byte, 2<<20)
	copy(want[1<<20:], "end")
	copy(want[4096:], "mid")
	m.wantFile("sparse", string(want))
	must(t, os.Truncate(m.path("sparse"), 4098))
	m.wantFile("sparse", string(want[:4096])+"mi")
	must(t, os.Truncate(m.path("sparse"), 5000))
	m.wantFile("sparse", string(want[:4096])+"mi"+strings.Repeat("\x00", 902))
}

func TestTooLarge(t *testing.T) {
	m := newMount(t)
	f, err := os.Create(m.path("big"))
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte("x"), kv.ValueBytesMax)
	wantErrno(t, "write", err, syscall.EFBIG)
	if n, err := unix.Pwrite(int(f.Fd()), []byte("xy"), kv.ValueBytesMax-1); n != 1 || err != nil {
		t.Errorf("write across the limit: %d, %v", n, err)
	}
	wantErrno(t, "truncate", f.Truncate(kv.ValueBytesMax+1), syscall.EFBIG)
	must(t, f.Truncate(kv.ValueBytesMax))
	if got := m.stat("big").Size; got != kv.ValueBytesMax {
		t.Error(got)
	}
	must(t, f.Truncate(0))
}

func TestNoSpaceIsRefusedInWrite(t *testing.T) {
	m := newMount(t)
	m.sh("echo x > x")
	m.call("SetCapacity", int64(10000))
	f, err := os.Create(m.path("full"))
	must(t, err)
	_, err = f.Write(make([]byte, 100000))
	wantErrno(t, "write", err, syscall.ENOSPC)
	must(t, f.Close())
	must(t, os.Remove(m.path("x")))
	m.call("SetCapacity", int64(1<<30))
	must(t, os.WriteFile(m.path("y"), make([]byte, 100000), 0o644))
}

// TestFailedCommitIsToldOnceToEachWriter: what cannot be saved is dropped, must
// not look saved, and is not tried again.
func TestFailedCommitIsToldOnceToEachWriter(t *testing.T) {
	m := newMount(t)
	m.set("f", "saved")
	var files [2]*os.File
	for i := range files {
		f, err := os.OpenFile(m.path("f"), os.O_RDWR, 0)
		must(t, err)
		files[i] = f
	}
	reader, err := os.Open(m.path("f"))
	must(t, err)
	m.call("Fail", true)
	files[0].WriteAt([]byte("LOST"), 0)
	wantErrno(t, "the fsync that failed", files[0].Sync(), syscall.EIO)
	m.call("Fail", false)
	m.wantFile("f", "saved")
	must(t, files[0].Sync())
	wantErrno(t, "the other writer's fsync", files[1].Sync(), syscall.EIO)
	must(t, files[0].Close())
	must(t, files[1].Close())
	must(t, reader.Close())
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

func TestSyncWriteCommitsBeforeItReturns(t *testing.T) {
	m := newMount(t)
	f, err := os.OpenFile(m.path("k"), os.O_CREATE|os.O_WRONLY|os.O_SYNC, 0o644)
	must(t, err)
	fmt.Fprint(f, "1")
	m.wantValue("k", "1")
	must(t, f.Close())
}

// TestSignalsDoNotInterruptClose: any signal in the client reaches us as an
// interrupt. close must still say whether the data are saved.
func TestSignalsDoNotInterruptClose(t *testing.T) {
	m := newMount(t)
	m.call("Delay", 300*time.Millisecond)
	cmd := exec.Command("bash", "-c", `trap : USR1; for i in 1 2 3; do echo v > k$i || exit 1; done`)
	cmd.Dir = m.dir
	must(t, cmd.Start())
	for range 20 {
		time.Sleep(40 * time.Millisecond)
		cmd.Process.Signal(syscall.SIGUSR1)
	}
	must(t, cmd.Wait())
	m.wantValue("k3", "v\n")
}

func TestDurabilityModes(t *testing.T) {
	for _, c := range []struct {
		mode      string
		afterSync bool
	}{{"fsync", true}, {"interval", false}} {
		m := newMount(t, func(config *mountConfig) {
			must(t, config.Durability.Set(c.mode))
			config.Interval = 600 * time.Millisecond
		})
		m.call("Delay", 100*time.Millisecond)
		f, err := os.Create(m.path("k"))
		must(t, err)
		fmt.Fprint(f, "v")
		must(t, f.Sync())
		if _, found := m.get("k"); found != c.afterSync {
			t.Errorf("%s: after fsync found %v", c.mode, found)
		}
		fmt.Fprint(f, "w")
		must(t, f.Close())
		m.wantFile("k", "vw")
		if got, _ := m.get("k"); got == "vw" {
			t.Errorf("%s: close has committed", c.mode)
		}
		time.Sleep(1500 * time.Millisecond)
		m.wantValue("k", "vw")
	}
}

// TestRandomOperations does to a file on the mount, with two descriptors and
// native changes to others around it, what it does to one in memory.
func TestRandomOperations(t *testing.T) {
	m := newMount(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var want []byte
	files := [2]*os.File{}
	for i := range files {
		files[i], _ = os.OpenFile(m.path("f"), os.O_CREATE|os.O_RDWR, 0o644)
	}
	for step := range 1500 {
		f := files[rng.IntN(2)]
		switch rng.IntN(8) {
		case 0, 1, 2:
			off, data := rng.IntN(30000), make([]byte, 1+rng.IntN(9000))
			for i := range data {
				data[i] = byte(rng.Uint32())
			}
			if len(want) < off+len(data) {
				want = append(want, make([]byte, off+len(data)-len(want))...)
			}
			copy(want[off:], data)
			_, err := f.WriteAt(data, int64(off))
			must(t, err)
		case 3:
			size := rng.IntN(40000)
			want = append(want[:min(size, len(want))], make([]byte, max(0, size-len(want)))...)
			must(t, f.Truncate(int64(size)))
		case 4:
			must(t, f.Sync())
		case 5:
			must(t, files[0].Close())
			files[0], _ = os.OpenFile(m.path("f"), os.O_RDWR, 0)
		case 6:
			must(t, os.Rename(m.path("f"), m.path("g")))
			must(t, os.Rename(m.path("g"), m.path("f")))
		case 7:
			got, err := os.ReadFile(m.path("f"))
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("step %d: %d bytes, want %d; %v", step, len(got), len(want), err)
			}
		}
	}
	must(t, files[0].Close())
	must(t, files[1].Close())
	m.wantValue("f", string(want))
}
