package fusefs_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestCopyOfARealTree copies a real source tree with cp -a and compares
// everything that cp -a keeps.
func TestCopyOfARealTree(t *testing.T) {
	m := newMount(t)
	src := filepath.Join(runtime.GOROOT(), "src", "net")
	links := t.TempDir()
	must(t, exec.Command("bash", "-c", "cd "+links+`; ln -s /nowhere/at/all dangling; ln -s . self; mkfifo fifo
		echo private > private; chmod 0400 private; touch -d '1999-12-31 23:59:59.123456789' old; mkdir -m 1777 sticky
		dd if=/dev/urandom of=large bs=1M count=5 status=none; truncate -s 3M sparse; setfattr -n user.x -v y old 2>/dev/null || true`).Run())
	for name, dir := range map[string]string{"net": src, "links": links} {
		if out, err := exec.Command("cp", "-a", dir, m.path(name)).CombinedOutput(); err != nil {
			t.Fatalf("cp -a: %v\n%s", err, out)
		}
		compareTrees(t, dir, m.path(name))
	}
	m.sh("mv net moved; tar cf - moved | tar xf - -C links; diff -r --no-dereference moved links/moved; grep -rq ListenAndServe moved")
	compareTrees(t, src, m.path("moved"))
	compareTrees(t, src, m.path("links/moved"))
	m.sh("rm -rf moved links")
	if keys := m.call("Keys", "").Keys; len(keys) > 0 {
		t.Errorf("rm -rf has left %q", keys[0])
	}
}

// compareTrees compares contents with diff, and mode, owner, mtime and link
// target of each file.
func compareTrees(t *testing.T, want, got string) {
	t.Helper()
	if out, err := exec.Command("bash", "-c", "diff -r --no-dereference "+want+" "+got+" | grep -v 'is a fifo'").Output(); len(out) > 0 {
		t.Errorf("diff: %v\n%s", err, out)
	}
	count := 0
	err := filepath.WalkDir(want, func(path string, _ os.DirEntry, err error) error {
		rel, _ := filepath.Rel(want, path)
		compareFiles(t, path, filepath.Join(got, rel))
		count++
		return err
	})
	if err != nil || count < 5 {
		t.Errorf("%d files: %v", count, err)
	}
}

func compareFiles(t *testing.T, want, got string) {
	t.Helper()
	var w, g unix.Stat_t
	if err := unix.Lstat(want, &w); err != nil {
		t.Fatal(err)
	}
	if err := unix.Lstat(got, &g); err != nil {
		t.Error(err)
		return
	}
	if w.Mode != g.Mode || w.Uid != g.Uid || w.Gid != g.Gid || w.Mtim != g.Mtim {
		t.Errorf("%s: mode %o owner %d:%d mtime %v; want %o %d:%d %v",
			got, g.Mode, g.Uid, g.Gid, g.Mtim, w.Mode, w.Uid, w.Gid, w.Mtim)
	}
	if w.Mode&unix.S_IFMT != unix.S_IFDIR && w.Size != g.Size {
		t.Errorf("%s: %d bytes, want %d", got, g.Size, w.Size)
	}
	wt, _ := os.Readlink(want)
	if gt, _ := os.Readlink(got); gt != wt {
		t.Errorf("%s -> %s, want %s", got, gt, wt)
	}
}

// TestManyAtOnce has several processes create, write, rename and remove in the
// same directories, while a native client changes keys among them. Nothing may
// hang, fail otherwise than by losing a race, or leave an uncommitted file.
func TestManyAtOnce(t *testing.T) {
	m := newMount(t)
	m.sh("mkdir -p d0 d1 d2")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	deadline := time.Now().Add(3 * time.Second)
	var all sync.WaitGroup
	for worker := range 8 {
		rng := rand.New(rand.NewPCG(seed, uint64(worker)))
		all.Go(func() {
			for time.Now().Before(deadline) {
				if err := oneOfMany(m, rng); err != nil && !isLostRace(err) {
					t.Error(err)
					return
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(seed, 99))
	for time.Now().Before(deadline) {
		m.set(fmt.Sprintf("d%d/f%d", rng.IntN(3), rng.IntN(10)), "native")
	}
	all.Wait()
	m.sh("find . -type f | xargs cat > /dev/null; rm -rf d0 d1 d2")
	m.settle()
	if keys := m.call("Keys", "").Keys; len(keys) > 0 {
		t.Errorf("rm -rf has left %q", keys)
	}
}

func oneOfMany(m *mount, rng *rand.Rand) error {
	name := func() string { return m.path(fmt.Sprintf("d%d/f%d", rng.IntN(3), rng.IntN(10))) }
	dir := func() string { return m.path(fmt.Sprintf("d%d/dir%d", rng.IntN(3), rng.IntN(2))) }
	switch rng.IntN(9) {
	case 0, 1:
		return os.WriteFile(name(), []byte("text"), 0o644)
	case 2:
		return os.Rename(name(), name())
	case 3:
		return os.Remove(name())
	case 4:
		_, err := os.ReadFile(name())
		return err
	case 5:
		_, err := os.ReadDir(m.path(fmt.Sprintf("d%d", rng.IntN(3))))
		return err
	case 6:
		return os.Mkdir(dir(), 0o755)
	case 7:
		return os.Rename(dir(), dir())
	default:
		return os.WriteFile(dir()+"/x", []byte("text"), 0o644)
	}
}

// isLostRace says that an error is one of those that come when others are at the
// same names: what a local filesystem gives too, and ESTALE, when a name that was
// looked up is removed before it is opened, twice in a row (the kernel tries again
// once).
func isLostRace(err error) bool {
	for _, errno := range []unix.Errno{unix.ENOENT, unix.EEXIST, unix.ENOTEMPTY, unix.ENOTDIR, unix.EISDIR, unix.ESTALE} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
