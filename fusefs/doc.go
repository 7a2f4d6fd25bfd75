// Package fusefs shows a kv.Store as a filesystem: a key is a path, a directory
// listing is a scan, and close returns when the data is on disk. DESIGN.md in
// this folder says how, and what is durable when which call returns.
//
// It knows the contract of package kv and the names of package namespace, and
// nothing of what is behind them. It is built on fuse.RawFileSystem: nodes are
// its own, and memory follows what the kernel holds or has open.
//
// # State and who owns it
//
//   - tree: nodes, their places and numbers. Its mutex is held for map
//     look-ups only.
//   - file: what is open or unsaved of one pair. Its mutex guards the buffer,
//     its turn is held by who changes the pair or its name, across the commit.
//   - paths: everybody who turns a node into a key and goes to the store with it
//     holds it shared; the rename of a directory, which changes the keys of all
//     nodes below, holds it alone.
//
// Lock order: paths, a file's turn (of two files, the one with the lower node id
// first), a file's mutex, the tree's mutex.
//
// The process must never touch its own mount: it would wait for itself.
package fusefs
