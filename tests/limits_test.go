package tests

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

const (
	fileBytesMax = 64 << 20
	keyBytesMax  = 4095
	nameBytesMax = 1024
)

func TestNameOverTheLimitIsENAMETOOLONG(t *testing.T) {
	p := newMount(t)
	for _, n := range []int{255, 700, nameBytesMax - 2} {
		name := strings.Repeat("n", n)
		p.write(name, "x")
		if got := p.read(name); got != "x" {
			t.Errorf("a name of %d bytes: %q", n, got)
		}
	}
	err := os.WriteFile(p.path(strings.Repeat("n", nameBytesMax+1)), nil, 0o644)
	if !errors.Is(err, syscall.ENAMETOOLONG) {
		t.Errorf("a name of %d bytes: %v", nameBytesMax+1, err)
	}
}

// TestPathOverTheLimitIsENAMETOOLONG goes down folder by folder, since the kernel
// takes no path of more than 4095 bytes at once.
func TestPathOverTheLimitIsENAMETOOLONG(t *testing.T) {
	p := newMount(t)
	const name = 199
	dir, err := syscall.Open(p.mnt, syscall.O_DIRECTORY|syscall.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	depth := 0
	for ; depth*(name+1) <= keyBytesMax; depth++ {
		folder := strings.Repeat("d", name)
		if err = syscall.Mkdirat(dir, folder, 0o755); err != nil {
			break
		}
		next, openErr := syscall.Openat(dir, folder, syscall.O_DIRECTORY|syscall.O_RDONLY, 0)
		if openErr != nil {
			t.Fatal(openErr)
		}
		syscall.Close(dir)
		dir = next
	}
	syscall.Close(dir)
	if !errors.Is(err, syscall.ENAMETOOLONG) || (depth+1)*(name+1) <= keyBytesMax {
		t.Errorf("after %d folders of %d bytes: %v", depth, name, err)
	}
	shell(t, p.mnt, "rm -rf d*")
}

func TestFileOverTheLimitIsEFBIG(t *testing.T) {
	p := newMount(t)
	f, err := os.Create(p.path("big"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), fileBytesMax); !errors.Is(err, syscall.EFBIG) {
		t.Errorf("a byte beyond the limit: %v", err)
	}
	if err := f.Truncate(fileBytesMax + 1); !errors.Is(err, syscall.EFBIG) {
		t.Errorf("truncate beyond the limit: %v", err)
	}
	if _, err := f.WriteAt([]byte("small"), 0); err != nil {
		t.Errorf("a write after one that was refused: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("close after a write that was refused: %v", err)
	}
	if got := p.read("big"); got != "small" {
		t.Errorf("the file has %d bytes", len(got))
	}
}

// TestLargestFile: 64 MiB, written, patched, truncated, and read after a kill.
func TestLargestFile(t *testing.T) {
	p := newMount(t)
	want := make([]byte, fileBytesMax)
	for i := range want {
		want[i] = byte(i>>16 ^ i*7)
	}
	if err := os.WriteFile(p.path("largest"), want, 0o644); err != nil {
		t.Fatal(err)
	}
	p.crash()
	p.mount()
	if got, err := os.ReadFile(p.path("largest")); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes (%v) after a kill", len(got), err)
	}
	f, err := os.OpenFile(p.path("largest"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	patch := bytes.Repeat([]byte("patch"), 1000)
	for _, off := range []int{0, 4093, 1<<20 - 1, fileBytesMax - len(patch)} {
		copy(want[off:], patch)
		if _, err := f.WriteAt(patch, int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	want = want[:40<<20+17]
	if err := f.Truncate(int64(len(want))); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	p.crash()
	p.mount()
	if got, err := os.ReadFile(p.path("largest")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes (%v) after patches, truncate and a kill, want %d", len(got), err, len(want))
	}
}
