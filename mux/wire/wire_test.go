package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

func packet(record []byte) []byte { return End(append(Begin(nil, 7), record...), 0) }

func TestEveryPrefixOfAPacketIsIncompleteNotWrong(t *testing.T) {
	whole, _ := AppendRequest(nil, &Request{ID: 1, Type: Set, Key: []byte("key"), Value: []byte("value")})
	for n := range whole {
		if _, got, err := Next(whole[:n], RequestMax); got != 0 || err != nil {
			t.Errorf("%d bytes of %d: %d, %v", n, len(whole), got, err)
		}
	}
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	whole, _ := AppendRequest(nil, &Request{ID: 1, Type: Set, Key: []byte("key"), Value: []byte("value")})
	for bit := range 8 * len(whole) {
		damaged := bytes.Clone(whole)
		damaged[bit/8] ^= 1 << (bit % 8)
		if _, n, err := Next(damaged, RequestMax); !errors.Is(err, ErrMalformed) || n != 0 {
			t.Errorf("bit %d flipped: %d, %v", bit, n, err)
		}
	}
}

// The original makes room for what the header says, up to 4 GiB.
func TestHugeLengthIsRefusedFromTheHeaderAlone(t *testing.T) {
	header := Begin(nil, 1)
	for _, n := range []uint32{RequestMax + 1, 1 << 31, 1<<32 - 1} {
		binary.BigEndian.PutUint32(header[8:], n)
		binary.LittleEndian.PutUint32(header[12:], check(header[:12]))
		if _, _, err := Next(header, RequestMax); !errors.Is(err, ErrMalformed) {
			t.Errorf("length %d: %v", n, err)
		}
	}
}

func TestLongestRequestFits(t *testing.T) {
	long := []byte(strings.Repeat("x", StringMax))
	req := Request{ID: 1<<64 - 1, Type: CAS, Key: long, Old: long, Value: long}
	whole, err := AppendRequest(nil, &req)
	if err != nil || len(whole) != PacketOverhead+RequestMax {
		t.Fatalf("%d bytes, %v", len(whole), err)
	}
	got := mustDecode(t, whole)
	if !bytes.Equal(got.Key, long) || !bytes.Equal(got.Old, long) || !bytes.Equal(got.Value, long) {
		t.Errorf("decoded %+v", got)
	}
}

func TestStringsBeyondTheProtocolAreNotEncoded(t *testing.T) {
	long := make([]byte, StringMax+1)
	for _, req := range []Request{
		{Type: Set, Key: long}, {Type: Set, Value: long}, {Type: CAD, Old: long}, {Type: Range, End: long},
	} {
		dst, err := AppendRequest([]byte("before"), &req)
		if !errors.Is(err, ErrTooLong) || string(dst) != "before" {
			t.Errorf("%v: %q, %v", req.Type, dst, err)
		}
	}
}

func TestRequestsThatMeanNothing(t *testing.T) {
	for _, c := range []struct {
		name   string
		record string
		want   error
	}{
		{"empty record", "", ErrMalformed},
		{"half a type", "\x00\x00\x01", ErrMalformed},
		{"type 0", "\x00\x00\x00\x00", ErrType},
		{"type 0x101", "\x00\x00\x01\x01", ErrType},
		{"type of protocol v2", "\x00\x00\x02\x00", ErrType},
		{"PARAMS and more", "\x00\x00\x01\x00x", ErrMalformed},
		{"SET without key", "\x00\x00\x01\x10", ErrMalformed},
		{"SET without value", "\x00\x00\x01\x10\x01k", ErrMalformed},
		{"SET whose value is cut", "\x00\x00\x01\x10\x01k\x05valu", ErrMalformed},
		{"SET and more", "\x00\x00\x01\x10\x01k\x01vx", ErrMalformed},
		{"GET whose key is cut", "\x00\x00\x01\x30\xffk", ErrMalformed},
		{"RANGE without limit", "\x00\x00\x01\x31\x00\x00\x10", ErrMalformed},
		{"RANGE without end", "\x00\x00\x01\x31\x00\x00\x10\x00\x00", ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, _, err := Next(packet([]byte(c.record)), RequestMax)
			if err != nil {
				t.Fatal(err)
			}
			if req, err := DecodeRequest(p); !errors.Is(err, c.want) {
				t.Errorf("%+v, %v", req, err)
			}
		})
	}
}

func TestResponsesThatMeanNothing(t *testing.T) {
	for _, c := range []struct {
		name, record string
		typ          Type
	}{
		{"no status", "", Set},
		{"status 2", "\x00\x00\x00\x02", Set},
		{"status and more", "\x00\x00\x00\x00x", Set},
		{"half of PARAMS", "\x00\x00\x00\xff", Params},
		{"GET without value", "\x00\x00\x00\x00", Get},
		{"GET of nothing with a value", "\x00\x00\x00\x01\x00", Get},
		{"GET status 2", "\x00\x00\x00\x02", Get},
		{"RANGE status 1", "\x00\x00\x00\x01\x00\x00\x00\x00\x00", Range},
		{"RANGE without next", "\x00\x00\x00\x00\x00\x00\x00\x00", Range},
		{"RANGE of a pair that is not there", "\x00\x00\x00\x00\x00\x00\x00\x01\x00", Range},
		{"RANGE of 4 G pairs", "\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00\x00", Range},
		{"RANGE with a cut pair", "\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01k\x02v", Range},
		{"RANGE with a pair more", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01k\x01v", Range},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := recodeResponse(c.typ, Packet{Record: []byte(c.record)}); !errors.Is(err, ErrMalformed) {
				t.Errorf("err = %v", err)
			}
		})
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	req := Request{ID: 9, Type: CAS, Key: []byte("key"), Old: []byte("old"), Value: []byte("value")}
	buf := make([]byte, 0, 4096)
	allocs := testing.AllocsPerRun(100, func() {
		out, _ := AppendRequest(buf, &req)
		p, _, _ := Next(out, RequestMax)
		if _, err := DecodeRequest(p); err != nil {
			t.Fatal(err)
		}
		out = AppendStatus(out, 1, StatusDone)
		out = AppendValue(out, 2, req.Value)
		out = AppendPair(BeginRange(out, 3, 1, nil), req.Key, req.Value)
	})
	if allocs != 0 {
		t.Errorf("%v allocations a request", allocs)
	}
}

func BenchmarkDecodeSet(b *testing.B) {
	req := Request{ID: 9, Type: Set, Key: make([]byte, 40), Value: make([]byte, 40)}
	buf, _ := AppendRequest(nil, &req)
	b.ReportAllocs()
	for b.Loop() {
		p, _, err := Next(buf, RequestMax)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := DecodeRequest(p); err != nil {
			b.Fatal(err)
		}
	}
}
