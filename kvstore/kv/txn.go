package kv

// A Txn is a transaction: effects that happen all or not at all, and guards that
// must hold for them to happen. Effects take place in order, each on what the
// one before left, and effect i takes the stamp Result.Version-(n-1-i) of n.
type Txn struct {
	Guards  []Guard
	Effects []Effect
}

// A Result answers a transaction that was carried out.
type Result struct {
	// Version is the stamp of the last effect, or of the last change before a
	// transaction without effects.
	Version Stamp
	// Offset is where the last Append put its bytes.
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
	// VersionEquals: it is there, unchanged since Stamp.
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
type EffectOp uint8

const (
	// Put sets the value of Key to Value. A pair that is there keeps its birth,
	// and its metadata unless SetMeta; a new one is born now, or at Birth. With
	// Fresh, a pair that is there is dropped first.
	Put EffectOp = iota + 1
	// Patch overwrites the value from Offset on with Value, growing it (with
	// zeros between) where needed. The pair is created where there is none.
	Patch
	// Append is a Patch at the end of the value.
	Append
	// Truncate cuts or grows (with zeros) the value to Length bytes. The pair is
	// created where there is none.
	Truncate
	// Punch makes Length bytes from Offset on zero and gives back their space,
	// without changing the size. The pair must be there.
	Punch
	// CopyRange copies Length bytes at Offset of Key to ToOffset of To, whose
	// pair is created where there is none. Key must be there.
	CopyRange
	// Delete removes the pair; there need be none.
	Delete
	// DeletePrefix removes every pair whose key begins with Key.
	DeletePrefix
	// Move gives the pair of Key the key To, dropping what was there. Birth,
	// Modified and metadata move with it. Key must be there.
	Move
	// MovePrefix moves every pair whose key begins with Key to To and the rest of
	// its key. There must be no key that begins with To, and neither may begin
	// with the other. ErrTooLarge: more than one transaction carries.
	MovePrefix
	// SetMeta replaces the metadata. The pair must be there.
	SetMeta
	// Link gives the pair of Key a second key, To, which must be absent. From
	// then on both are names of one value.
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
	// transaction (Session.Stage), in order.
	Staged []Staged

	Offset, Length, ToOffset int64

	// Meta replaces the metadata where SetMeta is set (for op SetMeta, always).
	SetMeta bool
	Meta    []byte

	Fresh bool
	// Birth is the birth of a pair that this effect creates; 0: its own stamp.
	Birth Stamp
	// Modified is the pair's Modified; 0: its own stamp. One that is not above
	// the old is raised to the old one and one more.
	Modified Stamp
}

// Staged names bytes that are on the disk already but belong to no pair yet. It
// is valid in the session that made it, until a transaction has used it.
type Staged struct {
	ID    uint64
	Bytes int64
}
