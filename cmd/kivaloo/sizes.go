package main

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// A byteSize is a flag that takes a number of bytes as people write it: 4096, 64K,
// 128M or 1GiB. 0 is a flag that was not given.
type byteSize struct {
	bytes       int64
	least, most int64
}

// sizeUnits are powers of 1024, with or without the i and the B that some write.
const sizeUnits = "KMGT"

func (b *byteSize) Set(text string) error {
	digits := strings.TrimRight(text, "kKmMgGtTiIbB")
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return fmt.Errorf("not a number of bytes")
	}
	shift, ok := unitShift(text[len(digits):])
	if !ok || bits.Len64(n)+shift > 63 {
		return fmt.Errorf("not a number of bytes")
	}
	n <<= shift
	if n < uint64(b.least) || n > uint64(b.most) {
		return fmt.Errorf("it must be from %s to %s", humanBytes(b.least), humanBytes(b.most))
	}
	b.bytes = int64(n)
	return nil
}

// unitShift is how many bits a unit moves a number by.
func unitShift(unit string) (shift int, ok bool) {
	unit = strings.TrimSuffix(strings.ToUpper(unit), "B")
	if unit == "" {
		return 0, true
	}
	unit = strings.TrimSuffix(unit, "I")
	at := strings.Index(sizeUnits, unit)
	return 10 * (at + 1), len(unit) == 1 && at >= 0
}

func (b *byteSize) String() string {
	if b.bytes == 0 {
		return ""
	}
	return humanBytes(b.bytes)
}

func (b *byteSize) Type() string { return "BYTES" }

// humanBytes writes a number with the largest unit that leaves it whole.
func humanBytes(n int64) string {
	unit := 0
	for n >= 1024 && n%1024 == 0 && unit < len(sizeUnits) {
		n, unit = n/1024, unit+1
	}
	return strconv.FormatInt(n, 10) + sizeUnits[:unit][max(0, unit-1):]
}
