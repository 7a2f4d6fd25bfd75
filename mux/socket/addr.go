// Package socket names, binds and reaches the sockets of a store. It is all that
// mux and the client have to agree on beyond the bytes.
//
// A socket of a user is that user's: it is created with mode 0600, and a peer of
// another user is turned away even where the file's mode has been changed. TCP
// has no such protection, so it stays on this host unless somebody says in so
// many words that it should not.
package socket

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
)

var (
	// ErrInUse: somebody listens on this address.
	ErrInUse = errors.New("somebody listens there already")

	// ErrAddress: not the address of a socket.
	ErrAddress = errors.New("not the address of a socket")

	// ErrNotLoopback: an address that other hosts reach, where nothing tells
	// friend from stranger.
	ErrNotLoopback = errors.New("reachable from other hosts, without any authentication")

	// ErrPeer: the peer is not the user that owns this socket.
	ErrPeer = errors.New("connection by another user")
)

// An Addr is a parsed address.
type Addr struct {
	Network string // "unix" or "tcp"
	Name    string // an absolute path, or host:port
}

func (a Addr) String() string { return a.Name }

// Parse reads an address: a path, host:port or [ip]:port. Whatever has a slash is
// a path, and so is what has no colon. A relative path is made absolute, so that
// it means the same after a change of directory.
func Parse(text string) (Addr, error) {
	if text == "" || strings.ContainsRune(text, 0) {
		return Addr{}, fmt.Errorf("%w: %q", ErrAddress, text)
	}
	if strings.Contains(text, "/") || !strings.Contains(text, ":") {
		path, err := filepath.Abs(text)
		return Addr{"unix", path}, err
	}
	if _, port, err := net.SplitHostPort(text); err != nil || port == "" {
		return Addr{}, fmt.Errorf("%w: %q is neither a path nor host:port", ErrAddress, text)
	}
	return Addr{"tcp", text}, nil
}
