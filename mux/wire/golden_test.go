package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

// A recording is a request that was sent to the original's server, and its
// response, in order on one connection to a fresh store.
type recording struct {
	Name              string
	Request, Response string
}

func recordings(t testing.TB) []recording {
	t.Helper()
	text, err := os.ReadFile("testdata/v1-kv.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []recording
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRequestsOfTheOriginalByteForByte(t *testing.T) {
	for _, rec := range recordings(t) {
		t.Run(rec.Name, func(t *testing.T) {
			sent := unhex(t, rec.Request)
			req := mustDecode(t, sent)
			got, err := AppendRequest(nil, &req)
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("encoded again: %x, %v; was %x", got, err, sent)
			}
		})
	}
}

func TestResponsesOfTheOriginalByteForByte(t *testing.T) {
	for _, rec := range recordings(t) {
		t.Run(rec.Name, func(t *testing.T) {
			req := mustDecode(t, unhex(t, rec.Request))
			received := unhex(t, rec.Response)
			p, n, err := Next(received, 4096)
			if err != nil || n != len(received) || p.ID != req.ID {
				t.Fatalf("Next: %+v, %d of %d bytes, %v", p, n, len(received), err)
			}
			if got := recode(t, req.Type, p); !bytes.Equal(got, received) {
				t.Errorf("encoded again: %x; was %x", got, received)
			}
		})
	}
}

func mustDecode(t testing.TB, packet []byte) Request {
	t.Helper()
	p, n, err := Next(packet, RequestMax)
	if err != nil || n != len(packet) {
		t.Fatalf("Next: %d of %d bytes, %v", n, len(packet), err)
	}
	req, err := DecodeRequest(p)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// recode decodes a response and encodes what it understood.
func recode(t testing.TB, typ Type, p Packet) []byte {
	t.Helper()
	dst, err := recodeResponse(typ, p)
	if err != nil {
		t.Fatal(err)
	}
	return dst
}

func recodeResponse(typ Type, p Packet) ([]byte, error) {
	switch typ {
	case Params:
		k, v, err := DecodeParams(p.Record)
		return AppendParams(nil, p.ID, k, v), err
	case Get:
		value, found, err := DecodeValue(p.Record)
		if !found {
			return AppendStatus(nil, p.ID, StatusNotDone), err
		}
		return AppendValue(nil, p.ID, value), err
	case Range:
		pairs, next, err := DecodeRange(nil, p.Record)
		dst := BeginRange(nil, p.ID, len(pairs), next)
		for _, pair := range pairs {
			dst = AppendPair(dst, pair.Key, pair.Value)
		}
		return End(dst, 0), err
	}
	status, err := DecodeStatus(p.Record)
	return AppendStatus(nil, p.ID, status), err
}
