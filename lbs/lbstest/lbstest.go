// Package lbstest is the one conformance suite of block stores: whatever is an
// lbs.Store passes it, in this process or behind a socket, sealed or not. What
// only an lbs.Segmented can do is tested where the store is one.
//
// A random run prints its seed; LBSTEST_SEED repeats it.
package lbstest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"kivaloo/lbs"
)

// A Maker makes a new, empty store, and a function that closes the store that was
// made last and opens it again. The suite closes what it has opened.
type Maker func(t *testing.T) (s lbs.Store, reopen func() lbs.Store)

// Run runs the suite.
func Run(t *testing.T, make Maker) {
	tests := []struct {
		name string
		run  func(*T)
	}{
		{"EmptyStoreHasNoBlock", testEmpty},
		{"AppendsOfEveryLength", testLengths},
		{"AppendLeavesThePayloadAlone", testPayload},
		{"ImpossibleLengthsAreRefused", testImpossible},
		{"WrongNumberIsRefused", testNotNext},
		{"ReadsAtEveryOffset", testOffsets},
		{"UnwrittenBlocksAreRefused", testNoBlock},
		{"FreeKeepsWhatIsKept", testFree},
		{"ReopeningFindsEverything", testReopen},
		{"ReadersBesideTheWriter", testReaders},
		{"ClosedStoreAnswersSo", testClosed},
		{"RandomOperationsMatchTheModel", testRandom},
		{"FreedSegments", testSegments},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, reopen := make(t)
			x := &T{T: t, Store: s, reopen: reopen}
			defer func() { _ = x.Close() }()
			tt.run(x)
		})
	}
}

// A T is one test: a store, and what was appended to it.
type T struct {
	*testing.T
	lbs.Store
	reopen func() lbs.Store
	done   []appended
}

type appended struct {
	first   uint64
	next    uint64
	payload []byte
}

// Seed is where random tests begin: LBSTEST_SEED, or another one each time.
func Seed(t testing.TB) uint64 {
	seed := rand.Uint64()
	if s := os.Getenv("LBSTEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 0, 64); err != nil {
			t.Fatalf("LBSTEST_SEED: %v", err)
		}
	}
	t.Logf("LBSTEST_SEED=%d", seed)
	return seed
}

func (x *T) must(err error) {
	x.Helper()
	if err != nil {
		x.Fatal(err)
	}
}

func (x *T) want(err, want error) {
	x.Helper()
	if !errors.Is(err, want) {
		x.Errorf("got error %v, want %v", err, want)
	}
}

// append appends so many bytes that no other append has, and checks the number.
func (x *T) append(bytes int) appended {
	x.Helper()
	a := appended{first: x.Next(), payload: Payload(x.Next(), bytes)}
	var err error
	a.next, err = x.Append(a.first, a.payload, lbs.Ordinary)
	x.must(err)
	size := x.BlockBytes()
	least, most := uint64((bytes+size-1)/size), uint64((bytes+lbs.SealBytes+size-1)/size)
	if got := a.next - a.first; got < least || got > most {
		x.Fatalf("%d bytes took %d blocks, want %d to %d", bytes, got, least, most)
	}
	if x.Next() != a.next || x.Last() != a.next-1 {
		x.Fatalf("next %d, last %d after an append that answered %d", x.Next(), x.Last(), a.next)
	}
	x.done = append(x.done, a)
	return a
}

// Payload makes bytes that depend on their place.
func Payload(first uint64, bytes int) []byte {
	r := rand.New(rand.NewPCG(first, 0x6b697661))
	p := make([]byte, bytes)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// check reads an append back, whole; freed says that it may be gone.
func (x *T) check(a appended, freed bool) {
	x.Helper()
	got := make([]byte, len(a.payload))
	err := x.ReadAt(got, a.first, 0)
	if freed && errors.Is(err, lbs.ErrNoBlock) {
		return
	}
	x.must(err)
	if !bytes.Equal(got, a.payload) {
		x.Fatalf("blocks %d to %d are not as they were written", a.first, a.next)
	}
}

// checkAll reads everything back that lies from keep on.
func (x *T) checkAll(keep uint64) {
	x.Helper()
	for _, a := range x.done {
		x.check(a, a.first < keep)
	}
}

// again closes the store and opens it.
func (x *T) again() {
	x.Helper()
	next := x.Next()
	x.Store = x.reopen()
	if x.Next() != next {
		x.Fatalf("next is %d after reopening, was %d", x.Next(), next)
	}
}
