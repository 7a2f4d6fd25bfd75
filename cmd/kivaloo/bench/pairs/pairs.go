// Package pairs makes the key-value pairs that the original's benchmarks use, by
// its arithmetic, so that figures can be compared.
//
// Pair number n has X = n / 65536 and Y = n % 65536. Integers are 8 bytes,
// big-endian:
//
//	key    X, then SHA-256 of a byte 0, X and Y
//	value  n, then SHA-256 of a byte 1, X and Y
//
// Pairs are sorted by key within each X, and so as a whole: the numbers within a
// group are in random order.
package pairs

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"runtime"
	"slices"
	"sync"
)

const (
	// Bytes is the length of a key, and of a value.
	Bytes = 8 + sha256.Size

	// GroupPairs is how many pairs have the same X.
	GroupPairs = 1 << 16
)

// A Pair is a key and its value.
type Pair struct{ Key, Value [Bytes]byte }

// New makes pair number n.
func New(n uint64) Pair {
	x, y := n/GroupPairs, n%GroupPairs
	return Pair{Key: numbered(x, hash(0, x, y)), Value: numbered(n, hash(1, x, y))}
}

func numbered(number uint64, hash [sha256.Size]byte) (b [Bytes]byte) {
	binary.BigEndian.PutUint64(b[:], number)
	copy(b[8:], hash[:])
	return b
}

func hash(first byte, x, y uint64) [sha256.Size]byte {
	text := [17]byte{first}
	binary.BigEndian.PutUint64(text[1:], x)
	binary.BigEndian.PutUint64(text[9:], y)
	return sha256.Sum256(text[:])
}

// A Set is the pairs with the numbers from 0 on.
type Set struct {
	Pairs []Pair   // sorted by key
	Order []uint32 // where pair number n stands in Pairs
}

// Make makes the first n pairs, with as many goroutines as there are processors.
func Make(n int) *Set {
	s := &Set{Pairs: make([]Pair, n), Order: make([]uint32, n)}
	var wg sync.WaitGroup
	starts := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for start := range starts {
				s.group(start)
			}
		})
	}
	for start := 0; start < n; start += GroupPairs {
		starts <- start
	}
	close(starts)
	wg.Wait()
	return s
}

// group makes the pairs of one X, the first of which has number start.
func (s *Set) group(start int) {
	end := min(start+GroupPairs, len(s.Pairs))
	made := make([]Pair, end-start)
	sorted := make([]uint32, end-start)
	for i := range made {
		made[i], sorted[i] = New(uint64(start+i)), uint32(i)
	}
	slices.SortFunc(sorted, func(a, b uint32) int { return bytes.Compare(made[a].Key[:], made[b].Key[:]) })
	for at, i := range sorted {
		s.Pairs[start+at] = made[i]
		s.Order[start+int(i)] = uint32(start + at)
	}
}
