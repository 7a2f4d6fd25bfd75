// Package kv is the vocabulary of the key-value store: pairs, transactions, and
// the interface Store that the engine, its clients and the multiplexer share.
// It imports nothing of the project.
//
// # Contract
//
// Keys are ordered byte strings. Every change of a pair takes a stamp of its own
// from one growing clock (Stamp). A transaction (Txn) is all or nothing, after
// any crash and to any reader. A Store is linearizable: if one operation was
// answered before another began, the second sees the first. Whatever is
// answered, "condition not met" included, rests on durable data only.
//
// Slices handed in belong to the caller again when the call returns. Slices
// handed out belong to the receiver and are not changed by the store, but may
// share memory with it: they must not be written to.
//
// All methods of all interfaces here are safe for concurrent use.
package kv

import (
	"context"
	"time"
)

// Limits of a pair.
const (
	KeyBytesMax   = 4095
	ValueBytesMax = 1 << 30
	MetaBytesMax  = 8 << 10

	// NamesMax is how many keys may lead to one value: as many as on ext4. Whoever
	// observes is told of a change under each of them.
	NamesMax = 65000

	// InlineBytesMax is the longest value that lies in a page beside its key: a
	// quarter of a page. A longer one is a blob: a row of chunks of its own, so
	// that changing a part of it writes that part only.
	InlineBytesMax = 2048

	// ChunkBytes is the length of a blob's chunks; the last may be shorter, and
	// one that was never written is a hole and reads as zeros.
	ChunkBytes = 128 << 10
)

// Limits of a transaction.
const (
	TxnEffectsMax = 4096
	TxnGuardsMax  = 4096
	// TxnBytesMax bounds keys, values and metadata of one transaction together, as
	// it is held in memory: a value of 64 MiB, and what goes with it. Longer values
	// are staged (Session.Stage), which does not count here.
	TxnBytesMax = 64<<20 + 1<<20
	// TxnStagedMax bounds the pieces of staged data of one transaction: twice those
	// of the longest value in whole chunks.
	TxnStagedMax = 2 * ValueBytesMax / ChunkBytes
	// CopyBytesMax bounds what one CopyRange copies, holes included: the store does
	// that in memory.
	CopyBytesMax = 64 << 20
)

// GetBytesMax is the longest part of a value that one Get, or one entry of a scan,
// answers: it is in memory as a whole.
const GetBytesMax = 64 << 20

// A Stamp is an instant at which something changed: nanoseconds of wall time
// since 1970, forced to grow by at least one from one change to the next, so
// that no two changes of a store share one. Always between StampMin and StampMax.
type Stamp uint64

const (
	StampMin Stamp = 1 << 10
	StampMax Stamp = 1 << 62
)

// Time is the stamp as wall time.
func (s Stamp) Time() time.Time { return time.Unix(0, int64(s)) }

// A Space is one of the stores' name spaces. Native clients see only User; the
// others are for a mount and are reached in this process or over protocol v2.
type Space uint8

const (
	// User holds the keys of everybody.
	User Space = iota
	// Orphan holds pairs that were deleted while a session had them pinned. The
	// key is the pair's birth (OrphanKey). They end with their last pin.
	Orphan
	// Root holds one pair, of the empty key: the attributes of the mount's root.
	Root
)

// OrphanKey is the key in space Orphan of the pair with this birth.
func OrphanKey(birth Stamp) []byte {
	key := make([]byte, 8)
	for i := range key {
		key[i] = byte(birth >> (56 - 8*i))
	}
	return key
}

// A Pair is a key, its value (or the part that was asked for), and what the
// store keeps about it.
type Pair struct {
	Key   []byte
	Value []byte // the part asked for
	Size  int64  // length of the whole value
	Meta  []byte // bytes the store does not read; nil when not asked for

	// Birth is when this key was created. It moves with a rename, and no other
	// pair has ever had it: a mount shows it as the inode number.
	Birth Stamp
	// Modified is when the value last changed: a mount's mtime.
	Modified Stamp
	// Version is when anything last changed, metadata and name included: ctime,
	// and the guard of optimistic writers.
	Version Stamp

	// Brought says that Modified was given by the writer, and that neither name
	// nor metadata have changed since.
	Brought bool
	// Names is how many keys lead to this value: 1 unless it has links.
	Names uint32
	// Prefix says that this is no pair but all keys that begin with Key, found
	// by a scan with a delimiter. Everything but Key is zero.
	Prefix bool
}

// Want says which parts of a pair a reader needs; what is not asked for may be
// left out, and is then zero. Key and Size are always answered. Asking for less
// is faster.
type Want uint8

const (
	// WantStamps asks for Birth, Modified, Version, Brought, Names and Meta.
	WantStamps Want = 1 << iota
	// WantValue asks for the value.
	WantValue
	// WantAll asks for everything.
	WantAll = WantStamps | WantValue
)

// A GetRequest asks for one pair.
type GetRequest struct {
	Space Space
	Key   []byte
	Want  Want
	// Offset and Length choose a part of the value; Length 0 means all of it from
	// Offset on. A part beyond the end is shorter, or empty; a negative one is
	// ErrInvalid. More than GetBytesMax is ErrTooLarge: longer values are read in
	// parts.
	Offset, Length int64
}

// A ScanRequest asks for the pairs of space User with Start <= key < End in order.
type ScanRequest struct {
	// Start and End may have one byte more than a key: a scan can go on right
	// after the longest. Beyond that they are ErrTooLarge.
	Start []byte
	End   []byte // nil: to the end of all keys; empty but not nil: to nothing
	// Reverse begins at the last key before End and goes down to Start.
	Reverse bool
	// Delimiter, if not empty, is one byte. A key that holds it after its first
	// Skip bytes is answered once as a Prefix that ends with it, whatever follows,
	// and the scan goes on after all keys with that prefix. A key that ends with
	// the delimiter there is part of the prefix as well. Start and End choose
	// among keys: a prefix is answered, though it is below Start, if a key in it
	// is not.
	Delimiter []byte
	Skip      int
	// Limit bounds the entries of the page; 0, or more, means ScanEntriesMax.
	Limit int
	// Bytes bounds the keys and values of the page; 0, or more, means ScanBytesMax.
	// One entry is answered even if it is larger.
	Bytes int
	Want  Want
	// ValueBytes bounds how much of each value is answered, 0 meaning
	// InlineBytesMax, and more than GetBytesMax that. Size tells its whole length.
	ValueBytes int
}

// Limits of one page of a scan.
const (
	ScanEntriesMax = 65536
	ScanBytesMax   = 1 << 20
)

// A ScanPage is a part of a scan.
type ScanPage struct {
	Entries []Pair
	// More says that the scan has not ended, though nothing may be left. Next is
	// then where it goes on: the Start of the next request, or its End when it is
	// Reverse. There is at least one entry if there is more.
	More bool
	Next []byte
}

// A Reader reads one state of the store: the newest, or a snapshot's.
type Reader interface {
	// Get answers one pair, or ErrNotFound.
	Get(ctx context.Context, req GetRequest) (Pair, error)
	// Scan answers one page of pairs, all of one state of the store.
	Scan(ctx context.Context, req ScanRequest) (ScanPage, error)
}

// A Store is a durable, ordered, strongly consistent map.
type Store interface {
	Reader

	// Commit carries a transaction out and returns when it is durable. A guard
	// that does not hold is a *ConditionError, which is ErrCondition. The
	// transaction belongs to the store until Commit returns.
	Commit(ctx context.Context, txn *Txn) (Result, error)

	// Stamp draws the next stamp: it is above all that were drawn before. A
	// drawn stamp is not durable by itself; the pair that carries it is.
	Stamp(ctx context.Context) (Stamp, error)

	// Session begins a session: see Session.
	Session(ctx context.Context) (Session, error)

	// Snapshot opens the present state for reading until it is released.
	Snapshot(ctx context.Context) (Snapshot, error)

	// Watch follows the changes of a range.
	Watch(ctx context.Context, req WatchRequest) (Watcher, error)

	// Space says how full the store is.
	Space(ctx context.Context) (Usage, error)

	// Close ends the store after what is under way; later calls get ErrClosed.
	Close() error
}

// A Snapshot reads one state of the store, however long ago. What it reads takes
// space until Release.
type Snapshot interface {
	Reader
	// Version is the last change that the snapshot sees.
	Version() Stamp
	// Release ends the snapshot; reading it afterwards is ErrClosed.
	Release() error
}

// A WatchRequest asks for the changes of keys with Start <= key < End.
type WatchRequest struct {
	Start, End []byte
	// After is the version after which changes are wanted; 0 means from now on.
	// Too old a one is found out by Next.
	After Stamp
}

// A Watcher yields changes in the order of their versions.
type Watcher interface {
	// Next waits for changes, and answers at least one. Those of a transaction
	// come by one Next, so that the last Version is where another watch can go
	// on. ErrFellBehind, from then on: changes have been missed; read the range
	// again and watch from there. After Close it is ErrClosed.
	Next(ctx context.Context) ([]Change, error)
	Close() error
}

// Usage says how full a store is.
type Usage struct {
	Pairs     int64 // pairs of space User, as of the last checkpoint and what came since (a bound from above)
	LiveBytes int64 // bytes that live pages and chunks take
	UsedBytes int64 // bytes that the log takes on the disk
	FreeBytes int64 // bytes that may still be written before ErrNoSpace
	FileBytes int64 // size of the file system below
	// HeldBytes is the part of UsedBytes that only snapshots keep from being freed:
	// the parts of the log, as large as the store frees at once, in which nothing is
	// live and that a snapshot may read. It is up to date as of the last checkpoint,
	// and less what has been released since.
	HeldBytes int64
}
