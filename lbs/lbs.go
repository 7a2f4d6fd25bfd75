// Package lbs is the contract of a log-structured block store: fixed-size
// blocks, numbered from 0, that are only ever appended and given back.
//
// The contract is the original kivaloo's (its INTERFACES file, block store):
//
//   - A number is never used for a second block. Numbers are handed out in
//     order, without a gap, by the appends that returned.
//   - An append is durable when it returns. One append is under way at a time.
//   - An append that a crash cut off may leave some of its blocks, never the
//     last without all before it. A store that seals its appends (Sealed)
//     leaves all of them or none.
//   - Freeing is advice: a freed block may still be read for a while.
//
// What a block means, and whether it is right, is the business of whoever wrote
// it: this layer proves only which append was the last.
//
// A Store is safe for concurrent use; Append is called by one goroutine at a
// time, reads by any number beside it.
package lbs

import "errors"

const (
	// BlockBytesMin and BlockBytesMax bound the block size; any number between
	// is allowed, as in the original.
	BlockBytesMin = 512
	BlockBytesMax = 131072

	// BlockBytesDefault is one page of the kernel and one physical sector of
	// today's disks, so that a flush never rewrites acknowledged bytes.
	BlockBytesDefault = 4096

	// SealBytes is how much of the last block of every append belongs to the
	// store. A writer that leaves these bytes free (its payload is at most a
	// multiple of the block size less SealBytes) is given no extra block.
	SealBytes = 64

	// AppendBytesMax bounds one append, so that a length read back from a disk
	// or a socket can be checked before memory is taken for it.
	AppendBytesMax = 256 << 20
)

// NoBlock stands where there is no block: the last number of an empty store.
const NoBlock = ^uint64(0)

// A Room says which space an append may use when the disk is nearly full.
type Room uint8

const (
	// Ordinary appends leave the reserve alone: without other space they fail
	// with ErrNoSpace, and nothing has changed.
	Ordinary Room = iota
	// Reserve appends may use the segments kept back for deleting and cleaning.
	Reserve
)

// A Store keeps numbered blocks.
type Store interface {
	// BlockBytes is the size of every block.
	BlockBytes() int

	// Next is the number at which the next append must begin.
	Next() uint64

	// Last is the number of the last block that an append wrote, or NoBlock.
	Last() uint64

	// Append writes payload, of any length from 1 to AppendBytesMax, as a run of
	// blocks that begins with number first, makes it durable, and answers the
	// next number. What the payload leaves of its last block is zero or the
	// store's own; a payload that reaches into the last SealBytes of its last
	// block may be given one block more. The store may write to payload's spare
	// capacity, keeps no reference to it afterwards, and needs no copy when the
	// capacity reaches to the end of the last block.
	//
	// ErrNotNext: first is not the next number. ErrNoSpace: there is no room; the
	// store is unchanged and goes on. ErrFailed (with the cause): the disk
	// refused; nobody knows what of this append is durable, and every later
	// append fails the same way.
	Append(first uint64, payload []byte, room Room) (next uint64, err error)

	// ReadAt fills p from the bytes that begin at byte offset of the given block
	// and run on through the blocks after it in the same append. ErrNoBlock: a
	// block of the range was never written, or is freed.
	ReadAt(p []byte, block uint64, offset int) error

	// Free says that no block below keep is needed any more.
	Free(keep uint64) error

	// Close releases the store; a closed store answers ErrClosed.
	Close() error
}

// A Segment is a run of blocks that can be freed as a whole.
type Segment struct {
	First  uint64 // number of its first block
	Blocks uint64 // how many of its blocks have numbers so far
	Bytes  int64  // what it takes on the disk
}

// Damage is an append that is provably acknowledged and provably not as it was
// written, found when the store was opened.
type Damage struct {
	First  uint64 // first block of the damaged run
	Blocks uint64 // how many blocks
	Reason string // what was expected and what was found
}

// Segmented is a Store in this process that also gives back space anywhere in
// its log, not only at the beginning.
type Segmented interface {
	Store

	// Segments lists the segments in order of their numbers; the last is the one
	// being written. The caller owns the slice.
	Segments() []Segment

	// FreeSegment gives back the segment that begins at first, wherever it lies.
	// The last segment is never freed (an error). A segment that is gone already
	// is no error.
	FreeSegment(first uint64) error

	// Damage lists the damaged appends that opening found in the last segment.
	Damage() []Damage

	// Space says what is taken and what is left.
	Space() (Space, error)
}

// Space says what a store takes and what it may still take, in bytes.
type Space struct {
	Used    int64 // segments, in use by numbered blocks or not yet
	Spare   int64 // segments ready for the next blocks, the reserve included
	Reserve int64 // of Spare, what only Reserve appends may use
	Tail    int64 // what is left of the last segment
	Segment int64 // size of the segments that are made now
	Free    int64 // what the file system would still give to us
	Total   int64 // size of the file system
}

var (
	// ErrNotNext: an append did not begin at the next number: another writer, or
	// a writer that lost count.
	ErrNotNext = errors.New("append does not begin at the next block number")

	// ErrNoBlock: the block was never written, or has been freed.
	ErrNoBlock = errors.New("no such block")

	// ErrNoSpace: the disk has no room for this append; nothing has changed.
	ErrNoSpace = errors.New("no space left for the log")

	// ErrFailed: a write or a flush failed before, so what is on the disk is not
	// known; nothing more is acknowledged until the store is opened again.
	ErrFailed = errors.New("the log has failed and takes no more appends")

	// ErrClosed: the store has been closed.
	ErrClosed = errors.New("block store is closed")

	// ErrInUse: another process has the store open.
	ErrInUse = errors.New("store is in use by another process")

	// ErrNotStore: the directory is neither empty nor a store.
	ErrNotStore = errors.New("not a kivaloo store")

	// ErrFormat: a store, but of another version or block size.
	ErrFormat = errors.New("store has another format")

	// ErrDamaged: what the store keeps about itself (format record, segment
	// header, the order of its segments) is not as it was written.
	ErrDamaged = errors.New("store is damaged")
)
