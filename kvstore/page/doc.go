// Package page encodes the pages of the B+Tree: leaves, which hold entries, and
// inner pages, which hold places of other pages.
//
// A page never changes once it is sealed. It is read through a Page, a view that
// copies nothing; whatever a Page hands out aliases its bytes and must not be
// written to. A view is opened once (Open proves the bytes) and may then be used
// by any number of goroutines. No view of any bytes can panic: what Open has not
// proved, no accessor relies on.
//
// # Keys
//
// A key here is an internal key: one keyspace byte (SpaceUser, SpaceSystem), then
// the key. The empty internal key is below all keys. A leaf holds keys of one
// keyspace only; the byte stands in its header and not in its cells, and Entry
// carries it beside the key. Separators and fences are whole internal keys.
//
// # Places
//
// A page begins at a multiple of 64 bytes within the blocks of one append, and
// may run over several blocks. A Place says where: block, offset in that block,
// and bytes. Place.Bytes is what the page takes, a multiple of 64; the page's
// own length, which is not, stands in its header.
//
// # Format, version 1
//
// Numbers are little-endian, except that a head is compared as a big-endian one.
// An offset counts from the first byte of the page. A varint is the one of
// encoding/binary, in its shortest form. A zigzag is a signed varint.
//
// Each thing that the engine appends begins with the same 12 bytes:
//
//	offset  bytes  what
//	     0      4  magic: "kPAG" (6b 50 41 47)
//	     4      4  CRC-32C (Castagnoli) of bytes 8 to length
//	     8      4  length in bytes, header included, not padded; at most 65536
//
// A page goes on with
//
//	12      1  version: 1
//	13      1  level: 0 a leaf, else one more than its children's
//	14      1  keyspace of a leaf; 0 in an inner page
//	15      1  flags: bit 0 cells are in protocol v1's encoding (a leaf);
//	           the others are zero
//	16      2  n: number of entries or children, at least 1
//	18      2  length of the lower fence
//	20      2  length of the upper fence; ffff: unbounded above
//	22      2  length of the prefix
//	24      8  base: the smallest birth in the leaf; 0 in an inner page
//
// The parts follow each other without a gap. A leaf:
//
//	4 n  heads
//	2 n  offsets of the cells
//	2 n  offsets of the attributes
//	     lower fence, upper fence
//	     attributes of the entries, in key order
//	     cells of the entries, in key order, to the end of the page
//
// An inner page:
//
//	 4 n  heads
//	 2 n  offsets of the cells
//	16 n  children
//	      lower fence, upper fence
//	      cells of the separators, in key order, to the end of the page
//
// The lower fence is inclusive, the upper exclusive. All keys and separators of a
// page lie within them. An upper fence is not empty. The tree leads to a page
// with brackets (the separators around its child pointer) that hold its fences,
// and may be wider where neighbours have vanished.
//
// The prefix is the longest that all keys of the leaf have in common, without
// the keyspace byte; in an inner page, the longest that all separators but the
// first have in common. It is not taken out of the cells. A head is the
// first four bytes after the prefix, padded with zeros: comparing heads as
// big-endian numbers orders the keys, except where heads are equal. The first
// head of an inner page is 0.
//
// The cell of an entry, in a leaf with flag bit 0:
//
//	1  length of the key
//	   key
//	1  length of the value
//	   value
//
// that is the encoding of protocol v1, so that a run of cells is its answer to a
// RANGE. The flag is set exactly if every key and value is at most 255 bytes
// and none is a blob or a link. The cell of any other leaf:
//
//	2  length of the key
//	   key
//	2  length of the value
//	   value, or what stands for it: see Blob and Link
//
// The cell of a separator:
//
//	2  length
//	   separator
//
// Entry i of an inner page is a lower bound of the keys in child i. The first
// separator is empty and means the lower fence; the others ascend. They are
// truncated: only as long as it takes to tell the neighbours apart.
//
// The attributes of an entry:
//
//	1  flags: see Flags
//	   varint: birth - base
//	   zigzag: modified - birth, if flag bit 0 is set, and then not 0
//	   zigzag: version - modified, if flag bit 1 is set, and then not 0
//	   varint: length of the metadata, if flag bit 2 is set, and then not 0
//	   metadata
//
// A child:
//
//	8  block
//	2  offset in the block, in steps of 64 bytes
//	2  length, in steps of 64 bytes, rounded up
//	4  CRC: bytes 4 to 8 of the child
//
// So what is read is what was written there and meant: a stale, misplaced or
// rotten page differs from its parent's CRC.
package page
