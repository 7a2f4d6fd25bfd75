package kvstore

import "kivaloo/kvstore/delta"

// An arena copies what the delta keeps of a transaction, in few allocations. What
// it hands out lives as long as the delta: memory is given back as a whole.
type arena struct {
	bytes   []byte
	entries []delta.Entry
}

const (
	arenaBytes   = 64 << 10
	arenaEntries = 256
)

func (a *arena) copy(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	if len(b) > cap(a.bytes)-len(a.bytes) {
		if len(b) > arenaBytes/4 {
			return append([]byte(nil), b...)
		}
		a.bytes = make([]byte, 0, arenaBytes)
	}
	n := len(a.bytes)
	a.bytes = append(a.bytes, b...)
	return a.bytes[n:len(a.bytes):len(a.bytes)]
}

func (a *arena) entry() *delta.Entry {
	if len(a.entries) == cap(a.entries) {
		a.entries = make([]delta.Entry, 0, arenaEntries)
	}
	a.entries = a.entries[:len(a.entries)+1]
	return &a.entries[len(a.entries)-1]
}
