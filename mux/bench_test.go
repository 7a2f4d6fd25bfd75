package mux

import (
	"context"
	"encoding/binary"
	"net"
	"path/filepath"
	"testing"

	"kivaloo/kvstore/kv"
	"kivaloo/mux/socket"
	"kivaloo/mux/wire"
)

// A nothing is a store that does nothing, at once.
type nothing struct{ kv.Store }

func (nothing) CommitCrowd(c *kv.Crowd) { c.Answered(0, len(c.Txns)) }

func (nothing) Get(context.Context, kv.GetRequest) (kv.Pair, error) {
	return kv.Pair{Value: nothingValue, Size: int64(len(nothingValue))}, nil
}

var nothingValue = make([]byte, 40)

// One connection with 4096 requests of 40 + 40 bytes in flight, a store that does
// nothing: what the server itself costs.
func BenchmarkSet(b *testing.B) { benchmark(b, wire.Set) }

// The same for reads of 40 bytes.
func BenchmarkGet(b *testing.B) { benchmark(b, wire.Get) }

func benchmark(b *testing.B, typ wire.Type) {
	path := filepath.Join(b.TempDir(), "s")
	srv := New(nothing{}, Options{})
	if _, err := srv.Listen(path); err != nil {
		b.Fatal(err)
	}
	defer srv.Close()
	nc, err := socket.Dial(context.Background(), path)
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	b.ReportAllocs()
	b.ResetTimer()
	window := make(chan struct{}, 4096)
	go sendAll(b, nc, typ, window)
	receiveAll(b, nc, window)
}

func sendAll(b *testing.B, nc net.Conn, typ wire.Type, window chan struct{}) {
	key, value := make([]byte, 40), make([]byte, 40)
	var buf []byte
	for i := range b.N {
		binary.BigEndian.PutUint64(key, uint64(i))
		window <- struct{}{}
		buf, _ = wire.AppendRequest(buf, &wire.Request{ID: uint64(i), Type: typ, Key: key, Value: value})
		if len(buf) > 32<<10 || i == b.N-1 || len(window) == cap(window) {
			nc.Write(buf)
			buf = buf[:0]
		}
	}
}

func receiveAll(b *testing.B, nc net.Conn, window chan struct{}) {
	buf := make([]byte, 64<<10)
	end := 0
	for answered := 0; answered < b.N; {
		n, err := nc.Read(buf[end:])
		if err != nil {
			b.Fatal(err)
		}
		end += n
		at := 0
		for {
			_, n, err := wire.Next(buf[at:end], 4096)
			if err != nil {
				b.Fatal(err)
			}
			if n == 0 {
				break
			}
			at += n
			answered++
			<-window
		}
		end = copy(buf, buf[at:end])
	}
}
