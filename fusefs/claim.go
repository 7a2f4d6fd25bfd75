package fusefs

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A Claim keeps others who claim from mounting at the same place, from the look at
// it until the mount is made. Without it two of them find a place free and mount one
// over the other.
type Claim struct{ dir *os.File }

// ClaimMountPoint is CheckMountPoint, and claims the place if that finds nothing
// wrong with it.
func ClaimMountPoint(path string) (*Claim, error) {
	if err := CheckMountPoint(path); err != nil {
		return nil, err
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	c := &Claim{dir}
	if err := c.lock(path); err != nil {
		c.Release()
		return nil, err
	}
	return c, nil
}

// lock locks the directory, and looks again: the last holder may have mounted
// there, or taken the directory away. A file system without locks has no claims.
func (c *Claim) lock(path string) error {
	err := unix.Flock(int(c.dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%s: %w: another mount is being made there", path, ErrMountPointUsed)
	}
	if err := CheckMountPoint(path); err != nil {
		return err
	}
	ours, err := c.dir.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(path)
	if err == nil && !os.SameFile(ours, there) {
		err = &os.PathError{Op: "claim", Path: path, Err: os.ErrNotExist}
	}
	return err
}

// Release ends the claim: the mount is made, or will not be.
func (c *Claim) Release() { c.dir.Close() }
