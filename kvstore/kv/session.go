package kv

import "context"

// A Session is one client that holds more than requests: files that are open,
// data that is written ahead, caches that must be told of changes. All of it
// ends with the session.
type Session interface {
	// Commit is Store.Commit by this session: its observer is not told, since it
	// knows, and the answer waits for no confirmation.
	Commit(ctx context.Context, txn *Txn) (Result, error)

	// Pin keeps the pair of key, if it has this birth, from disappearing:
	// whoever deletes or replaces it (its last name, if it has several) moves it
	// to space Orphan in the same transaction. That changes its Version, as any
	// change of name. A pin stays with the birth, whatever its key becomes.
	// ErrNotFound: key has no pair of this birth. Pins count.
	Pin(ctx context.Context, key []byte, birth Stamp) error

	// Unpin takes one pin back; ErrInvalid: this session has none. With the last
	// one of all sessions, an orphan is deleted.
	Unpin(ctx context.Context, birth Stamp) error

	// Observe begins to deliver changes, of keys that are marked, made by others,
	// in the order of their versions. It is called once; again is ErrInvalid.
	Observe(o Observer) error

	// Mark asks for the next change of key: whether its pair is born, changed,
	// moved or deleted. Called before reading what is to be cached, it misses no
	// change. Delivering a change takes the mark away, with all changes of that
	// key by the same transaction. The session's own changes leave it.
	Mark(key []byte)

	// MarkPrefix asks, until Unmark, for every birth, death and move of keys that
	// begin with prefix, and for every change of pairs pinned by this session
	// below it. More may be delivered than was asked for. Marks do not count: one
	// Unmark takes all of the same prefix back.
	MarkPrefix(prefix []byte)

	// Unmark takes back MarkPrefix.
	Unmark(prefix []byte)

	// Stage writes data of at most ChunkBytes to the log without naming it. A value
	// put of pieces of ChunkBytes (the last may be shorter), staged one after the
	// other with nothing else between, is not written again.
	Stage(ctx context.Context, data []byte) (Staged, error)

	// Unstage drops staged data that no transaction will use.
	Unstage(staged []Staged)

	// Reserve sets aside room for n more bytes of this session's future commits,
	// or answers ErrNoSpace; a negative n gives back, at most all. A commit uses
	// up nothing of it: give back what has been committed.
	Reserve(ctx context.Context, n int64) error

	// Close ends the session: pins, marks, staged data and reservations.
	Close() error
}

// An Observer is told what others have changed.
type Observer interface {
	// Changed is called after the changes are durable and visible and before they
	// are answered to who made them. The answer waits until done is called; it
	// may be called from any goroutine, once. Changed itself must not wait and
	// must not call the store. The slice and its bytes may be kept.
	Changed(changes []Change, done func())
}

// A ChangeOp says what happened to a pair.
type ChangeOp uint8

const (
	// Changed: the value, and perhaps the metadata, of an existing pair.
	Changed ChangeOp = iota + 1
	// MetaChanged: the metadata alone.
	MetaChanged
	// Created: a pair where there was none, or another one of another birth.
	Created
	// Deleted: the pair is gone.
	Deleted
	// Moved: the pair has the key To now.
	Moved
	// PrefixDeleted: all keys that begin with Key are gone.
	PrefixDeleted
	// PrefixMoved: all keys that begin with Key begin with To now.
	PrefixMoved
)

// A Change is one change of a committed transaction, of space User. An effect
// makes one, and one more for every other name of a pair with links. What goes
// when another pair takes its key (Created, Moved) has no Deleted of its own.
//
// Where Birth is 0, the store did not look: a Changed may then be a Created, and
// a Deleted or PrefixDeleted may have found nothing.
type Change struct {
	Op      ChangeOp
	Key, To []byte
	// Version is the stamp of the effect.
	Version Stamp
	// Birth is that of the pair, 0 where the store did not need to look it up.
	Birth Stamp
	// Offset and Length hold the range that changed; Length 0: all of it.
	Offset, Length int64
}
