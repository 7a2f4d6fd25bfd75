// Package kvtest holds what every kv.Store is measured by: a conformance suite
// (Run) and the oracle it compares with (Model), which is itself a complete
// kv.Store in memory, for tests of what stands above a store.
//
// The Model is meant to be obviously right, not fast. Its whole state is one
// immutable value: a transaction builds the next one and either replaces the
// present one by it or forgets it, and a snapshot is a copy of the root. All
// else (pins, marks, the watch ring) lies under one mutex beside it.
package kvtest
