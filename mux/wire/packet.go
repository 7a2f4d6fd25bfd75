package wire

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

const (
	headerBytes  = 16
	trailerBytes = 4

	// PacketOverhead is what a packet takes beyond its record.
	PacketOverhead = headerBytes + trailerBytes
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// leadingBit is the state of the CRC after the 1 bit that stands before the data.
const leadingBit = 0x82f63b78

// check is the protocol's CRC-32C. Go inverts before and after; the protocol
// does neither, so both are undone.
func check(data []byte) uint32 {
	return ^crc32.Update(^uint32(leadingBit), castagnoli, data)
}

// A Packet is a record and the number of the request that it belongs to.
type Packet struct {
	ID     uint64
	Record []byte
}

// Next finds the packet at the start of buf and answers how many bytes it takes,
// or 0 when buf does not hold all of it yet. The header is judged as soon as it
// is there, so that nobody waits for, or makes room for, more than recordMax.
func Next(buf []byte, recordMax int) (Packet, int, error) {
	n, err := packetBytes(buf, recordMax)
	if err != nil || n == 0 || len(buf) < n {
		return Packet{}, 0, err
	}
	record := buf[headerBytes : n-trailerBytes]
	want := check(record) ^ binary.LittleEndian.Uint32(buf[12:])
	if got := binary.LittleEndian.Uint32(buf[n-trailerBytes:]); got != want {
		return Packet{}, 0, fmt.Errorf("%w: record check is %#08x, should be %#08x", ErrMalformed, got, want)
	}
	return Packet{ID: binary.BigEndian.Uint64(buf), Record: record}, n, nil
}

// Open is Next for the bytes of exactly one packet that Next has judged before.
func Open(packet []byte) Packet {
	return Packet{ID: binary.BigEndian.Uint64(packet), Record: packet[headerBytes : len(packet)-trailerBytes]}
}

// packetBytes is the length of the packet that begins buf, from its header: 0
// when the header is not complete.
func packetBytes(buf []byte, recordMax int) (int, error) {
	if len(buf) < headerBytes {
		return 0, nil
	}
	want := check(buf[:12])
	if got := binary.LittleEndian.Uint32(buf[12:]); got != want {
		return 0, fmt.Errorf("%w: header check is %#08x, should be %#08x", ErrMalformed, got, want)
	}
	n := binary.BigEndian.Uint32(buf[8:])
	if uint64(n) > uint64(recordMax) {
		return 0, fmt.Errorf("%w: record of %d bytes, at most %d are allowed", ErrMalformed, n, recordMax)
	}
	return PacketOverhead + int(n), nil
}

// Begin appends room for a header. The record is appended next; End, given the
// length that dst had before, completes the packet.
func Begin(dst []byte, id uint64) []byte {
	dst = binary.BigEndian.AppendUint64(dst, id)
	return append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
}

// End completes the packet that Begin started at dst[start].
func End(dst []byte, start int) []byte {
	header, record := dst[start:start+headerBytes], dst[start+headerBytes:]
	binary.BigEndian.PutUint32(header[8:], uint32(len(record)))
	sum := check(header[:12])
	binary.LittleEndian.PutUint32(header[12:], sum)
	return binary.LittleEndian.AppendUint32(dst, check(record)^sum)
}
