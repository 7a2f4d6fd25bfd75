package page

import "fmt"

// StepBytes is the grain of places: pages begin and, with padding, end at
// multiples of it.
const StepBytes = 64

// A Place is where a page lies in the log.
type Place struct {
	Block  uint64
	Offset uint32 // bytes within the block, a multiple of StepBytes
	Bytes  uint32 // what the page takes, a multiple of StepBytes
}

func (p Place) String() string {
	return fmt.Sprintf("block %d, offset %d, %d bytes", p.Block, p.Offset, p.Bytes)
}

// A Ref is a place and the CRC that the page there must carry.
type Ref struct {
	Place
	CRC uint32
}

// Padded is n rounded up to whole steps: what a page of n bytes takes.
func Padded(n int) int { return (n + StepBytes - 1) &^ (StepBytes - 1) }
