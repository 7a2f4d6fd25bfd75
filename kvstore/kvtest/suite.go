package kvtest

import (
	"context"
	"flag"
	"slices"
	"strings"
	"testing"
	"time"

	"kivaloo/kvstore/kv"
)

var (
	seedFlag = flag.Uint64("kvtest.seed", 0, "seed of the random operations; 0: another one every time")
	opsFlag  = flag.Int("kvtest.ops", 2000, "how many random transactions")
)

// An Opener makes a new, empty store for one test, and has tb clean up after it.
type Opener func(tb testing.TB) *Subject

// A Subject is a store under test, and what can be done to it from outside. What
// was opened on a store before Reopen or Crash (sessions, snapshots, watchers) is
// closed later, by the test's clean-up, and must bear that.
type Subject struct {
	Store kv.Store

	// Reopen closes the store and opens it again; nil: it cannot be.
	Reopen func() (kv.Store, error)

	// Crash cuts the power, with requests under way or not, and opens the store
	// again. What was not durable is gone. Nil: it cannot be.
	Crash func() (kv.Store, error)

	// CutAt has the power fail at the n-th call of the disk from now on, counted
	// from 1, so that Crash finds a write half done. Nil: Crash itself cuts it,
	// mostly between two calls.
	CutAt func(n int)

	// Beside is another way to the same store, as another client has one. Nil:
	// the store itself.
	Beside func() kv.Store

	// Lacks is what the store cannot do. Tests that need it are skipped.
	Lacks Feature
}

// A Feature is a part of the contract that a store may lack, such as one at the
// other end of an old protocol.
type Feature uint32

const (
	// Large: keys and values beyond 255 bytes.
	Large Feature = 1 << iota
	// Huge: values as long as one transaction brings. They take memory and time.
	Huge
	// Stamps: births, versions and their guards; Stamp.
	Stamps
	// Metadata of pairs.
	Metadata
	// Txns: any guards and effects together, on any keys. Without, there is one
	// effect, and one guard of the same key.
	Txns
	// Parts: patch, append, truncate, punch, copy range.
	Parts
	// Names: move, and effects on prefixes.
	Names
	// Links: several names of one value.
	Links
	// Listings: scans in reverse, with a delimiter, bounded in number, or of keys
	// alone.
	Listings
	// Spaces Orphan and Root.
	Spaces
	// Snapshots.
	Snapshots
	// Sessions: pins, staged data, reservations.
	Sessions
	// Observers of sessions.
	Observers
	// Watches.
	Watches
	// Usage: Space answers figures.
	Usage
	// Reopening, and Crashing: implied by a Subject without these functions.
	Reopening
	Crashing
	// Longest: values of kv.ValueBytesMax, longer than one who holds them in memory
	// should try.
	Longest
)

// V1 is what a store behind protocol v1 lacks.
const V1 = Large | Huge | Longest | Stamps | Metadata | Txns | Parts | Names | Links | Listings | Spaces | Snapshots |
	Sessions | Observers | Watches | Usage

var featureNames = []string{"large keys and values", "huge values", "stamps", "metadata", "transactions",
	"parts of values", "names", "links", "listings", "spaces", "snapshots", "sessions", "observers", "watches",
	"usage", "reopening", "crashing", "the longest values"}

func (f Feature) String() string {
	var names []string
	for i, name := range featureNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// lacks is all that a subject cannot do.
func (s *Subject) lacks() Feature {
	f := s.Lacks
	if s.Reopen == nil {
		f |= Reopening
	}
	if s.Crash == nil {
		f |= Crashing
	}
	return f
}

// A test is one part of the suite, run on a store of its own.
type test struct {
	name  string
	needs Feature
	run   func(*env)
}

// suite is all tests, the quick ones first.
func suite() []test {
	return slices.Concat(guardTests(), effectTests(), stampTests(), limitTests(), scanTests(), snapshotTests(),
		sessionTests(), linkTests(), observeTests(), watchTests(), reopenTests(), concurrentTests(), randomTests(), hugeTests())
}

// Run checks a store against the whole contract. What it lacks is skipped, by
// name, and counted at the end.
func Run(t *testing.T, open Opener) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	skipped := 0
	all := suite()
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			defer func() {
				if t.Skipped() {
					skipped++
				}
			}()
			runTest(t, c, open, options{seed, *opsFlag, waitMax})
		})
	}
	if skipped > 0 {
		t.Logf("skipped %d of %d tests for what this store lacks", skipped, len(all))
	}
}

// options of a run.
type options struct {
	seed uint64
	ops  int           // how many random transactions
	wait time.Duration // for what must happen, before it counts as a failure
}

// waitMax is long even for a store whose disk is slow and busy.
const waitMax = 20 * time.Second

// testTimeMax ends a test that hangs, with a message of its own and not the
// whole program's.
const testTimeMax = 3 * time.Minute

// runTest runs one test, if the store has what it needs.
func runTest(tb testing.TB, c test, open Opener, opt options) {
	subject := open(tb)
	if missing := c.needs & subject.lacks(); missing != 0 {
		tb.Skipf("the store lacks %v", missing)
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeMax)
	defer cancel()
	e := &env{TB: tb, ctx: ctx, subject: subject, store: subject.Store, lacks: subject.lacks(), options: opt}
	e.oracle = newOracle(e.has(Stamps))
	c.run(e)
}
