package tests

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// traced runs work while strace watches the server's flushes, and returns how many
// there were.
func traced(t *testing.T, p *place, work func()) int {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed")
	}
	pids := p.servers()
	if len(pids) != 1 {
		t.Fatalf("servers: %v", pids)
	}
	out := p.home + "/strace"
	cmd := exec.Command("strace", "-f", "-q", "-e", "trace=fdatasync,fsync", "-o", out, "-p", fmt.Sprint(pids[0]))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Signal(os.Interrupt)
	if !eventually(10*time.Second, func() bool { return isTraced(pids[0]) }) {
		t.Skip("strace may not attach here")
	}
	work()
	text, _ := os.ReadFile(out)
	return strings.Count(string(text), "sync(")
}

// isTraced says whether every thread has a tracer.
func isTraced(pid int) bool {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, thread := range threads {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/status", pid, thread.Name()))
		if strings.Contains(string(status), "TracerPid:\t0\n") {
			return false
		}
	}
	return err == nil && len(threads) > 0
}

// TestCloseReturnsAfterTheFlush counts flushes: a kill alone would not notice one
// that is left out, since the kernel writes what the dead server had handed over.
func TestCloseReturnsAfterTheFlush(t *testing.T) {
	const n = 20
	p := newMount(t)
	time.Sleep(1500 * time.Millisecond) // the append of an idle second is not ours
	steps := []struct {
		name string
		one  func(i int) error
	}{
		{"close", func(i int) error { return os.WriteFile(p.path(fmt.Sprint("f", i)), []byte("x"), 0o644) }},
		{"rename", func(i int) error { return os.Rename(p.path(fmt.Sprint("f", i)), p.path(fmt.Sprint("g", i))) }},
		{"chmod", func(i int) error { return os.Chmod(p.path(fmt.Sprint("g", i)), 0o600) }},
		{"unlink", func(i int) error { return os.Remove(p.path(fmt.Sprint("g", i))) }},
		{"mkdir", func(i int) error { return os.Mkdir(p.path(fmt.Sprint("d", i)), 0o755) }},
		{"symlink", func(i int) error { return os.Symlink("x", p.path(fmt.Sprint("l", i))) }},
	}
	for _, step := range steps {
		flushes := traced(t, p, func() {
			for i := range n {
				if err := step.one(i); err != nil {
					t.Fatal(err)
				}
			}
		})
		t.Logf("%d times %s: %d flushes", n, step.name, flushes)
		if flushes < n {
			t.Errorf("%d times %s, one after the other, made %d flushes: some were acknowledged before they were on disk",
				n, step.name, flushes)
		}
		if flushes > n+n/2 {
			t.Errorf("%d times %s made %d flushes: one each is enough", n, step.name, flushes)
		}
	}
}

// TestWritersShareAFlush: many files closed at once need fewer flushes than files.
func TestWritersShareAFlush(t *testing.T) {
	const writers, each = 32, 8
	p := newMount(t)
	flushes := traced(t, p, func() {
		done := make(chan error)
		for w := range writers {
			go func() {
				var err error
				for i := range each {
					name := fmt.Sprintf("w%d-%d", w, i)
					if e := os.WriteFile(p.path(name), []byte(name), 0o644); e != nil {
						err = e
					}
				}
				done <- err
			}()
		}
		for range writers {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	t.Logf("%d files by %d writers: %d flushes", writers*each, writers, flushes)
	if flushes > writers*each*3/4 {
		t.Errorf("%d files needed %d flushes: writers do not share them", writers*each, flushes)
	}
}
