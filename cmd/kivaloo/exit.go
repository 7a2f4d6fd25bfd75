package main

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"kivaloo/fusefs"
	"kivaloo/kvstore"
	"kivaloo/kvstore/client"
	"kivaloo/kvstore/kv"
	"kivaloo/lbs"
	"kivaloo/lbs/disk"
	"kivaloo/mux/socket"
)

// The exit codes. 2 is left out: it is what a Go program exits with that panics.
const (
	exitDone       = 0
	exitFailed     = 1
	exitCondition  = 3
	exitCorrupt    = 4
	exitNotFound   = 5
	exitInUse      = 6
	exitFormat     = 7
	exitConnection = 8
	exitMountPoint = 9
	exitIO         = 10
	exitUsage      = 64
)

var (
	// errUsage: a command line that means nothing.
	errUsage = errors.New("usage")

	// errMountPoint: a mount point that cannot be used, or not like this.
	errMountPoint = errors.New("mount point cannot be used")
)

// exits is the table of exit codes. An error gets the first code that has it:
// what is said of data comes before what is said of the way to it.
var exits = []struct {
	code int
	text string
	errs []error
}{
	{exitDone, "done", nil},
	{exitFailed, "failed", nil},
	{exitCondition, "condition not met", []error{kv.ErrCondition}},
	{exitCorrupt, "data is corrupt", []error{kv.ErrCorrupt, lbs.ErrDamaged}},
	{exitNotFound, "no such key", []error{kv.ErrNotFound}},
	{exitInUse, "store or socket in use", []error{lbs.ErrInUse, disk.ErrLocked, socket.ErrInUse}},
	{exitFormat, "not a store, or of another format", []error{lbs.ErrNotStore, lbs.ErrFormat, kvstore.ErrFormat}},
	{exitConnection, "no connection", []error{client.ErrConnection}},
	{exitMountPoint, "mount point unusable", []error{errMountPoint, fusefs.ErrMountPointUsed, fusefs.ErrMountPointDead,
		fusefs.ErrMountPointNotEmpty, fusefs.ErrMountPointNotDir, fusefs.ErrNoFUSE}},
	{exitIO, "I/O error, or no space", []error{kv.ErrNoSpace, kv.ErrFailed, lbs.ErrNoSpace, lbs.ErrFailed,
		unix.ENOSPC, unix.EDQUOT, unix.EIO, unix.EROFS}},
	{exitUsage, "wrong usage", []error{errUsage, socket.ErrAddress, socket.ErrNotLoopback}},
}

// codeOf is the exit code of an error.
func codeOf(err error) int {
	if err == nil {
		return exitDone
	}
	if child := (*childError)(nil); errors.As(err, &child) {
		return child.code
	}
	for _, exit := range exits {
		for _, target := range exit.errs {
			if errors.Is(err, target) {
				return exit.code
			}
		}
	}
	return exitFailed
}

// A usageError is printed without the word "usage" before it.
type usageError struct{ text string }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

func (e *usageError) Error() string        { return e.text }
func (e *usageError) Is(target error) bool { return target == errUsage }

// A childError is the end of a server in the background that never became ready,
// in its own words and with its own code.
type childError struct {
	code int
	text string
}

func (e *childError) Error() string { return e.text }
