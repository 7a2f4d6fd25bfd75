package fusefs_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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
	m.waitValue("old", "Nld")
	m.waitValue("flushed", "")
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

func TestSyncWriteCommitsBeforeItReturns(t *testing.T) {
	m := newMount(t)
	f, err := os.OpenFile(m.path("k"), os.O_CREATE|os.O_WRONLY|os.O_SYNC, 0o644)
	must(t, err)
	fmt.Fprint(f, "1")
	m.wantValue("k", "1")
	must(t, f.Close())
}

// TestUnsavedDataHasABound: what is being created must not be seen half done, so it
// stays in memory, and beyond the bound a write is refused; not with ENOSPC, the disk
// has room. What is refused is not in the file, and each close makes room.
func TestUnsavedDataHasABound(t *testing.T) {
	const bound, piece = 4 << 20, 128 << 10
	m := newMount(t, func(c *mountConfig) { c.Unsaved = bound })
	block := bytes.Repeat([]byte("unsaved "), piece/8)
	var files [3]*os.File
	for i := range files {
		f, err := os.Create(m.path(fmt.Sprint("f", i)))
		must(t, err)
		files[i] = f
	}
	written := 0
	var err error
	for ; err == nil && written <= bound; written += piece {
		_, err = files[written/piece%3].Write(block)
	}
	wantErrno(t, "a write beyond the bound", err, syscall.ENOBUFS)
	if written != bound+piece {
		t.Errorf("%d bytes were taken, want %d", written-piece, bound)
	}
	m.wantNoKey("f0")
	must(t, files[0].Close())
	if value, _ := m.get("f0"); len(value) != 11*piece {
		t.Errorf("the first file has %d bytes, want %d", len(value), 11*piece)
	}
	_, err = files[1].Write(block)
	must(t, err)
	// What is in the store already is committed to make room.
	f, err := os.OpenFile(m.path("f0"), os.O_WRONLY, 0)
	must(t, err)
	for range 2 * bound / piece {
		_, err := f.WriteAt(block, 0)
		must(t, err)
		_, err = f.Seek(0, io.SeekEnd)
		must(t, err)
		_, err = f.Write(block)
		must(t, err)
	}
	for _, f := range []*os.File{f, files[1], files[2]} {
		must(t, f.Close())
	}
	if value, _ := m.get("f0"); len(value) != 11*piece+2*bound {
		t.Errorf("the first file has %d bytes, want %d", len(value), 11*piece+2*bound)
	}
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
			config.Interval = time.Second
		})
		m.call("Delay", 400*time.Millisecond)
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
		m.waitValue("k", "vw")
	}
}
