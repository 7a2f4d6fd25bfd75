package segment

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"testing"

	"kivaloo/lbs"
)

var update = flag.Bool("update", false, "write the golden files again")

// goldenIdentity and its fellows are what the golden files hold.
var (
	goldenIdentity = identity{
		blockBytes: 4096,
		id:         [16]byte([]byte("id-of-the-store.")),
		salt:       [16]byte([]byte("salt-of-the-....")),
	}
	goldenHeader = header{first: 0x0102030405060708, sequence: 0x1112131415161718, previous: 0x21222324}
	goldenSeal   = seal{first: 0x0102030405060708, sequence: 0x1112131415161718, blocks: 0x31323334, payload: 0x41424344, previous: 0x21222324}
)

func TestFormatsAreAsTheGoldenFilesSay(t *testing.T) {
	head, end, q := make([]byte, headerBytes), make([]byte, recordBytes), goldenSeal
	goldenIdentity.encodeHeader(head, goldenHeader)
	goldenIdentity.encodeSeal(end, &q)
	for name, got := range map[string][]byte{
		"format": goldenIdentity.encode(), "header": head[:recordBytes], "seal": end,
	} {
		path := "testdata/" + name + "_v1.golden"
		if *update {
			must(t, os.WriteFile(path, []byte(hex.Dump(got)), 0o666))
		}
		want, err := os.ReadFile(path)
		must(t, err)
		if hex.Dump(got) != string(want) {
			t.Errorf("%s is\n%s, the golden file says\n%s", name, hex.Dump(got), want)
		}
	}
	if !isZero(head[recordBytes:]) {
		t.Error("the rest of the header is not zero")
	}
	s, err := decodeIdentity(goldenIdentity.encode())
	if err != nil || s != goldenIdentity {
		t.Errorf("format record read back: %+v, %v", s, err)
	}
	h, err := s.decodeHeader(head, goldenHeader.first)
	if err != nil || h != goldenHeader {
		t.Errorf("header read back: %+v, %v", h, err)
	}
	if got, ok := s.decodeSeal(end); !ok || got != q {
		t.Errorf("seal read back: %+v, %v", got, ok)
	}
}

func TestEveryFlippedBitOfARecordIsNoticed(t *testing.T) {
	format, head, end, q := goldenIdentity.encode(), make([]byte, headerBytes), make([]byte, recordBytes), goldenSeal
	goldenIdentity.encodeHeader(head, goldenHeader)
	goldenIdentity.encodeSeal(end, &q)
	for bit := range recordBytes * 8 {
		flip := func(p []byte) { p[bit/8] ^= 1 << (bit % 8) }
		flip(format)
		if _, err := decodeIdentity(format); !errors.Is(err, lbs.ErrDamaged) {
			t.Errorf("format record, bit %d: %v", bit, err)
		}
		flip(format)
		flip(head)
		if _, err := goldenIdentity.decodeHeader(head, goldenHeader.first); err == nil {
			t.Errorf("header, bit %d: not noticed", bit)
		}
		flip(head)
		flip(end)
		if _, ok := goldenIdentity.decodeSeal(end); ok {
			t.Errorf("seal, bit %d: not noticed", bit)
		}
		flip(end)
	}
}

func TestNewerVersionsAreRefusedByName(t *testing.T) {
	p := goldenIdentity.encode()
	order.PutUint32(p[8:], 2)
	order.PutUint32(p[60:], plainCRC(p[:60]))
	if _, err := decodeIdentity(p); !errors.Is(err, lbs.ErrFormat) {
		t.Errorf("format record of version 2: %v", err)
	}
	h := make([]byte, headerBytes)
	goldenIdentity.encodeHeader(h, goldenHeader)
	order.PutUint32(h[8:], 2)
	order.PutUint32(h[60:], goldenIdentity.crc(h[:60]))
	if _, err := goldenIdentity.decodeHeader(h, goldenHeader.first); !errors.Is(err, lbs.ErrFormat) {
		t.Errorf("header of version 2: %v", err)
	}
}

func FuzzDecodeIdentity(f *testing.F) {
	f.Add(goldenIdentity.encode())
	f.Add([]byte(formatMagic))
	f.Fuzz(func(t *testing.T, p []byte) {
		s, err := decodeIdentity(p)
		if err != nil {
			return
		}
		if again := s.encode(); !bytes.Equal(again[:48], p[:48]) {
			t.Errorf("%x is read as %x", p, again)
		}
	})
}

func FuzzDecodeHeader(f *testing.F) {
	p := make([]byte, headerBytes)
	goldenIdentity.encodeHeader(p, goldenHeader)
	f.Add(p[:recordBytes], goldenHeader.first)
	f.Fuzz(func(t *testing.T, p []byte, first uint64) {
		if h, err := goldenIdentity.decodeHeader(p, first); err == nil && h.first != first {
			t.Errorf("header of %d passes for %d", h.first, first)
		}
	})
}

// FuzzScan gives the scan blocks of anything, and seals with right CRCs anywhere:
// what it answers must lie in the segment.
func FuzzScan(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 1, 1, 2, 2, 1, 9, 9, 9}, uint64(3))
	f.Fuzz(func(t *testing.T, script []byte, first uint64) {
		s := goldenIdentity
		s.blockBytes = 512
		h := header{first: first, sequence: 5}
		blocks := make([]byte, 16*512)
		for ; len(script) >= 4; script = script[4:] {
			i := uint64(script[0]) % 16
			q := seal{
				first: first + uint64(script[1]), blocks: uint32(script[2]),
				sequence: 5 + uint64(script[3])>>1, payload: uint32(script[3]) & 1,
			}
			if q.payload == 1 && q.blocks > 0 && uint64(q.blocks) <= i+1 {
				q.payload = s.crc(blocks[(i+1-uint64(q.blocks))*512 : (i+1)*512-recordBytes])
			}
			s.encodeSeal(blocks[(i+1)*512-recordBytes:(i+1)*512], &q)
		}
		got := s.scan(h, blocks)
		if got.blocks > 16 || got.last.to > got.blocks || got.last.from > got.last.to {
			t.Errorf("%+v", got)
		}
		for _, d := range got.damage {
			if d.Blocks == 0 || d.First-first+d.Blocks > 16 {
				t.Errorf("damage outside of the segment: %+v", d)
			}
		}
	})
}
