package mux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kivaloo/kvstore/kv"
	"kivaloo/mux/socket"
	"kivaloo/mux/wire"
)

func TestFourThousandInFlight(t *testing.T) {
	forStores(t, func(t *testing.T, r *rig) {
		const n = 4096
		p := r.dial()
		var sent []byte
		for i := range uint64(n) {
			key := binary.BigEndian.AppendUint64(nil, i)
			sent = encode(t, sent, wire.Request{ID: i, Type: wire.Set, Key: key, Value: key})
		}
		p.send(sent) // nothing is read until all is sent
		seen := make([]bool, n)
		for range n {
			packet := p.receive()
			if seen[packet.ID] {
				t.Fatalf("request %d is answered twice", packet.ID)
			}
			seen[packet.ID] = true
		}
		if pairs, _ := p.scan("", "", 64<<10); len(pairs) != n {
			t.Errorf("%d pairs, want %d", len(pairs), n)
		}
	})
}

// All writes of a burst reach a store while its first commit is under way.
func TestBurstIsHandedOverTogether(t *testing.T) {
	gate := make(chan struct{})
	q := newQueued(t, gate)
	p := serve(t, q).dial()
	var sent []byte
	for i := range uint64(2000) {
		sent = encode(t, sent, wire.Request{ID: i, Type: wire.Set, Key: []byte{byte(i)}})
	}
	p.send(sent)
	eventually(t, "1999 writes wait in the store", func() bool { return len(q.jobs) == 1999 })
	close(gate)
	for range 2000 {
		p.receive()
	}
}

func TestWritesOfOneKeyKeepTheirOrder(t *testing.T) {
	forStores(t, func(t *testing.T, r *rig) {
		p := r.dial()
		var sent []byte
		const n = 3000
		for i := range uint64(n) {
			key := []byte{'k', byte(i % 3)}
			sent = encode(t, sent, wire.Request{ID: i, Type: wire.Set, Key: key, Value: fmt.Append(nil, i)})
		}
		p.send(sent)
		for range n {
			p.receive()
		}
		for i := range 3 {
			if got, _ := p.get("k" + string(rune(i))); got != fmt.Sprint(n-3+i) {
				t.Errorf("key %d holds %s, the last write was %d", i, got, n-3+i)
			}
		}
	})
}

// With CAS the order shows in every answer: each is done only after the one
// before it.
func TestChainOfCASInOneBurst(t *testing.T) {
	forStores(t, func(t *testing.T, r *rig) {
		p := r.dial()
		p.set("k", "0")
		var sent []byte
		for i := range uint64(500) {
			req := wire.Request{ID: i, Type: wire.CAS, Key: []byte("k"), Old: fmt.Append(nil, i), Value: fmt.Append(nil, i+1)}
			sent = encode(t, sent, req)
		}
		p.send(sent)
		for range 500 {
			packet := p.receive()
			if status, err := wire.DecodeStatus(packet.Record); err != nil || status != wire.StatusDone {
				t.Fatalf("CAS %d: status %d, %v", packet.ID, status, err)
			}
		}
	})
}

func TestReadsDoNotWaitForWrites(t *testing.T) {
	gate := make(chan struct{})
	q := newQueued(t, gate)
	put(t, q.Model, "k", "before")
	p := serve(t, q).dial()
	p.send(encode(t, nil, wire.Request{ID: 100, Type: wire.Set, Key: []byte("k"), Value: []byte("after")}))
	if got, _ := p.get("k"); got != "before" {
		t.Errorf("reads %q", got)
	}
	close(gate)
	if p.receive().ID != 100 {
		t.Error("the write is not answered")
	}
	if got, _ := p.get("k"); got != "after" {
		t.Errorf("reads %q", got)
	}
}

func TestGarbageClosesOneConnection(t *testing.T) {
	packet := func(record string) []byte { return wire.End(append(wire.Begin(nil, 7), record...), 0) }
	huge := wire.Begin(nil, 1)
	huge = wire.End(append(huge, make([]byte, 1<<20)...), 0)[:16]
	flipped := encode(t, nil, wire.Request{ID: 1, Type: wire.Set, Key: []byte("k"), Value: []byte("v")})
	flipped[20] ^= 1
	forStores(t, func(t *testing.T, r *rig) {
		other := r.dial()
		for name, c := range map[string]struct{ sent, reason string }{
			"text":                {"GET / HTTP/1.1\r\n\r\n", "header check"},
			"zeros":               {string(make([]byte, 4096)), "header check"},
			"huge length":         {string(huge), "record of 1048576 bytes"},
			"flipped bit":         {string(flipped), "record check"},
			"unknown type":        {string(packet("\x00\x00\x01\x99")), "unknown request type 0x199"},
			"protocol v2":         {string(packet("\x00\x00\x02\x00")), "unknown request type 0x200"},
			"block store request": {string(packet("\x00\x00\x00\x00")), "unknown request type 0x0"},
			"cut request":         {string(packet("\x00\x00\x01\x10\x05k")), "SET request of 6 bytes"},
			"empty record":        {string(packet("")), "request of 0 bytes"},
		} {
			p := r.dial()
			p.nc.Write([]byte(c.sent))
			p.closed()
			eventually(t, name+" in the log", func() bool { return strings.Contains(r.log.String(), c.reason) })
			other.set("still", "served")
		}
	})
}

func TestWhatCameBeforeGarbageIsAnswered(t *testing.T) {
	p := serve(t, newQueued(t, nil)).dial()
	p.send(append(encode(t, nil, wire.Request{ID: 9, Type: wire.Set, Key: []byte("k")}), "garbage that is long enough"...))
	if p.receive().ID != 9 {
		t.Error("another answer")
	}
	p.closed()
}

func TestRequestsByteByByte(t *testing.T) {
	forStores(t, func(t *testing.T, r *rig) {
		p := r.dial()
		sent := encode(t, nil, wire.Request{ID: 1, Type: wire.Set, Key: []byte("k"), Value: []byte("v")})
		sent = encode(t, sent, wire.Request{ID: 2, Type: wire.Get, Key: []byte("k")})
		for i := range sent {
			p.send(sent[i : i+1])
		}
		p.receive()
		p.receive()
		p.set("and", "on")
	})
}

// A large buffer is read into, given back, and taken again.
func TestBurstsAndPauses(t *testing.T) {
	p := serve(t, newQueued(t, nil)).dial()
	value := make([]byte, wire.StringMax)
	for round := range 20 {
		var sent []byte
		n := []int{1, 700, 3}[round%3]
		for i := range uint64(n) {
			sent = encode(t, sent, wire.Request{ID: 2 * i, Type: wire.Set, Key: []byte{byte(i)}, Value: value})
			sent = encode(t, sent, wire.Request{ID: 2*i + 1, Type: wire.Get, Key: []byte{byte(i)}})
		}
		go p.nc.Write(sent)
		for range 2 * n {
			p.receive()
		}
	}
}

func TestConnectionThatEndsWithinAPacket(t *testing.T) {
	r := serve(t, newModel(t))
	p := r.dial()
	p.send(encode(t, nil, wire.Request{ID: 1, Type: wire.Set, Key: []byte("k")})[:20])
	p.nc.(*net.UnixConn).CloseWrite()
	p.eof()
	if q := r.dial(); r.log.String() != "" {
		t.Errorf("logged as a fault: %s", r.log)
	} else if _, found := q.get("k"); found {
		t.Error("half a request was carried out")
	}
}

// A client may close its side and still wait for its answers.
func TestHalfClosedConnectionGetsItsAnswers(t *testing.T) {
	gate := make(chan struct{})
	p := serve(t, newQueued(t, gate)).dial()
	for i := range uint64(10) {
		p.send(encode(t, nil, wire.Request{ID: i, Type: wire.Set, Key: []byte("k")}))
	}
	p.nc.(*net.UnixConn).CloseWrite()
	close(gate)
	for range 10 {
		p.receive()
	}
	p.eof()
}

// The slow client sends requests for ever and reads nothing.
func TestSlowReaderIsBoundedAndSlowsNobody(t *testing.T) {
	r := serve(t, newQueued(t, nil))
	r.srv.memory.free.Store(2 << 20)
	fast := r.dial()
	value := strings.Repeat("v", wire.StringMax)
	for i := range 300 {
		fast.set(fmt.Sprint(i), value)
	}
	var request []byte
	for i := range uint64(100) {
		request = encode(t, request, wire.Request{ID: i, Type: wire.Range, Max: 1 << 20})
		request = encode(t, request, wire.Request{ID: i, Type: wire.Set, Key: []byte("slow")})
	}
	stuck := make(chan int, 4)
	for range cap(stuck) {
		p := r.dial()
		go func() {
			p.nc.SetWriteDeadline(time.Now().Add(time.Second))
			sent := 0
			for {
				n, err := p.nc.Write(request)
				if sent += n; err != nil {
					stuck <- sent
					return
				}
			}
		}()
	}
	for range cap(stuck) {
		if sent := <-stuck; sent > 64<<20 {
			t.Errorf("%d bytes of requests were taken from a client that reads nothing", sent)
		}
	}
	for _, c := range r.srv.connections() {
		c.out.mu.Lock()
		if used := c.out.mu.quota.used; used > connBytesMin+2<<20 {
			t.Errorf("a connection holds %d bytes", used)
		}
		c.out.mu.Unlock()
	}
	began := time.Now()
	for i := range 1000 {
		fast.set("fast", fmt.Sprint(i))
	}
	t.Logf("1000 writes beside the slow ones: %v", time.Since(began))
}

// With all shared memory gone, a connection goes on with its own.
func TestPipelineWithoutSharedMemory(t *testing.T) {
	r := serve(t, newQueued(t, nil))
	r.srv.memory.free.Store(0)
	p := r.dial()
	var sent []byte
	for i := range uint64(2000) {
		sent = encode(t, sent, wire.Request{ID: i, Type: wire.Set, Key: []byte{byte(i)}})
	}
	p.send(sent)
	for range 2000 {
		p.receive()
	}
}

func TestStoreErrorsCloseWithoutAnAnswerOrAFlood(t *testing.T) {
	for _, want := range []error{kv.ErrNoSpace, kv.ErrFailed, &kv.CorruptError{What: "page"}} {
		t.Run(want.Error(), func(t *testing.T) {
			m := newModel(t)
			r := serve(t, m)
			m.SetFault(func(txn *kv.Txn) error {
				if txn.Effects[0].Op == kv.Delete {
					return nil
				}
				return fmt.Errorf("commit: %w", want)
			})
			for range 50 {
				p := r.dial()
				p.send(encode(t, nil, wire.Request{ID: 1, Type: wire.Set, Key: []byte("k")}))
				p.closed()
			}
			r.dial().write(wire.Delete, "k", "", "")
			eventually(t, "the reason in the log", func() bool { return strings.Contains(r.log.String(), want.Error()) })
			if lines := strings.Count(r.log.String(), "\n"); lines > 4*reportsMax {
				t.Errorf("%d lines were logged", lines)
			}
		})
	}
}

func TestListenOnEverything(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 40))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r := serve(t, newModel(t))
	for _, addr := range []string{filepath.Join(dir, "s"), "127.0.0.1:0"} {
		bound, err := r.srv.Listen(addr)
		if err != nil {
			t.Fatal(err)
		}
		if bound.Network() == "tcp" {
			addr = bound.String()
		}
		r.path = addr
		r.dial().set("k", addr[:3])
	}
	if _, err := r.srv.Listen("0.0.0.0:0"); !errors.Is(err, socket.ErrNotLoopback) {
		t.Errorf("Listen on all addresses: %v", err)
	}
}

func TestQuota(t *testing.T) {
	p := newPool(2 * borrowBytes)
	a, b := quota{shared: p}, quota{shared: p}
	if !a.take(connBytesMin) || !a.take(2*borrowBytes) || a.take(1) {
		t.Error("a cannot have its own and all that is shared")
	}
	if !b.take(connBytesMin) || b.take(1) {
		t.Error("b cannot have its own, or more")
	}
	a.give(2*borrowBytes + 1)
	a.give(connBytesMin - 1)
	if free := p.free.Load(); free != 2*borrowBytes {
		t.Errorf("%d bytes are free in the end", free)
	}
}

func TestReporterCountsWhatItLeavesOut(t *testing.T) {
	r := serve(t, newModel(t)).srv.report
	now := time.Unix(0, 0)
	r.now = func() time.Time { return now }
	for i := range reportsMax + 5 {
		if ok, _ := r.admit(); ok != (i < reportsMax) {
			t.Errorf("warning %d: %v", i, ok)
		}
	}
	now = now.Add(reportPeriod)
	if ok, dropped := r.admit(); !ok || dropped != 5 {
		t.Errorf("next period: %v, %d left out", ok, dropped)
	}
}
