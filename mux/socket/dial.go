package socket

import (
	"context"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// pathMax is the longest path that fits a sockaddr_un with its final NUL.
const pathMax = 107

// Dial connects to an address.
func Dial(ctx context.Context, text string) (net.Conn, error) {
	addr, err := Parse(text)
	if err != nil {
		return nil, err
	}
	if addr.Network == "unix" {
		return dialUnix(ctx, addr.Name)
	}
	var d net.Dialer
	return d.DialContext(ctx, addr.Network, addr.Name)
}

// dialUnix connects by path, or, where that is too long for the kernel, through
// a descriptor of the socket file.
func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	name := path
	if len(path) > pathMax {
		file, err := openPath(path, 0)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		name = fmt.Sprintf("/proc/self/fd/%d", file.Fd())
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", name)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", path, cause(err))
	}
	return conn, nil
}

// openPath opens a file for its place in the tree only, which works on sockets
// and needs no permission to read.
func openPath(path string, flags int) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// cause drops what package net says around a system call's error: the name it
// was given, which may be a descriptor's.
func cause(err error) error {
	if op, ok := err.(*net.OpError); ok {
		return op.Err
	}
	return err
}
