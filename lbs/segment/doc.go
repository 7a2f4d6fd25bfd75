// Package segment keeps a log of blocks in segment files of which every byte was
// written before: an append is one write and one flush, and is found after a
// crash by the seal in its last block.
//
// # The directory
//
//	format               the format record; a directory without it is no store
//	seg_F                the last segment; F: its first number, 16 hex digits
//	seg_F_N              a segment before it, with N blocks, 8 hex digits; the next
//	                     segment's name was durable before this one's was given
//	spare_I              a segment to be, of any contents; I: any 8 hex digits
//	format.tmp, *.tmp    unfinished; removed when the store is opened
//
// Other names are left alone. Where there is no format record, only these may
// stand for the directory to count as empty: a segment 0 of zeros, with a header
// that begins with our magic or with none, spares,
// temporaries, sockets, lost+found, and *.sock, *.pid and *.log. A stale socket is
// the caller's to remove, once Open has returned and with it the lock is held.
//
// # Formats
//
// Numbers are little-endian. CRC is CRC-32C; keyed CRC is CRC-32C started from the
// CRC-32C of the salt instead of from 0, so that nobody who does not know the salt
// can write data that pass for ours. What is called zero is written as zero and
// not looked at.
//
// The format record, file "format", 64 bytes. Every version keeps the fields of
// offset 0, 8 and 60 where they are:
//
//	 0   8  magic "KVLSTORE"
//	 8   4  version, 1
//	12   4  block size
//	16  16  store id
//	32  16  salt, secret and random
//	48  12  zero
//	60   4  CRC of the 60 bytes before
//
// A segment file is a header of 4096 bytes and blocks; block i of the file begins
// at 4096 + i * block size, and what is too short for a block at the end is unused.
// The header is written, and durable, before the file gets its name:
//
//	 0   8  magic "KVLSEGMT"
//	 8   4  version, 1
//	12   4  block size
//	16  16  store id
//	32   8  first number: of the file's first block
//	40   8  first sequence: of the file's first append
//	48   4  keyed CRC of the seal before (its bytes 60 to 63), 0 for the first
//	52   8  zero
//	60   4  keyed CRC of the 60 bytes before
//	64      zero
//
// A seal is the last 64 bytes of the last block of each append:
//
//	 0   8  magic "KVLSEAL1"
//	 8   8  first number: of the append's first block
//	16   8  sequence: the first append of a store has 0, each next one more
//	24   4  number of blocks
//	28   4  keyed CRC of the append's bytes, all but this seal
//	32   4  keyed CRC of the seal before (its bytes 60 to 63), 0 for the first
//	36  24  zero
//	60   4  keyed CRC of the 60 bytes before
//
// # What is proven, and by what
//
// The first byte of append N+1 is written after the flush of N has returned. So a
// seal with the right CRC, whose numbers fit its place, proves every append before
// its own to have been acknowledged: if one of them is not as its seal says, it is
// damage. A bad append with no such seal after it was never acknowledged, and is
// dropped: the torn tail. An earlier life of the same file cannot pass, for its
// numbers fit no place in this one; what a dropped append has left cannot either,
// for its sequence is used again by the next.
//
// # Who owns what
//
// Append owns the last segment and the chain of seals. The table of segments is
// replaced as a whole, under mu, by whoever changes it, and read without a lock.
// The goroutine of the pool makes all spares; Close awaits it.
package segment
