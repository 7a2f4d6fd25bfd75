package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// ListenOptions say what may be listened on.
type ListenOptions struct {
	// InsecureNoAuth allows TCP addresses that other hosts reach.
	InsecureNoAuth bool
}

// Listen binds an address. The socket file of a dead server is replaced, that of
// a living one is ErrInUse.
func Listen(text string, opts ListenOptions) (net.Listener, error) {
	addr, err := Parse(text)
	if err != nil {
		return nil, err
	}
	if addr.Network == "unix" {
		return listenUnix(addr.Name)
	}
	return listenTCP(addr.Name, opts)
}

func listenTCP(name string, opts ListenOptions) (net.Listener, error) {
	tcp, err := net.ResolveTCPAddr("tcp", name)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrAddress, err)
	}
	if !tcp.IP.IsLoopback() && !opts.InsecureNoAuth {
		return nil, fmt.Errorf("listen on %s: %w", name, ErrNotLoopback)
	}
	// What was resolved and judged is bound, not the name again, which might
	// resolve to something else by now.
	l, err := net.ListenTCP("tcp", tcp)
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %s: %w", name, ErrInUse)
	}
	return l, err
}

// A unixListener removes its own file, by its directory: the path of a long
// socket cannot be given to the kernel, and the directory may have been moved.
type unixListener struct {
	*net.UnixListener
	dir   *os.File
	name  string
	close sync.Once
	err   error
}

func listenUnix(path string) (net.Listener, error) {
	dir, err := openPath(filepath.Dir(path), unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	l := &unixListener{dir: dir, name: filepath.Base(path)}
	unlock := lockName(dir, l.name)
	defer unlock()
	if err := l.listen(path); err != nil {
		dir.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

func (l *unixListener) listen(path string) error {
	err := l.bind(path)
	if !errors.Is(err, unix.EADDRINUSE) {
		return err
	}
	if err := l.removeStale(); err != nil {
		return err
	}
	if err = l.bind(path); errors.Is(err, unix.EADDRINUSE) {
		return ErrInUse // by whoever was faster
	}
	return err
}

func (l *unixListener) bind(path string) error {
	if len(path) > pathMax {
		path = l.inDir()
	}
	config := net.ListenConfig{Control: private}
	listener, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return cause(err)
	}
	l.UnixListener = listener.(*net.UnixListener)
	l.SetUnlinkOnClose(false) // Close does it, in the order that it needs
	return nil
}

// private gives the socket its mode before it is bound: Linux hands it on to the
// file, so that there is no moment at which another user could connect, and no
// umask need be changed, which would be felt by the whole process.
func private(_, _ string, raw syscall.RawConn) error {
	var err error
	if ctl := raw.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); ctl != nil {
		return ctl
	}
	return err
}

// removeStale removes the socket file of a dead server.
func (l *unixListener) removeStale() error {
	if err := l.refuses(); err != nil {
		return err
	}
	return unix.Unlinkat(int(l.dir.Fd()), l.name, 0)
}

// refuses answers nil when the file is a socket that nobody listens on.
func (l *unixListener) refuses() error {
	var stat unix.Stat_t
	if err := unix.Fstatat(int(l.dir.Fd()), l.name, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return fmt.Errorf("%w: the file there is no socket", ErrAddress)
	}
	conn, err := dialUnix(context.Background(), l.inDir())
	switch {
	case err == nil:
		conn.Close()
		return ErrInUse
	case errors.Is(err, unix.ECONNREFUSED):
		return nil
	case errors.Is(err, unix.EAGAIN): // its queue is full: it is only busy
		return ErrInUse
	}
	return err
}

// inDir is a short path to the socket, through the descriptor of its directory.
func (l *unixListener) inDir() string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", l.dir.Fd(), l.name)
}

// Close removes the file first: while it can still be found, it answers.
func (l *unixListener) Close() error {
	l.close.Do(func() {
		err := unix.Unlinkat(int(l.dir.Fd()), l.name, 0)
		if errors.Is(err, unix.ENOENT) {
			err = nil // somebody tidied up
		}
		l.err = errors.Join(err, l.UnixListener.Close(), l.dir.Close())
	})
	return l.err
}
