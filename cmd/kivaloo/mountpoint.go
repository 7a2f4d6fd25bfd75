package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"kivaloo/fusefs"
)

// checkPoint finds what is wrong with the mount point, makes it if it is not there,
// and claims it. A dead mount of the same store is left for clearDead.
func (m *mounter) checkPoint() error {
	if err := fusefs.CheckFUSE(direct()); err != nil {
		return err
	}
	if err := apart(m.dir, m.point); err != nil {
		return err
	}
	if err := m.checkOutside(); err != nil {
		return err
	}
	return m.claimPoint()
}

// claimTriesMax bounds how often a mount point is made that others, who give up
// mounting there, take away.
const claimTriesMax = 10

func (m *mounter) claimPoint() error {
	for try := 0; ; try++ {
		claim, err := fusefs.ClaimMountPoint(m.point)
		switch {
		case err == nil:
			m.claim = claim
			return nil
		case errors.Is(err, fusefs.ErrMountPointDead):
			return m.isOwn()
		case !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) || try >= claimTriesMax:
			m.made = nil // who has claimed it needs it
			return err
		}
		made, err := makeDir(m.point)
		m.made = append(m.made, made...)
		if err != nil {
			m.givePointUp()
			return fmt.Errorf("%w: it cannot be made: %w", errMountPoint, err)
		}
	}
}

// makeDir makes a directory and those above it, and answers which ones it has made.
func makeDir(path string) (made []string, err error) {
	above := filepath.Dir(path)
	if _, err := os.Stat(above); errors.Is(err, os.ErrNotExist) && above != path {
		if made, err = makeDir(above); err != nil {
			return made, err
		}
	}
	switch err := os.Mkdir(path, 0o755); {
	case err == nil:
		return append(made, path), nil
	case !errors.Is(err, os.ErrExist):
		return made, err
	}
	_, err = os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%s is a link that leads nowhere", path)
	}
	return made, err
}

// givePointUp takes away what was made for a mount that was not.
func (m *mounter) givePointUp() {
	for _, dir := range slices.Backward(m.made) {
		os.Remove(dir) // not if there is something in it
	}
	if m.claim != nil {
		m.claim.Release()
	}
	m.claim, m.made = nil, nil
}

// clearDead takes the store's dead mount away and claims its place. It waits with
// that until the store is open: a command that is refused leaves all as it was.
func (m *mounter) clearDead() error {
	for m.claim == nil {
		if err := m.isOwn(); err != nil {
			return err
		}
		if err := fusefs.ClearDeadMount(m.point); err != nil {
			return fmt.Errorf("%w: clear the dead mount: %w", errMountPoint, err)
		}
		if err := m.claimPoint(); err != nil {
			return err
		}
	}
	return nil
}

// isOwn refuses the dead mount of another store, or of something else: who has
// lost it may not know it yet.
func (m *mounter) isOwn() error {
	dead, err := fusefs.MountedAt(m.point)
	if err != nil {
		return err
	}
	if dead.Type != fsType {
		return fmt.Errorf("%w: %s holds a mount of %s (%s) whose server is gone; \"umount -l %s\" clears it",
			errMountPoint, m.point, dead.Source, dead.Type, m.point)
	}
	if !sameDir(dead.Source, m.dir) {
		return fmt.Errorf("%w: %s holds a mount of the store %s whose server is gone; \"kivaloo umount %s\" clears it",
			errMountPoint, m.point, dead.Source, m.point)
	}
	return nil
}

func sameDir(a, b string) bool {
	realA, errA := resolve(a)
	realB, errB := resolve(b)
	return errors.Join(errA, errB) == nil && realA == realB
}

// direct says whether we mount without help.
func direct() bool { return os.Geteuid() == 0 }

// checkOutside refuses sockets and a log that the mount would hide.
func (m *mounter) checkOutside() error {
	for _, path := range append([]string{m.logFile}, m.sockets...) {
		if filepath.IsAbs(path) && within(path, m.point) {
			return usagef("%s lies at or below the mount point", path)
		}
	}
	return nil
}

// apart refuses a store inside its own mount, and a mount inside its store.
func apart(dir, point string) error {
	realDir, err := resolve(dir)
	if err != nil {
		return err
	}
	realPoint, err := resolve(point)
	if err != nil {
		return err
	}
	switch {
	case within(realDir, realPoint):
		return fmt.Errorf("%w: the store %s is inside it", errMountPoint, dir)
	case within(realPoint, realDir):
		return fmt.Errorf("%w: it is inside the store %s", errMountPoint, dir)
	}
	return nil
}

// resolve makes a path absolute and free of links, as far as it exists. What does
// not answer, such as a dead mount, is taken by its name.
func resolve(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rest := ""
	for {
		real, err := filepath.EvalSymlinks(abs)
		if err == nil {
			return filepath.Join(real, rest), nil
		}
		parent, name := filepath.Split(filepath.Clean(abs))
		if name == "" {
			return "", err
		}
		abs, rest = parent, filepath.Join(name, rest)
	}
}

func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
