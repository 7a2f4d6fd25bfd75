package delta

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"
)

// benchKeys are keys as the original's benchmarks have them: an internal key's
// space, the same eight bytes for 65536 keys, then a hash.
func benchKeys(n int) [][]byte {
	keys := make([][]byte, n)
	for i := range keys {
		var xy [16]byte
		binary.BigEndian.PutUint64(xy[:], uint64(i>>16))
		binary.BigEndian.PutUint64(xy[8:], uint64(i&0xffff))
		sum := sha256.Sum256(xy[:])
		keys[i] = append(append([]byte{0}, xy[:8]...), sum[:]...)
	}
	return keys
}

// benchEntries is about how many random changes fill a delta.
const benchEntries = 1 << 17

// BenchmarkPut puts entries in random order; every 64 of them the delta is frozen.
func BenchmarkPut(b *testing.B) {
	keys := benchKeys(benchEntries)
	b.ReportAllocs()
	b.ResetTimer()
	var d Delta
	for i := range b.N {
		if i%benchEntries == 0 {
			d = Delta{}
		}
		if i%64 == 0 {
			d.Freeze()
		}
		d.Put(&Entry{Key: keys[i%benchEntries], Version: uint64(i)})
	}
}

// BenchmarkGet looks entries up in random order, and keys that are not there.
func BenchmarkGet(b *testing.B) {
	keys := benchKeys(2 * benchEntries)
	var d Delta
	for i := 0; i < len(keys); i += 2 {
		d.Put(&Entry{Key: keys[i], Version: uint64(i)})
	}
	for name, odd := range map[string]int{"there": 0, "missing": 1} {
		b.Run(name, func(b *testing.B) {
			for i := range b.N {
				k := 2*(int(uint32(i)*2654435761)%benchEntries) + odd
				if got := d.Get(keys[k]); (got == nil) != (odd == 1) {
					b.Fatal(k, got)
				}
			}
		})
	}
}
