// Package disk is the only road from this project to the operating system's
// files: a small interface with the few calls that a log needs, and what each of
// them promises about a power cut.
//
// Three implementations stand behind it: OS (here), the real one;
// disk/crashdisk, in memory, whose power can be cut at any call; and
// disk/faultdisk, a wrapper that makes calls of another one fail.
//
// What is promised, and what is not:
//
//   - What WriteAt wrote is on the disk when a Datasync or Sync that began
//     afterwards has returned nil. Before that, any part of it may be there, in
//     units of sectors (512 bytes), in any order.
//   - A name (Create, Rename, Remove, Mkdir) is on the disk when SyncDir of its
//     directory has returned nil. Before that it may or may not be; a rename is
//     there whole or not at all.
//   - After a failed Datasync or Sync nobody knows what is on the disk, and
//     ReadAt may show bytes that are not. The call must not be tried again:
//     the system has forgotten what it did not write.
//   - Process death alone loses nothing that was written.
package disk

import (
	"errors"
	"io"
	"io/fs"
	"syscall"
	"unsafe"
)

const (
	// SectorBytes is the largest unit that a power cut never tears.
	SectorBytes = 512

	// DirectBytes is the alignment of ReadDirect, in memory and in the file: the
	// largest logical sector of the disks in use.
	DirectBytes = 4096
)

// ErrLocked: another process holds the lock of the directory.
var ErrLocked = errors.New("directory is locked by another process")

// IsNoSpace says whether an error means that the disk is full, or the share of it
// that we may use.
func IsNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// An FS opens and names files. Names are slash-separated paths. Errors wrap the
// errno, so that errors.Is works with fs.ErrNotExist, fs.ErrExist and
// syscall.ENOSPC. Safe for concurrent use.
type FS interface {
	// Open opens a file that is there, for reading and writing.
	Open(name string) (File, error)

	// Create makes a file that must not be there, and opens it.
	Create(name string) (File, error)

	// Rename gives a file another name, in place of whatever had it.
	Rename(from, to string) error

	// Remove removes a file's name, or an empty directory.
	Remove(name string) error

	// Mkdir makes a directory.
	Mkdir(name string) error

	// List answers the names in a directory, sorted.
	List(dir string) ([]string, error)

	// Stat describes what has the name; it does not follow a symbolic link.
	Stat(name string) (Info, error)

	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error

	// Lock takes the one exclusive lock of a directory, without creating
	// anything, until the Closer is closed or the process ends. ErrLocked:
	// somebody else has it.
	Lock(dir string) (io.Closer, error)

	// Usage says how full the file system is that holds the directory.
	Usage(dir string) (Usage, error)
}

// A File is an open file. Reads and writes may run concurrently; Close is called
// once, after everything else.
type File interface {
	io.ReaderAt
	io.WriterAt

	// ReadDirect reads around the page cache, so that it shows what the disk
	// holds even after a failed Datasync. The offset, the length and the memory
	// of p are multiples of DirectBytes (see AlignedBuffer). direct is false where
	// the system refuses: then the bytes come through the cache after all. Like
	// ReadAt it answers io.EOF with a short count at the end of the file.
	ReadDirect(p []byte, offset int64) (n int, direct bool, err error)

	// Allocate takes room for the first bytes of the file, which read as zero
	// where nothing was written, so that a full disk is noticed before any of
	// them is written. Where the system cannot, it does nothing.
	Allocate(bytes int64) error

	// Datasync makes the contents durable, and of the size what it takes to read
	// them. Sync makes all of the file durable, but not its name.
	Datasync() error
	Sync() error

	// DropCache asks the system to forget what it has cached of the file. It is
	// advice: pages not yet written stay.
	DropCache() error

	Truncate(bytes int64) error
	Size() (int64, error)
	Close() error
}

// Info describes a file.
type Info struct {
	Bytes int64       // its size
	Links uint64      // how many names it has
	Mode  fs.FileMode // its type and permissions
}

// Usage says how full a file system is, in bytes.
type Usage struct {
	Free  int64 // what we may still take
	Total int64 // its size
}

// AlignedBuffer makes a buffer for ReadDirect; bytes is rounded up to a multiple
// of DirectBytes.
func AlignedBuffer(bytes int) []byte {
	n := (bytes + DirectBytes - 1) &^ (DirectBytes - 1)
	if n == 0 {
		return nil
	}
	b := make([]byte, n+DirectBytes)
	skip := -int(uintptr(unsafe.Pointer(&b[0]))) & (DirectBytes - 1)
	return b[skip : skip+n : skip+n]
}
