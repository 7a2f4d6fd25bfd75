package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"kivaloo/lbs/segment"
	"kivaloo/mux/socket"
)

// Where a server listens and logs is checked before its store is opened or made:
// a mistake in a command line must leave nothing behind.

// checkPlaces finds what is wrong with the addresses and the log.
func (s *server) checkPlaces() error {
	for i, addr := range s.sockets {
		if slices.Contains(s.sockets[:i], addr) {
			return usagef("the address %s is given twice", addr)
		}
		if err := s.checkAddr(addr); err != nil {
			return err
		}
	}
	if s.logFile == "" {
		return nil
	}
	return s.checkFolder(s.logFile)
}

func (s *server) checkAddr(text string) error {
	addr, err := socket.Parse(text)
	if err != nil {
		return err
	}
	if addr.Network == "unix" {
		return s.checkSocket(addr.Name)
	}
	// Whether it can be bound is known by binding it.
	l, err := socket.Listen(addr.Name, socket.ListenOptions{InsecureNoAuth: s.insecure})
	if err != nil {
		return err
	}
	return l.Close()
}

// checkSocket looks whether a socket can be made, or the one of a dead server
// replaced. That one is left alone until the store is locked.
func (s *server) checkSocket(path string) error {
	if err := s.checkFolder(path); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%w: %s: the file there is no socket", socket.ErrAddress, path)
	}
	if filepath.Dir(path) == s.dir && s.isStore() {
		return nil // its lock says better whether somebody serves it
	}
	conn, err := socket.Dial(context.Background(), path)
	if err == nil {
		conn.Close()
	} else if !errors.Is(err, unix.EAGAIN) { // its queue is full: it is only busy
		return nil
	}
	return fmt.Errorf("listen on %s: %w", path, socket.ErrInUse)
}

// isStore says whether DIR holds a store already.
func (s *server) isStore() bool {
	names, err := os.ReadDir(s.dir)
	return err == nil && slices.ContainsFunc(names, func(e fs.DirEntry) bool { return segment.Owns(e.Name()) })
}

// checkFolder makes sure that a file can be made: its folder is there, or will be
// made for the store.
func (s *server) checkFolder(path string) error {
	dir := filepath.Dir(path)
	if dir == s.dir {
		if segment.Owns(filepath.Base(path)) {
			return usagef("%s: that name is the store's own", path)
		}
		return nil // opening the store says what is wrong with its directory
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return usagef("%s: %v", path, err)
	case !info.IsDir():
		return usagef("%s: %s is not a directory", path, dir)
	}
	return nil
}

// absoluteAddr is an address that means the same in any directory.
func absoluteAddr(text string) (string, error) {
	addr, err := socket.Parse(text)
	return addr.Name, err
}
