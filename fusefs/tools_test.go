package fusefs_test

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFifosSocketsLocksAndPrograms(t *testing.T) {
	m := newMount(t)
	m.sh(`mkfifo fifo; cat fifo > out & echo through > fifo; wait; grep -qx through out
		cp /bin/true program; ./program
		exec 9> lock; flock 9; ! flock -n lock true; exec 9>&-; flock -n lock true`)
	l, err := net.Listen("unix", m.path("socket"))
	must(t, err)
	defer l.Close()
	if mode := m.stat("socket").Mode; mode&unix.S_IFMT != unix.S_IFSOCK {
		t.Errorf("mode %o", mode)
	}
	c, err := net.Dial("unix", m.path("socket"))
	must(t, err)
	must(t, c.Close())
}

// TestUnmountOfABusyMount: while a file is open the mount stays, and nobody sees
// the file half done for the attempt.
func TestUnmountOfABusyMount(t *testing.T) {
	m := newMount(t)
	f, err := os.Create(m.path("open"))
	must(t, err)
	fmt.Fprint(f, "unsaved")
	err = m.child.Call("Child.Unmount", 0, new(int))
	if err == nil {
		t.Fatal("unmounted while a file is open")
	}
	m.wantNoKey("open")
	fmt.Fprint(f, " and more")
	must(t, f.Close())
	m.wantFile("open", "unsaved and more")
}

// TestOpenOfWhatIsReplacedNeverFails: readers of a file that is replaced by rename
// find the old one or the new one, whole.
func TestOpenOfWhatIsReplacedNeverFails(t *testing.T) {
	m := newMount(t)
	m.sh("echo 0 > f")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 300 {
			os.WriteFile(m.path("tmp"), []byte(fmt.Sprint(i)), 0o644)
			os.Rename(m.path("tmp"), m.path("f"))
		}
	}()
	for {
		select {
		case <-done:
			return
		default:
		}
		fd, err := syscall.Open(m.path("f"), syscall.O_RDONLY, 0)
		must(t, err)
		buf := make([]byte, 10)
		if n, err := syscall.Read(fd, buf); n == 0 || err != nil {
			t.Fatalf("read %d bytes, %v", n, err)
		}
		syscall.Close(fd)
	}
}
