package kv

// A Txn is a transaction: effects that happen all or not at all, and guards that
// must hold for them to happen. Guards are judged before the first effect, the
// first that fails is reported. Effects take place in order, each on what the
// one before left, and effect i takes the stamp Result.Version-(n-1-i) of n, also
// one that finds nothing to change.
type Txn struct {
	Guards  []Guard
	Effects []Effect
}

// A Result answers a transaction that was carried out.
type Result struct {
	// Version is the stamp of the last effect, or of the last change before a
	// transaction without effects.
	Version Stamp
	// Offset is where the last Append put its bytes, 0 without one.
	Offset int64
}

// A GuardOp is a condition on a pair.
type GuardOp uint8

const (
	// Absent: there is no such pair.
	Absent GuardOp = iota + 1
	// Present: there is one.
	Present
	// ValueEquals: it is there, with this Value.
	ValueEquals
	// VersionEquals: it is there, and Stamp is its Version.
	VersionEquals
	// BirthEquals: it is there and is the one born at Stamp, changed or not.
	BirthEquals
	// PrefixEmpty: no key begins with Key, except Key itself.
	PrefixEmpty
)

// A Guard is a condition of a transaction.
type Guard struct {
	Op    GuardOp
	Space Space
	Key   []byte
	Value []byte
	Stamp Stamp
}

// An EffectOp is a kind of change.
//
// Those down to CopyRange write a value: they take Birth, Modified, SetMeta and
// Meta as well, and set Modified and Version even if the bytes are the same as
// before. They act on the value under all its names; Delete, Move and the like
// act on the one name. A name that is taken from a pair which keeps others, or
// given to it, changes that pair's Version, as a changed name does.
//
// Orphan and Root have no names to change: DeletePrefix, Move, MovePrefix and Link
// are ErrInvalid there, as is Fresh in Orphan. In Orphan nothing is created: what
// would create a pair finds none, so that a late writer brings no orphan back.
type EffectOp uint8

const (
	// Put sets the value of Key to Value. A pair that is there keeps its birth,
	// and its metadata unless SetMeta; a new one is born now, or at Birth. With
	// Fresh, the name is taken from a pair that is there first, as by Delete.
	Put EffectOp = iota + 1
	// Patch overwrites the value from Offset on with Value, growing it (with
	// zeros between) where needed. The pair is created where there is none. An
	// empty Value grows nothing, whatever the Offset.
	Patch
	// Append is a Patch at the end of the value. ErrTooLarge: no room before
	// ValueBytesMax.
	Append
	// Truncate cuts or grows (with zeros) the value to Length bytes. The pair is
	// created where there is none.
	Truncate
	// Punch makes Length bytes from Offset on zero and gives back their space,
	// without changing the size: what lies beyond the end is left out. The pair
	// must be there.
	Punch
	// CopyRange copies Length bytes at Offset of Key to ToOffset of To, whose
	// pair is created where there is none: a Patch of To with what Key held
	// before. What lies beyond the end of Key is left out. Key must be there, and
	// may be To. ErrTooLarge: more than CopyBytesMax, after what was left out.
	CopyRange
	// Delete removes the pair; there need be none.
	Delete
	// DeletePrefix removes every pair whose key begins with Key. ErrTooLarge: more
	// names of values with links are among them than one transaction carries; on a
	// full disk, ErrNoSpace: delete these one by one.
	DeletePrefix
	// Move gives the pair of Key the key To, dropping what was there. Birth,
	// Modified and metadata move with it. Key must be there. A move to its own
	// key changes the version only. If To was another name of the same value,
	// the value has one name less.
	Move
	// MovePrefix moves every pair whose key begins with Key to To and the rest of
	// its key; there need be none. There must be no key that begins with To, and
	// neither may begin with the other (ErrInvalid). ErrTooLarge: more than one
	// transaction carries, or a key that becomes too long. All pairs take the
	// effect's one stamp as their Version.
	MovePrefix
	// SetMeta replaces the metadata. The pair must be there.
	SetMeta
	// Link gives the pair of Key a second key, To, which must be absent. From
	// then on both are names of one value, with one birth and one metadata.
	// ErrTooLarge: it has NamesMax names.
	Link
)

// An Effect is one change of a transaction.
type Effect struct {
	Op    EffectOp
	Space Space
	Key   []byte
	To    []byte // destination of CopyRange, Move, MovePrefix, Link
	// ToSpace is the space of To.
	ToSpace Space

	Value []byte
	// Staged is used in place of Value: bytes that were written ahead of their
	// transaction (Session.Stage), in order. More than TxnBytesMax of them can be
	// put, or patched or appended to a pair that the same transaction has not changed
	// before; ErrTooLarge, too, if others change its value all the time.
	Staged []Staged

	Offset, Length, ToOffset int64

	// Meta replaces the metadata where SetMeta is set (for op SetMeta, always),
	// with effects that write a value; others ignore it.
	SetMeta bool
	Meta    []byte

	Fresh bool // for Put
	// Birth is the birth of a pair that this effect creates; 0: its own stamp.
	// It must be one that no other pair has (Store.Stamp): that is not checked.
	Birth Stamp
	// Modified is the pair's Modified, and makes it Brought; 0: its own stamp. One
	// that is given, and not above that of the pair that is there, is raised to
	// that and one more. A dropped pair (Fresh) raises nothing.
	Modified Stamp
}

// Staged names bytes that are on the disk already but belong to no pair yet. It
// is valid in the session that made it, until a transaction has used it: one
// that fails has not. Anything else that is handed in as Staged is ErrInvalid,
// the same data twice in one transaction too.
type Staged struct {
	ID    uint64
	Bytes int64
}
