package fusefs_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kivaloo/fusefs"
)

func TestCheckMountPoint(t *testing.T) {
	dir := t.TempDir()
	must(t, fusefs.CheckMountPoint(dir))
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o644))
	for path, want := range map[string]error{
		dir: fusefs.ErrMountPointNotEmpty, file: fusefs.ErrMountPointNotDir, dir + "/none": os.ErrNotExist,
	} {
		if err := fusefs.CheckMountPoint(path); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	m := newMount(t)
	if err := fusefs.CheckMountPoint(m.dir); !errors.Is(err, fusefs.ErrMountPointUsed) {
		t.Errorf("a mount that answers: %v", err)
	}
	if err := fusefs.ClearDeadMount(m.dir); err == nil {
		t.Error("a mount that answers has been taken away")
	}
	m.names("") // it still answers
}

func TestDeadMountIsFoundAndCleared(t *testing.T) {
	m := newMount(t, func(c *mountConfig) { c.MountPoint = filepath.Join(t.TempDir(), "a b") })
	t.Cleanup(func() { unix.Unmount(m.dir, unix.MNT_DETACH) })
	m.kill()
	if err := fusefs.CheckMountPoint(m.dir); !errors.Is(err, fusefs.ErrMountPointDead) {
		t.Errorf("a mount whose server is gone: %v", err)
	}
	must(t, fusefs.ClearDeadMount(m.dir))
	must(t, fusefs.CheckMountPoint(m.dir))
}

// TestTwoClaimsOfOnePlace: of two who would mount at one place, the second is
// refused before the first has mounted.
func TestTwoClaimsOfOnePlace(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mnt")
	must(t, os.Mkdir(dir, 0o755))
	first, err := fusefs.ClaimMountPoint(dir)
	must(t, err)
	if _, err := fusefs.ClaimMountPoint(dir); !errors.Is(err, fusefs.ErrMountPointUsed) {
		t.Errorf("a place that is claimed: %v", err)
	}
	must(t, os.Remove(dir)) // as who gives up does with what it has made
	must(t, os.Mkdir(dir, 0o755))
	second, err := fusefs.ClaimMountPoint(dir)
	must(t, err)
	first.Release()
	second.Release()
	third, err := fusefs.ClaimMountPoint(dir)
	must(t, err)
	third.Release()
}

// TestDesignNamesEveryFile keeps the section "Code structure" true.
func TestDesignNamesEveryFile(t *testing.T) {
	design, err := os.ReadFile("DESIGN.md")
	must(t, err)
	_, structure, _ := strings.Cut(string(design), "## Code structure")
	for _, pattern := range []string{"*.go", "attr/*.go"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			if !strings.Contains(structure, "`"+file+"`") {
				t.Errorf("DESIGN.md does not name %s", file)
			}
		}
	}
}
