package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"kivaloo/fusefs"
)

// fsType is how the kernel lists our mounts.
const fsType = "fuse.kivaloo"

func setupUmount(*pflag.FlagSet) func(*env, []string) error {
	return func(_ *env, args []string) error { return umount(args[0]) }
}

// umount unmounts and waits until the server has ended, which it does after its
// last commit. What went wrong with that is umount's own error.
func umount(path string) error {
	point, err := resolve(path)
	if err != nil {
		return err
	}
	dir, err := storeAt(point)
	if err != nil {
		return err
	}
	// A mount that another umount is taking away may look dead on the way.
	if errors.Is(fusefs.CheckMountPoint(point), fusefs.ErrMountPointDead) && fusefs.ClearDeadMount(point) == nil {
		return nil
	}
	server, err := serverOf(dir)
	if err != nil {
		return err
	}
	defer server.Close()
	if err := unmountNow(point, dir); err != nil {
		return err
	}
	if err := server.wait(); err != nil {
		return err
	}
	return server.outcome()
}

// storeAt finds the mount in the kernel's table, and its store, which we mount
// under its own name. The mount itself is not asked: it may be dead.
func storeAt(point string) (dir string, err error) {
	m, err := fusefs.MountedAt(point)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if m.Type != fsType {
		return "", fmt.Errorf("%w: no store is mounted at %s", errMountPoint, point)
	}
	return m.Source, nil
}

const (
	// busyMax is how long a mount may be busy with nobody using it: whoever looks at
	// it, another umount too, makes it so for a moment.
	busyMax  = 500 * time.Millisecond
	busyPoll = 10 * time.Millisecond
)

// unmountNow unmounts a store's mount. If another umount is quicker, it is done:
// both wait for the same server.
func unmountNow(point, dir string) error {
	for end := time.Now().Add(busyMax); ; time.Sleep(busyPoll) {
		err := unmountOnce(point)
		if err == nil {
			return nil
		}
		if still, errAt := storeAt(point); errAt != nil || still != dir {
			return nil
		}
		if users := usersOf(point); len(users) > 0 {
			return fmt.Errorf("%w: unmount %s: %w, in use by %s", errMountPoint, point, err, strings.Join(users, ", "))
		}
		if errors.Is(err, exec.ErrNotFound) {
			return fmt.Errorf("%w: unmount %s: %w", errMountPoint, point, err)
		}
		if time.Now().After(end) {
			return fmt.Errorf("%w: unmount %s: %w (in use by a process of another user, or by a mount below it)", errMountPoint, point, err)
		}
	}
}

func unmountOnce(point string) error {
	err := unix.Unmount(point, unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EPERM) {
		err = fusermount("-u", point)
	}
	return err
}

// fusermount does what only root may do otherwise.
func fusermount(args ...string) error {
	out, err := exec.Command("fusermount3", args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w (only root unmounts without fusermount3: install the package fuse3)", err)
	}
	if err != nil {
		return errors.New(strings.TrimSpace(string(out)))
	}
	return nil
}

// usersOf names the processes that have files or their directory below a mount,
// as far as we may know. It reads links only and never touches the mount.
func usersOf(point string) []string {
	var users []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if uses(dir, point) {
			name, _ := os.ReadFile(filepath.Join(dir, "comm"))
			users = append(users, fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(name)), filepath.Base(dir)))
		}
	}
	return users
}

func uses(proc, point string) bool {
	links, _ := filepath.Glob(proc + "/fd/*")
	for _, link := range append(links, proc+"/cwd", proc+"/root") {
		if target, err := os.Readlink(link); err == nil && within(target, point) {
			return true
		}
	}
	return false
}
