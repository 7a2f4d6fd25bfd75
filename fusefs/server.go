package fusefs

import (
	"errors"
	"fmt"
	"os/exec"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const (
	// maxWriteBytes is the largest request. go-fuse keeps a buffer of this size
	// for each request over 128 bytes that waits, so more would cost memory and
	// gain nothing: values are small.
	maxWriteBytes = 128 << 10

	// maxInflightBytes bounds those buffers.
	maxInflightBytes = 64 << 20

	// maxBackground is the kernel's bound on requests that nobody waits for,
	// RELEASE among them, which commits.
	maxBackground = 64
)

// A Server is a mount that is being served.
type Server struct {
	fs   *fileSystem
	fuse *fuse.Server
	done chan struct{} // closed when serving has ended
	// err is what was left unsaved; to be read after done.
	err error
}

// Mount mounts a store and serves it until it is unmounted. When it returns,
// the mount answers. The process must never touch its own mount.
func Mount(opts Options) (*Server, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := CheckFUSE(o.DirectMount); err != nil {
		return nil, err
	}
	fs, err := newFileSystem(o)
	if err != nil {
		return nil, fmt.Errorf("fusefs: %w", err)
	}
	fuseServer, err := fuse.NewServer(fs, o.MountPoint, mountOptions(&o))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("mount: %w", err), fs.shutDown())
	}
	s := &Server{fs: fs, fuse: fuseServer, done: make(chan struct{})}
	go s.serve()
	return s, nil
}

func (s *Server) serve() {
	defer close(s.done)
	s.fuse.Serve()
	if s.err = s.fs.shutDown(); s.err != nil {
		s.fs.log.Error("mount ended with unsaved data", "error", s.err)
	}
}

// Wait returns when the mount is gone, whoever unmounted it, and all that was
// written is committed.
func (s *Server) Wait() { <-s.done }

// Unmount unmounts and waits for the last commit. While files are open, it
// answers EBUSY and the mount stays.
func (s *Server) Unmount() error {
	select {
	case <-s.done:
		return s.err
	default:
	}
	if err := s.fuse.Unmount(); err != nil {
		return fmt.Errorf("unmount %s: %w", s.fs.opts.MountPoint, err)
	}
	<-s.done
	return s.err
}

// mountOptions is the table of what is asked of the kernel, and why.
func mountOptions(o *Options) *fuse.MountOptions {
	m := &fuse.MountOptions{
		Name:                    "kivaloo",
		FsName:                  o.FsName,
		AllowOther:              o.AllowOther,
		MaxWrite:                maxWriteBytes,
		MaxInflightRequestBytes: maxInflightBytes,
		MaxBackground:           maxBackground,
		DirectMountStrict:       o.DirectMount,
		// The kernel checks permissions; no handler here does.
		Options: []string{"default_permissions"},
		// With timeouts of 0 each listed name would be looked up again at once.
		DisableReadDirPlus: true,
		DisableSplice:      true,
		Logger:             stdLogger(o.Logger),
		// No EnableLocks: the kernel's own locks are right on one host.
		ExtraCapabilities: fuse.CAP_ATOMIC_O_TRUNC | // open(O_TRUNC)+write+close is one commit
			fuse.CAP_HANDLE_KILLPRIV_V2 | // else each write costs a GETXATTR
			fuse.CAP_DIRECT_IO_ALLOW_MMAP | // else MAP_SHARED fails on direct I/O
			fuse.CAP_DONT_MASK,
		// Values lie in the log; there is no file to pass through to.
		DisabledCapabilities: fuse.CAP_PASSTHROUGH | fuse.CAP_NO_OPEN_SUPPORT,
	}
	if o.ReadOnly {
		m.Options = append(m.Options, "ro")
		m.DirectMountFlags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_RDONLY
	}
	return m
}

// fusermountDetach unmounts for a user who may not call umount(2).
func fusermountDetach(path string) error {
	var err error
	for _, name := range []string{"fusermount3", "fusermount"} {
		var out []byte
		if out, err = exec.Command(name, "-u", "-z", path).CombinedOutput(); err == nil {
			return nil
		}
		if !errors.Is(err, exec.ErrNotFound) {
			return fmt.Errorf("%s: %w: %s", name, err, out)
		}
	}
	return err
}

// NodeCount is how many nodes the kernel and open files keep in memory, the root
// included.
func (s *Server) NodeCount() int { return s.fs.tree.count() }
