package tests

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// newFullable is a mounted store on a small disk of its own.
func newFullable(t *testing.T, kilobytes int) *place {
	needMount(t)
	p := newPlace(t)
	if err := os.Mkdir(p.home+"/disk", 0o755); err != nil {
		t.Fatal(err)
	}
	err := syscall.Mount("kivaloo-test", p.home+"/disk", "tmpfs", 0, fmt.Sprintf("size=%dk", kilobytes))
	if err != nil {
		skipMount(t, "cannot mount a tmpfs: "+err.Error())
	}
	p.dir = p.home + "/disk/store"
	p.sock = p.dir + "/kivaloo.sock"
	p.mount()
	return p
}

// fileSize is that of the files that fill the disk: some inline, some blobs.
func fillText(i int) string {
	return strings.Repeat(fmt.Sprintf("file %d, ", i), 1+i%1000)
}

// fill writes files until the disk is full and returns how many closed without an
// error, and the error of the one after.
func fill(p *place, dir string) (n int, err error) {
	for ; n < 100000; n++ {
		name := fmt.Sprintf("%s/%d", dir, n)
		if err := os.WriteFile(p.path(name), []byte(fillText(n)), 0o644); err != nil {
			return n, err
		}
	}
	return n, nil
}

func checkFilled(t *testing.T, p *place, dir string, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		got, err := os.ReadFile(p.path(fmt.Sprintf("%s/%d", dir, i)))
		if err != nil || string(got) != fillText(i) {
			t.Fatalf("file %d of %d has %d bytes (%v), want %d", i, to, len(got), err, len(fillText(i)))
		}
	}
}

// TestFullDisk: writes get ENOSPC, all that was acknowledged stays, deleting works
// and makes room without a restart, on both sides. And again, and after a kill.
func TestFullDisk(t *testing.T) {
	p := newFullable(t, 32<<10)
	for round := range 3 {
		dir := fmt.Sprintf("round%d", round)
		if err := os.Mkdir(p.path(dir), 0o755); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		n, err := fill(p, dir)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("round %d: after %d files: %v, want ENOSPC", round, n, err)
		}
		t.Logf("round %d: full after %d files", round, n)
		if n < 1000 {
			t.Errorf("round %d: only %d files of 6 kB on 32 MiB", round, n)
		}
		fullSocket(t, p)
		checkFilled(t, p, dir, 0, n)
		if round == 1 {
			p.crash()
			p.mount()
			checkFilled(t, p, dir, 0, n)
		}
		emptyAgain(t, p, dir, n)
	}
}

// fullSocket: a native write is refused or done, but kills nobody.
func fullSocket(t *testing.T, p *place) {
	t.Helper()
	for i := range 100 {
		r := p.native("set", fmt.Sprintf("native%d", i), strings.Repeat("v", 200))
		if r.code == 0 {
			continue
		}
		if r.code != 10 && r.code != 8 { // protocol v1 has no word for it but the end
			t.Errorf("set on a full disk: exit code %d, stderr %q", r.code, r.err)
		}
		break
	}
	for i := range 100 {
		p.native("del", fmt.Sprintf("native%d", i)).expect(t, 0)
	}
}

// emptyAgain deletes everything, first one by one and then with rm -rf, and checks
// that there is room again.
func emptyAgain(t *testing.T, p *place, dir string, n int) {
	t.Helper()
	for i := range n / 2 {
		if err := os.Remove(p.path(fmt.Sprintf("%s/%d", dir, i))); err != nil {
			t.Fatalf("delete %d of %d on a full disk: %v", i, n, err)
		}
	}
	checkFilled(t, p, dir, n/2, n)
	written := 0
	ok := eventually(commandMax/2, func() bool {
		err := os.WriteFile(p.path("again"), []byte(strings.Repeat("x", 100000)), 0o644)
		written++
		return err == nil
	})
	if !ok {
		t.Fatalf("still no room for 100 kB after half of the files were deleted (%d tries)", written)
	}
	shell(t, p.mnt, "rm -rf again "+dir)
}

// TestSmallDisksAreEmptied: some disks, once they were full, let nothing be deleted
// any more: a ninth MiB was enough, or three writers on the eighth.
func TestSmallDisksAreEmptied(t *testing.T) {
	for _, kilobytes := range []int{4096, 8192, 9216 - 24, 9216} {
		t.Run(fmt.Sprint(kilobytes, "k"), func(t *testing.T) {
			p := newFullable(t, kilobytes)
			shell(t, p.mnt, "mkdir r")
			n := fillSmall(t, p)
			if kilobytes == 9216 {
				p.crash()
				p.mount()
			}
			shell(t, p.mnt, "rm -rf r")
			big := strings.Repeat("x", kilobytes<<10/3)
			if err := os.WriteFile(p.path("big"), []byte(big), 0o644); err != nil {
				t.Errorf("a third of the disk, after %d files were deleted: %v", n, err)
			}
			shell(t, p.mnt, "mkdir s; rm -r s big")
		})
	}
}

// fillSmall writes small files, with three writers, until each is refused.
func fillSmall(t *testing.T, p *place) int {
	var written atomic.Int64
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for i := 0; ; i++ {
				text := strings.Repeat("A", []int{5, 100, 900, 3000, 10000}[(7*i+w)%5])
				err := os.WriteFile(p.path(fmt.Sprintf("r/%d-%d", w, i)), []byte(text), 0o644)
				if errors.Is(err, syscall.ENOSPC) {
					return
				}
				if err != nil || i > 1e5 {
					t.Errorf("file %d: %v", i, err)
					return
				}
				written.Add(1)
			}
		})
	}
	wg.Wait()
	t.Logf("full after %d files", written.Load())
	return int(written.Load())
}
