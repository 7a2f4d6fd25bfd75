package socket

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Peer is who is at the other end of a unix socket.
type Peer struct {
	PID int
	UID uint32
}

// PeerOf asks the kernel who connected, or who listens.
func PeerOf(conn *net.UnixConn) (Peer, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var cred *unix.Ucred
	ctl := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if ctl != nil {
		return Peer{}, ctl
	}
	if err != nil {
		return Peer{}, fmt.Errorf("ask for the peer: %w", err)
	}
	return Peer{PID: int(cred.Pid), UID: cred.Uid}, nil
}

// CheckPeer answers ErrPeer when a unix connection comes from a user who is
// neither this one nor root. Of TCP nothing is known, and nothing checked.
func CheckPeer(conn net.Conn) error {
	local, ok := conn.(*net.UnixConn)
	if !ok {
		return nil
	}
	peer, err := PeerOf(local)
	if err != nil {
		return err
	}
	if peer.UID != 0 && peer.UID != uint32(os.Geteuid()) {
		return fmt.Errorf("%w: uid %d", ErrPeer, peer.UID)
	}
	return nil
}
