package tests

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestUnmountCommitsWhatWaits: a bare create or truncate waits for a moment; an
// unmount ends the wait.
func TestUnmountCommitsWhatWaits(t *testing.T) {
	p := newMount(t)
	p.write("old", "contents")
	shell(t, p.mnt, "touch new; truncate -s 3 old")
	p.umount()
	p.mount()
	if got := p.read("new") + p.read("old"); got != "con" {
		t.Errorf("the files have %q", got)
	}
}

// TestUnlinkedOpenFileIsGoneAfterAKill: nothing of it is left, in any keyspace
// that a client sees.
func TestUnlinkedOpenFileIsGoneAfterAKill(t *testing.T) {
	p := newMount(t)
	p.write("file", strings.Repeat("x", 100000))
	f, err := os.OpenFile(p.path("file"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Remove(p.path("file")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("still there"), 5); err != nil {
		t.Errorf("write to an unlinked file: %v", err)
	}
	if err := f.Sync(); err != nil {
		t.Errorf("fsync of an unlinked file: %v", err)
	}
	b := make([]byte, 11)
	if _, err := f.ReadAt(b, 5); err != nil || string(b) != "still there" {
		t.Errorf("it reads as %q (%v)", b, err)
	}
	p.crash()
	p.mount()
	if out := shell(t, p.mnt, "ls -A"); out != "" {
		t.Errorf("ls shows %q", out)
	}
	if out := p.native("range").expect(t, 0).out; out != "" {
		t.Errorf("range shows %q", clip(out))
	}
}

// TestMappedMemory: what is stored through mmap is in the store after msync, and
// what a native client sets is seen by a new mapping.
func TestMappedMemory(t *testing.T) {
	p := newMount(t)
	p.write("mapped", "0123456789")
	f, err := os.OpenFile(p.path("mapped"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	m, err := syscall.Mmap(int(f.Fd()), 0, 10, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	copy(m[3:], "abc")
	if err := f.Sync(); err != nil {
		t.Error(err)
	}
	if got := p.get("mapped"); got != "012abc6789" {
		t.Errorf("the socket answers %q after fsync", got)
	}
	if err := syscall.Munmap(m); err != nil {
		t.Error(err)
	}
	f.Close()
	p.set("mapped", "native set")
	if got := p.read("mapped"); got != "native set" {
		t.Errorf("the mount shows %q", got)
	}
}

// TestRenameOntoIsAtomic: a file that is replaced again and again by rename is
// always there, and always whole, for readers on both sides.
func TestRenameOntoIsAtomic(t *testing.T) {
	const rounds = 300
	p := newMount(t)
	p.write("target", strings.Repeat("0", 200))
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for _, s := range []side{mountSide{p}, socketSide{dial(t, p.sock)}} {
		readers.Go(func() { readWhole(t, s, "target", stop) })
	}
	for i := range rounds {
		p.write("temporary", strings.Repeat(fmt.Sprint(i%10), 200))
		if err := os.Rename(p.path("temporary"), p.path("target")); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	readers.Wait()
}

func readWhole(t *testing.T, s side, key string, stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		got, err := s.read(key)
		if err != nil || len(got) != 200 || got != strings.Repeat(got[:1], 200) {
			t.Errorf("the %s shows %q (%v)", s.name(), got, err)
			return
		}
	}
}

// TestManyConnections: each gets its answers, with all of them open at once.
func TestManyConnections(t *testing.T) {
	const connections = 300
	p := newPlace(t)
	p.serve()
	var all sync.WaitGroup
	for i := range connections {
		c := dial(t, p.sock)
		all.Go(func() {
			key := fmt.Sprint("key", i)
			if err := c.set(key, key); err != nil {
				t.Error(err)
			}
			if got, ok, err := c.get(key); got != key || !ok || err != nil {
				t.Errorf("%s is %q, %v, %v", key, got, ok, err)
			}
		})
	}
	all.Wait()
}

// TestManyUmountsAtOnce: the mount goes away once, and whoever asked before that is
// told how its server ended.
func TestManyUmountsAtOnce(t *testing.T) {
	p := newMount(t)
	for round := range 6 {
		p.write("file", "contents")
		var all sync.WaitGroup
		var results [4]result
		for i := range results {
			all.Go(func() { results[i] = kivaloo(t, "umount", p.mnt) })
		}
		all.Wait()
		done := 0
		for _, r := range results {
			if r.code == 0 {
				done++
			} else {
				r.expect(t, 9, "no store is mounted")
			}
		}
		if done == 0 || isMounted(p.mnt) {
			t.Errorf("round %d: %d umounts have answered 0, still mounted: %v", round, done, isMounted(p.mnt))
		}
		p.mount()
	}
}

// TestLoopbackAddress: TCP within the machine needs no more than an address.
func TestLoopbackAddress(t *testing.T) {
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skip(err)
	}
	addr := probe.Addr().String()
	probe.Close()
	p := newPlace(t)
	p.serve("--socket", addr)
	p.sock = addr
	p.set("a", "b")
	if got := p.get("a"); got != "b" {
		t.Errorf("a is %q", got)
	}
}

// TestMountByOthersNamesThePackage: without root the mount needs a helper, and the
// error says where it comes from.
func TestMountByOthersNamesThePackage(t *testing.T) {
	needMount(t)
	if _, err := exec.LookPath("fusermount3"); err == nil {
		t.Skip("fusermount3 is installed")
	}
	p := newPlace(t)
	const nobody = 65534
	for _, dir := range []string{base, p.home} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(p.home, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "mount", p.dir, p.mnt)
	cmd.Dir = p.home
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "fuse3") {
		t.Errorf("%v: %s", err, out)
	}
}
