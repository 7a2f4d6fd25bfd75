package wire

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzNext: whatever the bytes are, Next answers a packet that encodes to exactly
// what it took, an error, or a wish for more, never more than it was given.
func FuzzNext(f *testing.F) {
	for _, rec := range recordings(f) {
		f.Add(unhex(f, rec.Request))
		f.Add(unhex(f, rec.Response))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, n, err := Next(data, RequestMax)
		switch {
		case err != nil:
			if n != 0 || !errors.Is(err, ErrMalformed) {
				t.Fatalf("%d bytes taken, %v", n, err)
			}
		case n != 0:
			again := End(append(Begin(nil, p.ID), p.Record...), 0)
			if !bytes.Equal(again, data[:n]) {
				t.Fatalf("took %x, meant %x", data[:n], again)
			}
		case len(data) >= PacketOverhead+RequestMax:
			t.Fatalf("waits for more than %d bytes", len(data))
		}
	})
}

// FuzzDecodeRequest fuzzes the record alone, which no check protects from the
// fuzzer: what decodes encodes to the same bytes.
func FuzzDecodeRequest(f *testing.F) {
	for _, rec := range recordings(f) {
		p, _, _ := Next(unhex(f, rec.Request), RequestMax)
		f.Add(p.Record)
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		req, err := DecodeRequest(Packet{ID: 5, Record: record})
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrType) {
				t.Fatal(err)
			}
			return
		}
		again, err := AppendRequest(nil, &req)
		if err != nil || !bytes.Equal(again[headerBytes:len(again)-trailerBytes], record) {
			t.Fatalf("%x became %x, %v", record, again, err)
		}
	})
}

// FuzzDecodeResponse does the same for every kind of response.
func FuzzDecodeResponse(f *testing.F) {
	types := []Type{Params, Set, Get, Range}
	for _, rec := range recordings(f) {
		p, _, _ := Next(unhex(f, rec.Response), 4096)
		for i := range types {
			f.Add(uint8(i), p.Record)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, record []byte) {
		again, err := recodeResponse(types[int(kind)%len(types)], Packet{ID: 5, Record: record})
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(again[headerBytes:len(again)-trailerBytes], record) {
			t.Fatalf("%x became %x", record, again)
		}
	})
}
