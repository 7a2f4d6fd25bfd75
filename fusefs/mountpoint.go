package fusefs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

var (
	// ErrMountPointUsed: something is mounted there and answers.
	ErrMountPointUsed = errors.New("mount point is in use")
	// ErrMountPointDead: a FUSE mount is there whose server is gone. ClearDeadMount
	// takes it away.
	ErrMountPointDead = errors.New("mount point holds a mount whose server is gone")
	// ErrMountPointNotEmpty: there are files below it, which a mount would hide.
	ErrMountPointNotEmpty = errors.New("mount point is not empty")
	// ErrMountPointNotDir: it is no directory.
	ErrMountPointNotDir = errors.New("mount point is not a directory")
	// ErrNoFUSE: nothing can be mounted on this machine, or not by this user.
	ErrNoFUSE = errors.New("FUSE cannot be used")
)

// CheckFUSE says whether this machine and this user can mount at all: nil, or
// ErrNoFUSE with what is missing. direct means to mount without fusermount3,
// as only root may.
func CheckFUSE(direct bool) error {
	if _, err := os.Stat("/dev/fuse"); err != nil {
		return fmt.Errorf("%w: %w (load the kernel's module: modprobe fuse)", ErrNoFUSE, err)
	}
	if direct {
		return nil
	}
	// The names and the folder that go-fuse looks for.
	for _, name := range []string{"fusermount3", "/bin/fusermount3", "fusermount", "/bin/fusermount"} {
		if _, err := exec.LookPath(name); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: only root mounts without fusermount3: install the package fuse3", ErrNoFUSE)
}

// probeTimeout is how long another mount's server may take to answer a stat
// before it counts as alive but busy.
const probeTimeout = 5 * time.Second

// CheckMountPoint says whether a mount can be made at path: nil, or one of the
// ErrMountPoint errors, or why the path cannot be looked at. It must not be
// called by the process that serves a mount at path.
func CheckMountPoint(path string) error {
	mounted, err := isFuseMount(path)
	if err != nil {
		return err
	}
	if mounted {
		if isDead(path) {
			return fmt.Errorf("%s: %w", path, ErrMountPointDead)
		}
		return fmt.Errorf("%s: %w", path, ErrMountPointUsed)
	}
	return checkEmptyDir(path)
}

// ClearDeadMount unmounts a mount at path whose server is gone, and no other.
func ClearDeadMount(path string) error {
	mounted, err := isFuseMount(path)
	if err != nil {
		return err
	}
	if !mounted || !isDead(path) {
		return fmt.Errorf("%s: no dead mount", path)
	}
	if err := unix.Unmount(path, unix.MNT_DETACH); err == nil {
		return nil
	}
	return fusermountDetach(path)
}

func checkEmptyDir(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s: %w", path, ErrMountPointNotDir)
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	if _, err := dir.Readdirnames(1); err == nil {
		return fmt.Errorf("%s: %w", path, ErrMountPointNotEmpty)
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// isDead says whether the server of the mount at path has gone away: then the
// kernel itself answers every request with ENOTCONN.
func isDead(path string) bool {
	answer := make(chan error, 1)
	go func() {
		var st unix.Stat_t
		answer <- unix.Lstat(path, &st)
	}()
	select {
	case err := <-answer:
		return errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ECONNABORTED)
	case <-time.After(probeTimeout):
		return false
	}
}

func isFuseMount(path string) (bool, error) {
	m, err := MountedAt(path)
	return err == nil && m.isFuse(), err
}

// A Mounted is a mount as the kernel lists it; one without a type is none.
type Mounted struct{ Type, Source string }

func (m *Mounted) isFuse() bool { return m.Type == "fuse" || strings.HasPrefix(m.Type, "fuse.") }

// MountedAt answers the topmost mount at path. It reads the mount table only: a look
// at the path itself could hang.
func MountedAt(path string) (Mounted, error) {
	real, err := resolveParent(path)
	if err != nil {
		return Mounted{}, err
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return Mounted{}, err
	}
	return lastMount(string(table), real), nil
}

// resolveParent makes path absolute and resolves links in all but its last
// component, which may be a mount that does not answer.
func resolveParent(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, filepath.Base(abs)), nil
}

func lastMount(table, path string) (last Mounted) {
	for line := range strings.Lines(table) {
		if point, m, ok := parseMountInfo(line); ok && point == path {
			last = m
		}
	}
	return last
}

// parseMountInfo takes mount point, type and source out of a line of mountinfo: the
// fifth field, and the two after the lone hyphen.
func parseMountInfo(line string) (point string, m Mounted, ok bool) {
	before, after, found := strings.Cut(line, " - ")
	fields := strings.Fields(before)
	rest := strings.Fields(after)
	if !found || len(fields) < 5 || len(rest) < 2 {
		return "", Mounted{}, false
	}
	return unescapeMount.Replace(fields[4]), Mounted{rest[0], unescapeMount.Replace(rest[1])}, true
}

// unescapeMount undoes the kernel's octal escapes.
var unescapeMount = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\043`, "#")
