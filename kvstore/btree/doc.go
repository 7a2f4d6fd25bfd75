// Package btree is a B+Tree over immutable pages: search, cursors, and the merge
// that makes a new tree of an old one. It runs no goroutines and does no I/O of
// its own: pages come from a Source and go to a Sink.
//
// Keys are internal keys: one keyspace byte, then the key.
//
// # Invariants
//
//   - A tree is its root. Whoever holds a Tree reads one state for ever, for as
//     long as its pages are kept.
//   - A page is written once, after its children. A merge shares with the old
//     tree every page below which nothing was due.
//   - The brackets of the children (from a separator to the next) tile the
//     bracket of their parent. A page's fences lie within its bracket, and its
//     keys within its fences. A bracket is wider than the fences of its page
//     where a neighbour has vanished: no key lies between.
//   - A leaf holds at least one entry, and entries of one keyspace.
//   - A page that a merge wrote is about a third of the target or longer, unless
//     it has no sibling that it could share with, lies beside an entry that is
//     longer than that, is the end of an ascending load, or the last of a step.
//     Inner pages have two children or more, except where a whole subtree shrank
//     to one page that has no sibling.
//
// # Code structure
//
//	tree.go       Tree, Source, Get
//	batch.go      many keys at once
//	bracket.go    brackets, and reading a page that must lie within one
//	cursor.go     walking the entries of a tree
//	merge.go      Merge: its arguments and what they promise
//	merger.go     where a merge is: changes, touches, budget
//	line.go       the walk down: the children of one old inner page
//	leafline.go   leaves: entries as units of packing
//	leafmerge.go  changes and an old leaf's entries, merged
//	innerline.go  inner pages: nodes as units of packing
//	join.go       small pages that have come together
//	packer.go     gathering units, merging neighbours
//	cut.go        cutting what is gathered into pages
//	plan.go       where a run of units is cut
//	writer.go     children before parents, many pages a write
//	root.go       growing and shrinking at the top
//	check.go      checking a whole tree
package btree
