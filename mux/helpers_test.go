package mux

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"kivaloo/kvstore/kv"
	"kivaloo/kvstore/kvtest"
	"kivaloo/mux/socket"
	"kivaloo/mux/wire"
)

// patience is far more than anything here takes on a busy machine.
const patience = 20 * time.Second

// A logBuffer is a log that a test can read while it is written.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// A queued store commits one after the other on a goroutine of its own, as the
// engine does. gate, if not nil, holds each commit until it is closed.
type queued struct {
	*kvtest.Model
	jobs chan job
	gate chan struct{}
	wg   sync.WaitGroup
}

func newQueued(t *testing.T, gate chan struct{}) *queued {
	q := &queued{Model: newModel(t), jobs: make(chan job, 1<<16), gate: gate}
	q.wg.Go(func() {
		for j := range q.jobs {
			if q.gate != nil {
				<-q.gate
			}
			res, err := q.Commit(context.Background(), &j.crowd.Txns[j.index])
			j.crowd.Answer(j.index, res, err)
		}
	})
	t.Cleanup(func() { close(q.jobs); q.wg.Wait() })
	return q
}

func (q *queued) CommitCrowd(c *kv.Crowd) {
	for i, n := 0, len(c.Txns); i < n; i++ {
		q.jobs <- job{c, i}
	}
}

func newModel(t *testing.T) *kvtest.Model {
	m := kvtest.NewModel(nil)
	t.Cleanup(func() { m.Close() })
	return m
}

// A rig is a server with its socket.
type rig struct {
	t    *testing.T
	srv  *Server
	path string
	log  *logBuffer
}

func serve(t *testing.T, store kv.Store) *rig {
	t.Helper()
	r := &rig{t: t, path: filepath.Join(t.TempDir(), "s"), log: &logBuffer{}}
	r.srv = New(store, Options{Log: slog.New(slog.NewTextHandler(r.log, nil))})
	if _, err := r.srv.Listen(r.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.srv.Close() })
	return r
}

// A peer is a client by hand.
type peer struct {
	t  *testing.T
	nc net.Conn
	in []byte // what was received and not taken
	id uint64
}

func (r *rig) dial() *peer {
	r.t.Helper()
	nc, err := socket.Dial(context.Background(), r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	nc.SetDeadline(time.Now().Add(patience))
	r.t.Cleanup(func() { nc.Close() })
	return &peer{t: r.t, nc: nc}
}

func encode(t testing.TB, dst []byte, req wire.Request) []byte {
	t.Helper()
	dst, err := wire.AppendRequest(dst, &req)
	if err != nil {
		t.Fatal(err)
	}
	return dst
}

func (p *peer) send(data []byte) {
	p.t.Helper()
	if _, err := p.nc.Write(data); err != nil {
		p.t.Fatal(err)
	}
}

// receive answers the next response, whose bytes are its own.
func (p *peer) receive() wire.Packet {
	p.t.Helper()
	packet, err := p.tryReceive()
	if err != nil {
		p.t.Fatalf("receive: %v", err)
	}
	return packet
}

func (p *peer) tryReceive() (wire.Packet, error) {
	for {
		packet, n, err := wire.Next(p.in, 1<<20)
		if err != nil {
			return wire.Packet{}, err
		}
		if n > 0 {
			packet.Record = bytes.Clone(packet.Record)
			p.in = p.in[n:]
			return packet, nil
		}
		buf := make([]byte, 64<<10)
		n, err = p.nc.Read(buf)
		p.in = append(p.in, buf[:n]...)
		if n == 0 && err != nil {
			return wire.Packet{}, err
		}
	}
}

// call sends a request and answers its response.
func (p *peer) call(req wire.Request) []byte {
	p.t.Helper()
	p.id++
	req.ID = p.id
	p.send(encode(p.t, nil, req))
	packet := p.receive()
	if packet.ID != p.id {
		p.t.Fatalf("answer to %d, asked was %d", packet.ID, p.id)
	}
	return packet.Record
}

func (p *peer) write(typ wire.Type, key, old, value string) uint32 {
	p.t.Helper()
	status, err := wire.DecodeStatus(p.call(wire.Request{Type: typ, Key: []byte(key), Old: []byte(old), Value: []byte(value)}))
	if err != nil {
		p.t.Fatal(err)
	}
	return status
}

func (p *peer) set(key, value string) { p.t.Helper(); p.write(wire.Set, key, "", value) }

func (p *peer) get(key string) (string, bool) {
	p.t.Helper()
	value, found, err := wire.DecodeValue(p.call(wire.Request{Type: wire.Get, Key: []byte(key)}))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(value), found
}

func (p *peer) scan(start, end string, most uint32) ([]wire.Pair, string) {
	p.t.Helper()
	record := p.call(wire.Request{Type: wire.Range, Max: most, Key: []byte(start), End: []byte(end)})
	pairs, next, err := wire.DecodeRange(nil, record)
	if err != nil {
		p.t.Fatal(err)
	}
	return pairs, string(next)
}

// closed waits until the server has closed the connection, and fails if it
// answers something first.
func (p *peer) closed() {
	p.t.Helper()
	if packet, err := p.tryReceive(); err == nil {
		p.t.Fatalf("answered: %+v", packet)
	} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
		p.t.Fatal("the connection stays open")
	} else if errors.Is(err, wire.ErrMalformed) {
		p.t.Fatal(err)
	}
}

// eof waits until the server has closed the connection in good order.
func (p *peer) eof() {
	p.t.Helper()
	if packet, err := p.tryReceive(); !errors.Is(err, io.EOF) {
		p.t.Fatalf("%+v, %v", packet, err)
	}
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}
