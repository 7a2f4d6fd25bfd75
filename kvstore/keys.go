package kvstore

import (
	"encoding/binary"

	"kivaloo/kvstore/kv"
)

// Internal keys: a keyspace byte, then the key. In the system keyspace the next
// byte says what the pair is:
//
//	'B' body:   8 birth; the pair that links lead to (item: Body)
//	'N' name:   8 birth of a body, then a user key that leads to it; no value
//	'O' orphan: 8 birth; a deleted pair that a session has pinned
//	'R' root:   the attributes of a mount's root directory
//	'X' chunk:  8 blob, 4 number; the value is a reference (item.Ref)
//
// All numbers in keys are big-endian, so that they sort. Chunks come last: a merge
// goes in key order, and dropping the pairs before says which of them must go.
const (
	userSpace   = 0
	systemSpace = 1

	bodyKind   = 'B'
	nameKind   = 'N'
	orphanKind = 'O'
	rootKind   = 'R'
	chunkKind  = 'X'
)

// appendKey appends the internal key of a client's key.
func appendKey(dst []byte, space kv.Space, key []byte) []byte {
	switch space {
	case kv.User:
		dst = append(dst, userSpace)
	case kv.Orphan:
		dst = append(dst, systemSpace, orphanKind)
	case kv.Root:
		dst = append(dst, systemSpace, rootKind)
	}
	return append(dst, key...)
}

// appendBodyKey appends the internal key of the body of this birth.
func appendBodyKey(dst []byte, birth uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, systemSpace, bodyKind), birth)
}

func isBodyKey(key []byte) bool {
	return len(key) == bodyKeyBytes && key[0] == systemSpace && key[1] == bodyKind
}

// bodyOf answers the birth in a body's internal key.
func bodyOf(key []byte) uint64 { return binary.BigEndian.Uint64(key[2:]) }

const (
	bodyKeyBytes = 2 + 8
	// nameKeyBytes is where in a name's internal key the user's key begins.
	nameKeyBytes = 2 + 8
)

// appendNameKey appends the internal key that says of a user's internal key that
// it is a name of a body.
func appendNameKey(dst []byte, birth uint64, key []byte) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, systemSpace, nameKind), birth)
	return append(dst, key[1:]...)
}

// nameRange is the range of the names of a body.
func nameRange(birth uint64) (start, end []byte) {
	return appendNameKey(nil, birth, userKey), appendNameKey(nil, birth+1, userKey)
}

// userKey is the internal key of the empty user key.
var userKey = []byte{userSpace}

// nameOf answers which body a name's internal key is of, and the internal key
// that is the name.
func nameOf(key []byte) (birth uint64, name []byte) {
	return binary.BigEndian.Uint64(key[2:]), append([]byte{userSpace}, key[nameKeyBytes:]...)
}

func isNameKey(key []byte) bool {
	return len(key) >= nameKeyBytes && key[0] == systemSpace && key[1] == nameKind
}

// appendChunkKey appends the internal key of a blob's chunk.
func appendChunkKey(dst []byte, blob uint64, number uint32) []byte {
	dst = append(dst, systemSpace, chunkKind)
	dst = binary.BigEndian.AppendUint64(dst, blob)
	return binary.BigEndian.AppendUint32(dst, number)
}

// chunkRange is the range of the chunks of a blob from a number on.
func chunkRange(blob uint64, from uint32) (start, end []byte) {
	end = append([]byte{systemSpace, chunkKind}, binary.BigEndian.AppendUint64(nil, blob+1)...)
	return appendChunkKey(nil, blob, from), end
}

// isChunkKey says whether an internal key, without its keyspace byte, is that of a
// chunk in the system keyspace.
func isChunkKey(space byte, key []byte) bool {
	return space == systemSpace && len(key) == 13 && key[0] == chunkKind
}

// prefixRange is the range of all internal keys that begin with prefix.
func prefixRange(prefix []byte) (start, end []byte) {
	return prefix, kv.PrefixEnd(prefix)
}
