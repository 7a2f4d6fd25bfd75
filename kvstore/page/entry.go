package page

// The keyspaces: the first byte of every internal key.
const (
	SpaceUser   byte = 0
	SpaceSystem byte = 1
)

// Flags are what an entry says of itself by its attributes.
type Flags uint8

// The first three follow from an entry's fields and are not in Entry.Flags; the
// others are the caller's. The remaining bits are zero.
const (
	flagModified Flags = 1 << 0 // modified differs from birth
	flagVersion  Flags = 1 << 1 // version differs from modified
	flagMeta     Flags = 1 << 2 // has metadata

	// Blob says that the value's bytes are a reference to a blob.
	Blob Flags = 1 << 3
	// Link says that the value's bytes name a body in the system keyspace.
	Link Flags = 1 << 4
	// Brought says that the writer gave Modified (see kv.Pair).
	Brought Flags = 1 << 5

	// CallerFlags are the flags that an Entry may carry.
	CallerFlags = Blob | Link | Brought
)

// An Entry is a key and what the store keeps under it.
type Entry struct {
	Space byte   // keyspace
	Key   []byte // without the keyspace byte
	Value []byte // the value, or what stands for it if Flags has Blob or Link
	Meta  []byte

	Birth    uint64
	Modified uint64
	Version  uint64
	Flags    Flags // of CallerFlags
}
