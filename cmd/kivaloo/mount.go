package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"kivaloo/fusefs"
)

// answerMax is how long a new mount may take to answer its first question.
const answerMax = 30 * time.Second

// detachMax is how long a detached mount may still be used before it is left.
const detachMax = 10 * time.Second

// goneMax is how long after unmounting we take to notice that.
const goneMax = 100 * time.Millisecond

// A mounter is a server with a mount.
type mounter struct {
	server
	point      string
	made       bool // we made the mount point
	allowOther bool
	durability string
}

func setupMount(flags *pflag.FlagSet) func(*env, []string) error {
	m := &mounter{}
	m.declare(flags)
	flags.BoolVar(&m.allowOther, "allow-other", false, "let other users in; permissions are checked")
	flags.StringVar(&m.durability, "durability", "close", "`WHEN` written files are on disk: close, fsync or interval")
	return func(e *env, args []string) error {
		if _, err := fusefs.ParseDurability(m.durability); err != nil {
			return usagef("mount: %v", err)
		}
		if args[1] == "" {
			return usagef("MNT is empty")
		}
		point, err := filepath.Abs(args[1])
		if err != nil {
			return err
		}
		m.point = point
		if !m.foreground && !e.isBackground() {
			if err := startBackground(os.Args[1:]); err != nil {
				return err
			}
			return answers(point)
		}
		return m.run(e, args[0], m.checkPoint, m.mount)
	}
}

// answers asks a new mount for its root. Not the server itself: a process that
// waits for its own mount may wait for ever.
func answers(point string) error {
	answer := make(chan error, 1)
	go func() {
		_, err := os.Stat(point)
		answer <- err
	}()
	select {
	case err := <-answer:
		return err
	case <-time.After(answerMax):
		return fmt.Errorf("%w: %s does not answer", errMountPoint, point)
	}
}

// checkPoint finds what is wrong with the mount point, and clears a dead mount.
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
	err := fusefs.CheckMountPoint(m.point)
	if errors.Is(err, fusefs.ErrMountPointDead) {
		if err := fusefs.ClearDeadMount(m.point); err != nil {
			return fmt.Errorf("%w: clear the dead mount: %w", errMountPoint, err)
		}
		err = fusefs.CheckMountPoint(m.point)
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return canBeMade(m.point)
	}
	return err
}

// canBeMade says whether a directory that is not there can be made, below the
// first one that is. A name that is there and leads nowhere is in the way.
func canBeMade(point string) error {
	if _, err := os.Lstat(point); err == nil {
		return fmt.Errorf("%w: %s is a link that leads nowhere", errMountPoint, point)
	}
	above := filepath.Dir(point)
	info, err := os.Stat(above)
	switch {
	case (errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR)) && above != point:
		return canBeMade(above)
	case err == nil && !info.IsDir():
		err = unix.ENOTDIR
	case err == nil:
		err = unix.Access(above, unix.W_OK|unix.X_OK)
	}
	if err != nil {
		return fmt.Errorf("%w: it cannot be made: %w", errMountPoint, &os.PathError{Op: "mkdir", Path: above, Err: err})
	}
	return nil
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

// mount mounts, and returns when the mount is gone.
func (m *mounter) mount(ready func(string)) error {
	fs, err := m.start()
	if err != nil {
		if m.made {
			os.Remove(m.point)
		}
		return err
	}
	ready("mounted " + m.dir + " at " + m.point)
	return m.wait(fs)
}

func (m *mounter) start() (*fusefs.Server, error) {
	if err := os.MkdirAll(filepath.Dir(m.point), 0o755); err != nil {
		return nil, err
	}
	switch err := os.Mkdir(m.point, 0o755); {
	case err == nil:
		m.made = true
	case !errors.Is(err, os.ErrExist):
		return nil, err
	}
	durability, _ := fusefs.ParseDurability(m.durability) // was checked
	return fusefs.Mount(fusefs.Options{
		Store:      m.store,
		MountPoint: m.point,
		Durability: durability,
		AllowOther: m.allowOther,
		UID:        uint32(os.Getuid()),
		GID:        uint32(os.Getgid()),
		// The first column of df, and the way from a mount to its store.
		FsName:      m.dir,
		DirectMount: direct(),
		Logger:      m.log,
	})
}

// wait returns when somebody has unmounted, or a signal has made us do it, with
// what could not be saved.
func (m *mounter) wait(fs *fusefs.Server) error {
	gone := make(chan struct{})
	go func() {
		fs.Wait()
		close(gone)
	}()
	for attempt := 0; ; attempt++ {
		select {
		case <-gone:
			return fs.Unmount() // it is: this answers how that went
		case sig := <-m.signals:
			m.logSignal(sig)
		}
		if attempt > 0 {
			return m.detach(fs, gone)
		}
		err := fs.Unmount()
		select {
		case <-gone:
			return err
		case <-time.After(goneMax):
			m.log.Error("still mounted; a second signal detaches it", "error", err, "users", usersOf(m.point))
		}
	}
}

// detach takes the mount out of the tree while files on it are open. What is
// written to them later than detachMax from now is lost.
func (m *mounter) detach(fs *fusefs.Server, gone <-chan struct{}) error {
	m.log.Warn("detaching the mount while it is in use", "users", usersOf(m.point))
	if err := unix.Unmount(m.point, unix.MNT_DETACH); err != nil {
		if err := fusermount("-u", "-z", m.point); err != nil {
			m.log.Error("detach", "error", err)
		}
	}
	select {
	case <-gone:
		return fs.Unmount()
	case <-time.After(detachMax):
		return fmt.Errorf("%w: it was detached while in use; what is written to open files from now on is lost", errMountPoint)
	}
}
