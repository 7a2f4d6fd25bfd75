package socket

import (
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// lockPatience is far longer than anybody needs to bind a socket. The lock's
	// name can be guessed, so whoever holds it longer is ignored.
	lockPatience = time.Second
	lockPoll     = 5 * time.Millisecond
)

// lockName keeps other servers from binding, or removing, the socket name in dir
// until unlock is called. Without it, one that finds a dead socket could remove
// the living one that another has just put in its place, or has bound and not
// yet listened on. The lock is a socket too, without a file: nothing is left of
// it when its process dies, and no lock file stands beside the socket for ever.
func lockName(dir *os.File, name string) (unlock func()) {
	var stat unix.Stat_t
	if unix.Fstat(int(dir.Fd()), &stat) != nil {
		return func() {}
	}
	lock := fmt.Sprintf("@kivaloo/bind/%x/%x/%08x", stat.Dev, stat.Ino, crc32.ChecksumIEEE([]byte(name)))
	for end := time.Now().Add(lockPatience); ; time.Sleep(lockPoll) {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: lock})
		if err == nil {
			return func() { l.Close() }
		}
		if !errors.Is(err, unix.EADDRINUSE) || time.Now().After(end) {
			return func() {}
		}
	}
}
