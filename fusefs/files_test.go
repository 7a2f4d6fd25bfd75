package fusefs_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
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
		must(t, f.Chmod(0o600))
		must(t, unix.Fsetxattr(int(f.Fd()), "user.x", []byte("y"), 0))
		must(t, unix.Fstat(int(f.Fd()), &st))
		if st.Mode&0o777 != 0o600 {
			t.Errorf("committed %v: mode %o", committed, st.Mode)
		}
		must(t, f.Truncate(4))
		must(t, f.Sync())
		must(t, f.Close())
		m.wantNoKey("gone")
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

const fileBytesMax = 64 << 20 // as README says

func TestTooLarge(t *testing.T) {
	m := newMount(t)
	f, err := os.Create(m.path("big"))
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte("x"), fileBytesMax)
	wantErrno(t, "write", err, syscall.EFBIG)
	if n, err := unix.Pwrite(int(f.Fd()), []byte("xy"), fileBytesMax-1); n != 1 || err != nil {
		t.Errorf("write across the limit: %d, %v", n, err)
	}
	wantErrno(t, "truncate", f.Truncate(fileBytesMax+1), syscall.EFBIG)
	must(t, f.Truncate(fileBytesMax))
	if got := m.stat("big").Size; got != fileBytesMax {
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
