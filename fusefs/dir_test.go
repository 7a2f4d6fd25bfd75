package fusefs_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kivaloo/kvstore/kv"
)

func TestCwdThatIsRemoved(t *testing.T) {
	m := newMount(t)
	m.sh(`mkdir d; cd d; rmdir ../d; stat -c %h . | grep -qx 0; ! touch x 2>/dev/null; test -z "$(ls -A .)"`)
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

// TestListingOfADirectoryThatIsRenamed: the keys behind a listing change in the
// middle of it.
func TestListingOfADirectoryThatIsRenamed(t *testing.T) {
	m := newMount(t)
	m.sh("mkdir d; for i in $(seq 1000 1900); do echo > d/f$i; done")
	dir, err := unix.Open(m.path("d"), unix.O_DIRECTORY, 0)
	must(t, err)
	defer unix.Close(dir)
	total := 0
	for i := 0; ; i++ {
		buf := make([]byte, 2000)
		n, err := unix.ReadDirent(dir, buf)
		must(t, err)
		if n == 0 {
			break
		}
		_, count, _ := unix.ParseDirent(buf[:n], -1, nil)
		total += count
		must(t, os.Rename(m.path("d"+strings.Repeat("x", i%2)), m.path("d"+strings.Repeat("x", (i+1)%2))))
	}
	if total != 901 {
		t.Errorf("%d entries of 901", total)
	}
}

func TestForgetLeadsBackToTheRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		skipMount(t, "needs root to drop the kernel's caches")
	}
	m := newMount(t)
	m.sh("mkdir -p a/b/c; for i in $(seq 100); do echo $i > a/b/c/$i; done; mv a/b a/d; rm a/d/c/5?; echo x > t; mv t a/d/c/1; mv a/d/c/2 a/d/c/3; find . | xargs stat > /dev/null")
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
