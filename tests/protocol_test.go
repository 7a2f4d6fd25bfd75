package tests

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Each test of the protocol runs twice: on a store alone, and beside a mount.
func onEachServer(t *testing.T, test func(t *testing.T, p *place)) {
	t.Run("serve", func(t *testing.T) {
		p := newPlace(t)
		p.serve()
		test(t, p)
	})
	t.Run("mount", func(t *testing.T) { test(t, newMount(t)) })
}

// TestRecordedPacketsOfTheOriginal replays what the original's server was sent and
// compares what ours answers with what it answered, byte for byte.
func TestRecordedPacketsOfTheOriginal(t *testing.T) {
	var recorded []struct{ Name, Request, Response string }
	text, err := os.ReadFile("testdata/v1-kv.json")
	if err == nil {
		err = json.Unmarshal(text, &recorded)
	}
	if err != nil {
		t.Fatal(err)
	}
	onEachServer(t, func(t *testing.T, p *place) {
		c := dial(t, p.sock)
		for _, packet := range recorded {
			question, _ := hex.DecodeString(packet.Request)
			want, _ := hex.DecodeString(packet.Response)
			if _, err := c.conn.Write(question); err != nil {
				t.Fatal(err)
			}
			_, _, got, err := readPacket(c.in)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: answered %x (%v), the original %x", packet.Name, got, err, want)
			}
		}
	})
}

// TestFourThousandRequestsInFlight is what the original's benchmarks do. Requests
// on one key take effect in the order sent, whatever order the answers come in.
func TestFourThousandRequestsInFlight(t *testing.T) {
	const inFlight, keys = 4096, 100
	onEachServer(t, func(t *testing.T, p *place) {
		c := dial(t, p.sock)
		var burst []byte
		for i := range inFlight {
			record := request(reqSet, fmt.Sprintf("key%02d", i%keys), fmt.Sprint(i))
			burst = append(burst, packet(uint64(i), record)...)
		}
		go c.conn.Write(burst) // the server may answer before it has read all
		answers := map[uint64]bool{}
		for range inFlight {
			id, record, _, err := readPacket(c.in)
			if err != nil || !bytes.Equal(record, []byte{0, 0, 0, 0}) || answers[id] {
				t.Fatalf("request %d answered %x (%v), again: %v", id, record, err, answers[id])
			}
			answers[id] = true
		}
		for k := range keys {
			last := k + (inFlight-1-k)/keys*keys
			if got, _, err := c.get(fmt.Sprintf("key%02d", k)); err != nil || got != fmt.Sprint(last) {
				t.Errorf("key%02d is %q (%v), want the last value sent, %d", k, got, err, last)
			}
		}
	})
}

// TestRangeInSmallPieces follows next through all sizes of answers.
func TestRangeInSmallPieces(t *testing.T) {
	p := newPlace(t)
	p.serve()
	c := dial(t, p.sock)
	var want []v1Pair
	for i := range 300 {
		key := fmt.Sprintf("%03d", i)
		value := strings.Repeat("v", i*7%256)
		want = append(want, v1Pair{key, value})
		if err := c.set(key, value); err != nil {
			t.Fatal(err)
		}
	}
	for _, most := range []uint32{0, 1, 100, 4096, 1 << 20, 1<<32 - 1} {
		got, err := c.rangeAll(most, "", "")
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("with %d bytes: %d pairs (%v), want %d", most, len(got), err, len(want))
		}
	}
	got, err := c.rangeAll(4096, "100", "200")
	if err != nil || !slices.Equal(got, want[100:200]) {
		t.Errorf("from 100 to 200: %d pairs (%v): the end does not belong to it", len(got), err)
	}
}

// TestLongestPairs: keys and values from 0 to 255 bytes, any bytes.
func TestLongestPairs(t *testing.T) {
	onEachServer(t, func(t *testing.T, p *place) {
		c := dial(t, p.sock)
		all := make([]byte, 255)
		for i := range all {
			all[i] = byte(i)
		}
		for _, s := range []string{"", "x", "\x00", "/", "a//b", "./..", string(all), strings.Repeat("\xff", 255)} {
			if err := c.set(s, s); err != nil {
				t.Fatalf("SET %q: %v", s, err)
			}
		}
		for _, s := range []string{"", "\x00", "a//b", string(all)} {
			if got, ok, err := c.get(s); err != nil || !ok || got != s {
				t.Errorf("GET %q is %q, %v, %v", s, got, ok, err)
			}
		}
		pairs, err := c.rangeAll(1000, "", "")
		if err != nil || len(pairs) != 8 || !slices.IsSortedFunc(pairs, func(a, b v1Pair) int { return strings.Compare(a.key, b.key) }) {
			t.Errorf("RANGE has %d pairs (%v), want 8 in order", len(pairs), err)
		}
	})
}

// garbage is what a connection is closed for.
func garbage() map[string][]byte {
	damaged := packet(9, request(reqSet, "a", "b"))
	damaged[len(damaged)-1] ^= 1
	huge := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, 1), 1<<32-1)
	huge = binary.LittleEndian.AppendUint32(huge, check(huge))
	return map[string][]byte{
		"text":                     []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"zeros":                    make([]byte, 64),
		"damaged check":            damaged,
		"length of four gigabytes": huge,
		"unknown request":          packet(1, request(0x1ff)),
		"empty record":             packet(1, nil),
		"key cut off":              packet(1, []byte{0, 0, 1, 0x30, 200, 'a'}),
		"bytes left over":          packet(1, append(request(reqGet, "a"), 0)),
		"a response":               packet(1, []byte{0, 0, 0, 0}),
	}
}

func TestGarbageClosesOneConnection(t *testing.T) {
	onEachServer(t, func(t *testing.T, p *place) {
		bystander := dial(t, p.sock)
		if err := bystander.set("key", "value"); err != nil {
			t.Fatal(err)
		}
		for name, bytes := range garbage() {
			c := dial(t, p.sock)
			c.conn.Write(bytes)
			if !c.isClosed() {
				t.Errorf("%s: the connection is still open", name)
			}
			if got, ok, err := bystander.get("key"); err != nil || !ok || got != "value" {
				t.Fatalf("after %s another connection got %q, %v, %v", name, got, ok, err)
			}
		}
	})
}

// TestBeyondProtocolV1IsRefusedLoudly: a pair that v1 cannot say is never skipped
// or cut, and the user hears why.
func TestBeyondProtocolV1IsRefusedLoudly(t *testing.T) {
	p := newMount(t)
	p.write("a", "small")
	p.write("long", strings.Repeat("x", 256))
	p.write("z", "small")
	r := p.native("get", "long")
	if r.code != 1 || r.out != "" || !strings.Contains(r.err, "longer than the 255") {
		t.Errorf("get of a long value: exit code %d, stdout %q, stderr %q", r.code, clip(r.out), r.err)
	}
	r = p.native("range")
	if r.code != 1 || !strings.Contains(r.err, `"long": its value is longer than the 255`) {
		t.Errorf("range over a long value: exit code %d, stderr %q", r.code, r.err)
	}
	if r.out != "" && r.out != "a\tsmall\n" {
		t.Errorf("range wrote %q: it stops before the long value", r.out)
	}
	p.native("set", "key", strings.Repeat("x", 256)).expect(t, 1, "255")
	p.native("set", strings.Repeat("k", 256), "x").expect(t, 1, "255")
	if got := p.get("z"); got != "small" {
		t.Errorf("z is %q", got)
	}
	if !eventually(2*time.Second, func() bool { return strings.Contains(p.log(), "255 bytes") }) {
		t.Error("the server's log does not say why it closed a connection")
	}
}
