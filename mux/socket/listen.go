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
	"time"

	"golang.org/x/sys/unix"
)

// staleWait stands between the two connections that must be refused before a
// socket is taken for a dead one. A live server is between bind and listen for
// some microseconds, and refuses there too.
const staleWait = 20 * time.Millisecond

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
	if err := l.removeStale(); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	if err = l.bind(path); errors.Is(err, unix.EADDRINUSE) {
		return ErrInUse // by whoever was faster
	}
	return err
}

func (l *unixListener) bind(path string) error {
	if len(path) > pathMax {
		path = l.inDir(l.name)
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

// removeStale removes the socket file of a dead server. Two servers that start
// at once must not remove each other's new file, so it is moved aside first and
// removed only when what was moved is really dead.
func (l *unixListener) removeStale() error {
	if err := l.refuses(l.name); err != nil {
		return err
	}
	aside := fmt.Sprintf(".%.64s.%d", l.name, os.Getpid())
	dir := int(l.dir.Fd())
	if err := unix.Renameat(dir, l.name, dir, aside); err != nil {
		return fmt.Errorf("remove the dead socket: %w", err)
	}
	time.Sleep(staleWait)
	if err := l.refuses(aside); err != nil {
		return errors.Join(err, unix.Renameat2(dir, aside, dir, l.name, unix.RENAME_NOREPLACE))
	}
	return unix.Unlinkat(dir, aside, 0)
}

// refuses answers nil when name is a socket that nobody listens on.
func (l *unixListener) refuses(name string) error {
	var stat unix.Stat_t
	if err := unix.Fstatat(int(l.dir.Fd()), name, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return fmt.Errorf("%w: the file there is no socket", ErrAddress)
	}
	conn, err := dialUnix(context.Background(), l.inDir(name))
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

// inDir is a short path to a name in the socket's directory.
func (l *unixListener) inDir(name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", l.dir.Fd(), name)
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
