package fusefs_test

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// TestCommitsOfEachCommand counts what the shell's commands cost: a durable
// small write is one commit, and so is everything that changes one name.
func TestCommitsOfEachCommand(t *testing.T) {
	m := newMount(t)
	for _, c := range []struct {
		script string
		want   int
	}{
		{"echo v > new", 1},
		{"echo w > new", 1},
		{"echo x >> new", 1},
		{"touch empty", 1},
		{"touch new", 1},
		{"mkdir d", 1},
		{"cp new d/copy", 1},
		{"mv d/copy d/moved", 1},
		{"mv new d/moved", 1},
		{"ln -s target link", 1},
		{"chmod 600 d/moved", 1},
		{"mv d e", 1},
		{"rm e/moved", 1},
		{"rmdir e", 1},
		{"mkfifo fifo", 1},
		{": > trunc", 1},
		{"cat link2 2>/dev/null || ls -l > /dev/null", 0},
		{"truncate -s 100 empty", 1},
		{"exec 8>held; true; true; echo 1 >&8; true; exec 8>&-", 1},
	} {
		before := m.commits()
		m.sh(c.script)
		m.settle()
		if got := m.commits() - before; got != c.want {
			t.Errorf("%s: %d commits, want %d", c.script, got, c.want)
		}
	}
}

// settle waits for the RELEASE of what has been closed: the kernel sends it
// after close has returned.
func (m *mount) settle() {
	for before := -1; ; time.Sleep(20 * time.Millisecond) {
		if now := m.commits(); now == before {
			return
		} else {
			before = now
		}
	}
}

func TestCpOfPreservedAttributesIsOneCommit(t *testing.T) {
	m := newMount(t)
	src := t.TempDir() + "/src"
	must(t, os.WriteFile(src, []byte("text"), 0o640))
	before := m.commits()
	m.sh(fmt.Sprintf("cp -p %s copy", src))
	m.settle()
	if got := m.commits() - before; got != 1 {
		t.Errorf("%d commits", got)
	}
	m.wantValue("copy", "text")
}
