package item

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"kivaloo/kvstore/page"
	"kivaloo/lbs"
)

var update = flag.Bool("update", false, "write the golden files (a change of a format!)")

func testOps() []Op {
	return []Op{
		{Kind: OpPut, Key: []byte("\x00k"), Version: 1000, Birth: 1000, Modified: 1000, Value: []byte("v")},
		{Kind: OpPut, Flags: FlagFresh | FlagBirth | FlagModified | FlagMeta | FlagBrought, Key: []byte("\x00full"),
			Version: 1001, Birth: 7, Modified: 2000, Meta: []byte("meta"), Value: []byte{}},
		{Kind: OpPut, Flags: FlagBlob, Key: []byte("\x00b"), Version: 1002, Birth: 1002, Modified: 1002,
			Value: AppendBlob(nil, Blob{ID: 1002, Size: 300000, ChunkBytes: 131072})},
		{Kind: OpDelete, Flags: FlagMoved | FlagTo, Key: []byte("\x00k"), To: []byte("\x00l"),
			Version: 1003, Birth: 1003, Modified: 1003},
		{Kind: OpDeleteRange, Key: []byte("\x00a/"), End: []byte("\x00a0"), Version: 1004, Birth: 1004, Modified: 1004},
	}
}

func testRecord() []byte {
	var r RecordBuilder
	r.Reset(1000)
	for _, op := range testOps() {
		r.Add(&op)
	}
	return r.AppendTo(nil)
}

func testRoot() *Root {
	return &Root{
		Store: [16]byte{1, 2, 3}, Number: 9, Redo: 77, Stamp: 123456789,
		Tree: page.Ref{Place: page.Place{Block: 5, Offset: 128, Bytes: 4000}, CRC: 0xabcdef}, Height: 2,
		UserPairs: 10, SystemPairs: 20, Links: 1,
		Segments: []SegmentLive{{0, 4096}, {256, 64}},
		Free:     []KeyRange{{[]byte("\x01C1"), []byte("\x01C2")}, {[]byte("\x01D"), []byte{}}},
	}
}

func testTrailer() *Trailer {
	return &Trailer{
		Store: [16]byte{1, 2, 3}, Number: 3, First: 12, Previous: 11, Redo: 4, Stamp: 99, Record: 64, RecordCRC: 7, Clean: true,
		Root: RootPlace{Block: [2]uint64{8, 9}, Offset: [2]uint32{64, 0}, Bytes: 200, CRC: 5},
	}
}

// TestGolden: what is on the disks of users must be read by every later version,
// so the bytes of each item are compared with files.
func TestGolden(t *testing.T) {
	payload := AppendTrailer([]byte("body"), testTrailer(), 512)
	golden := map[string][]byte{
		"record-v1":  testRecord(),
		"chunk-v1":   AppendChunk(nil, 1002, 3, []byte("chunk data")),
		"root-v1":    testRoot().Append(nil),
		"trailer-v1": payload[len(payload)-TrailerBytes:],
		"blob-v1":    AppendBlob(nil, Blob{ID: 1002, Size: 300000, ChunkBytes: 131072}),
		"ref-v1":     AppendRef(nil, testRoot().Tree),
		"link-v1":    AppendLink(nil, 1002),
		"body-v1":    AppendNames([]byte("value"), 3),
	}
	for name, got := range golden {
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got %x, want %x", name, got, want)
		}
	}
}

// TestNewerVersionIsToldFromDamage: a whole item of a later version.
func TestNewerVersionIsToldFromDamage(t *testing.T) {
	payload := AppendTrailer(nil, testTrailer(), 512)
	for name, decode := range map[string]func() error{
		"trailer": func() error { _, err := DecodeTrailer(later(payload[len(payload)-TrailerBytes:])); return err },
		"ROOT":    func() error { _, err := DecodeRoot(later(testRoot().Append(nil)), 0); return err },
		"record":  func() error { return recordOf(later(testRecord()), nil) },
		"chunk": func() error {
			_, err := Chunk(later(AppendChunk(nil, 1, 2, []byte("data"))), page.Ref{}, 1, 2)
			return err
		},
	} {
		if err := decode(); !errors.Is(err, ErrVersion) || !errors.Is(err, ErrBad) || !strings.Contains(err.Error(), "version 2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	torn := later(testRecord())
	torn[len(torn)-1] ^= 1
	if err := recordOf(torn, nil); errors.Is(err, ErrVersion) || !errors.Is(err, ErrBad) {
		t.Errorf("a record that is damaged as well: %v", err)
	}
}

// later makes an item one of version 2.
func later(b []byte) []byte {
	b[12] = 2
	le.PutUint32(b[4:], CRC(b[8:]))
	return b
}

// recordOf reads a record by the CRC that it carries itself.
func recordOf(b []byte, each func(*Op) error) error {
	crc := uint32(0)
	if len(b) >= headerBytes {
		crc = StoredCRC(b)
	}
	return Record(b, crc, each)
}

func TestRecordRoundTrip(t *testing.T) {
	var got []Op
	if err := recordOf(testRecord(), func(op *Op) error { got = append(got, *op); return nil }); err != nil {
		t.Fatal(err)
	}
	want := testOps()
	if len(got) != len(want) {
		t.Fatalf("%d operations, want %d", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i].Value, want[i].Value) {
			t.Errorf("operation %d: value %x, want %x", i, got[i].Value, want[i].Value)
		}
		got[i].Value, want[i].Value = nil, nil
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("operation %d: got %+v, want %+v", i, got[i], want[i])
		}
	}
}

func TestRecordRewind(t *testing.T) {
	var r RecordBuilder
	r.Reset(1000)
	ops := testOps()
	r.Add(&ops[0])
	m := r.Mark()
	r.Add(&ops[1])
	r.Rewind(m)
	n := 0
	if err := recordOf(r.AppendTo(nil), func(*Op) error { n++; return nil }); err != nil || n != 1 {
		t.Errorf("%d operations, %v", n, err)
	}
}

func TestRootRoundTrip(t *testing.T) {
	b := testRoot().Append(nil)
	got, err := DecodeRoot(append(b, "beyond"...), StoredCRC(b))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, testRoot()) {
		t.Errorf("got %+v, want %+v", got, testRoot())
	}
	if _, err := DecodeRoot(b, StoredCRC(b)+1); err == nil {
		t.Error("a ROOT with another CRC was taken")
	}
}

// TestTrailerLiesBeforeSeal: whatever the block size and the length of the body,
// the trailer must be found from the end of the last block alone.
func TestTrailerLiesBeforeSeal(t *testing.T) {
	for _, blockBytes := range []int{512, 1000, 1023, 4096, 131072} {
		for _, n := range []int{0, 1, blockBytes - TailBytes, blockBytes - TailBytes + 1, blockBytes, 3*blockBytes + 7} {
			tr := testTrailer()
			payload := AppendTrailer(make([]byte, n), tr, blockBytes)
			if (len(payload)+lbs.SealBytes)%blockBytes != 0 || cap(payload) < len(payload)+lbs.SealBytes {
				t.Fatalf("block %d, body %d: payload of %d, capacity %d", blockBytes, n, len(payload), cap(payload))
			}
			got, err := DecodeTrailer(payload[len(payload)-TrailerBytes:])
			if err != nil || !reflect.DeepEqual(got, tr) {
				t.Fatalf("block %d, body %d: %+v, %v", blockBytes, n, got, err)
			}
		}
	}
}

func TestAlign(t *testing.T) {
	tests := []struct{ n, block, want int }{
		{0, 512, 0}, {1, 512, 64}, {449, 512, 512}, {512, 512, 512}, {513, 1000, 576}, {961, 1000, 1000}, {1001, 1000, 1064},
	}
	for _, test := range tests {
		if got := Align(test.n, test.block); got != test.want {
			t.Errorf("Align(%d, %d) = %d, want %d", test.n, test.block, got, test.want)
		}
	}
}

// TestEveryFlippedBitIsFound: no single flipped bit of any item goes unnoticed.
func TestEveryFlippedBitIsFound(t *testing.T) {
	payload := AppendTrailer([]byte("body"), testTrailer(), 512)
	chunk := AppendChunk(nil, 7, 1, []byte("data"))
	root := testRoot().Append(nil)
	ref := page.Ref{Place: page.Place{Bytes: uint32(len(chunk))}, CRC: StoredCRC(chunk)}
	rootCRC, recordCRC := StoredCRC(root), StoredCRC(testRecord())
	items := map[string]struct {
		bytes  []byte
		decode func(b []byte) error
	}{
		"record":  {testRecord(), func(b []byte) error { return Record(b, recordCRC, func(*Op) error { return nil }) }},
		"chunk":   {chunk, func(b []byte) error { _, err := Chunk(b, ref, 7, 1); return err }},
		"root":    {root, func(b []byte) error { _, err := DecodeRoot(b, rootCRC); return err }},
		"trailer": {payload[len(payload)-TrailerBytes:], func(b []byte) error { _, err := DecodeTrailer(b); return err }},
	}
	for name, it := range items {
		if err := it.decode(it.bytes); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range len(it.bytes) * 8 {
			b := bytes.Clone(it.bytes)
			b[i/8] ^= 1 << (i % 8)
			if it.decode(b) == nil {
				t.Errorf("%s: flipped bit %d of byte %d was not found", name, i%8, i/8)
			}
		}
	}
}

// fix gives forged bytes a right checksum and length, so that fuzzing reaches
// what is behind them.
func fix(b []byte, magic uint32) []byte {
	b = bytes.Clone(b)
	if len(b) >= headerBytes {
		seal(b, magic)
	}
	return b
}

func FuzzRecord(f *testing.F) {
	f.Add(testRecord())
	f.Fuzz(func(t *testing.T, b []byte) {
		recordOf(b, func(*Op) error { return nil })
		var again RecordBuilder
		again.Reset(0)
		err := recordOf(fix(b, magicRecord), func(op *Op) error { again.Add(op); return nil })
		if err == nil {
			if err := recordOf(again.AppendTo(nil), func(*Op) error { return nil }); err != nil {
				t.Errorf("encoded again: %v", err)
			}
		}
	})
}

func FuzzRoot(f *testing.F) {
	f.Add(testRoot().Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = fix(b, magicRoot)
		if len(b) < headerBytes {
			return
		}
		if r, err := DecodeRoot(b, StoredCRC(b)); err == nil {
			again := r.Append(nil)
			if _, err := DecodeRoot(again, StoredCRC(again)); err != nil {
				t.Errorf("encoded again: %v", err)
			}
		}
	})
}

func FuzzTrailer(f *testing.F) {
	payload := AppendTrailer(nil, testTrailer(), 512)
	f.Add(payload[len(payload)-TrailerBytes:])
	f.Fuzz(func(t *testing.T, b []byte) {
		DecodeTrailer(b)
		DecodeTrailer(fix(b, magicTrailer))
	})
}

func FuzzChunk(f *testing.F) {
	f.Add(AppendChunk(nil, 7, 1, []byte("data")))
	f.Fuzz(func(t *testing.T, b []byte) {
		Chunk(b, page.Ref{}, 7, 1)
		Chunk(fix(b, magicChunk), page.Ref{Place: page.Place{Bytes: uint32(len(b))}}, 7, 1)
		Ref(b)
		DecodeBlob(b)
	})
}
