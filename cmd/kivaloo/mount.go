package main

import (
	"fmt"
	"os"
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
	allowOther bool
	durability string

	// Until the mount is made, the mount point is claimed, and made are the
	// directories that there were not.
	claim *fusefs.Claim
	made  []string
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
		point, err := resolve(args[1])
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
		return m.run(e, args[0], front{m.checkPoint, m.mount, m.givePointUp})
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

// mount mounts, and returns when the mount is gone.
func (m *mounter) mount(ready func(string)) error {
	fs, err := m.start()
	if err != nil {
		return err
	}
	ready("mounted " + m.dir + " at " + m.point)
	return m.wait(fs)
}

func (m *mounter) start() (*fusefs.Server, error) {
	if err := m.clearDead(); err != nil {
		return nil, err
	}
	durability, _ := fusefs.ParseDurability(m.durability) // was checked
	fs, err := fusefs.Mount(fusefs.Options{
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
	if err != nil {
		return nil, err
	}
	m.claim.Release()
	m.claim, m.made = nil, nil
	return fs, nil
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
