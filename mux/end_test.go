package mux

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kivaloo/mux/socket"
	"kivaloo/mux/wire"
)

func TestShutdownFinishesWhatIsInFlight(t *testing.T) {
	gate := make(chan struct{})
	q := newQueued(t, gate)
	r := serve(t, q)
	idle, p := r.dial(), r.dial()
	for i := range uint64(100) {
		p.send(encode(t, nil, wire.Request{ID: i, Type: wire.Set, Key: []byte{byte(i)}}))
	}
	eventually(t, "99 writes wait in the store", func() bool { return len(q.jobs) == 99 })
	ended := make(chan error)
	go func() { ended <- r.srv.Shutdown(t.Context()) }()
	idle.eof()
	close(gate)
	for range 100 {
		p.receive()
	}
	p.eof()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(r.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	if _, err := r.srv.Listen(r.path); !errors.Is(err, ErrClosed) {
		t.Errorf("Listen after Shutdown: %v", err)
	}
}

func TestShutdownLosesPatience(t *testing.T) {
	r := serve(t, newModel(t))
	p := r.dial()
	p.set("k", strings.Repeat("v", wire.StringMax))
	var request []byte
	for i := range uint64(1000) {
		request = encode(t, request, wire.Request{ID: i, Type: wire.Get, Key: []byte("k")})
	}
	go func() {
		for {
			if _, err := p.nc.Write(request); err != nil {
				return
			}
		}
	}()
	eventually(t, "much is queued", func() bool {
		for _, c := range r.srv.connections() {
			c.out.mu.Lock()
			defer c.out.mu.Unlock()
			return len(c.out.mu.queued) > 4<<20
		}
		return false
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestThousandsOfConnectionsLeaveNothing(t *testing.T) {
	r := serve(t, newQueued(t, nil))
	before := runtime.NumGoroutine()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 400 {
				nc, err := socket.Dial(context.Background(), r.path)
				if err != nil {
					t.Error(err)
					return
				}
				if i%2 == 0 { // and leave without waiting
					nc.Write(encode(t, nil, wire.Request{ID: 1, Type: wire.Set, Key: []byte("k")}))
				}
				nc.Close()
			}
		})
	}
	wg.Wait()
	eventually(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
	eventually(t, "all shared memory is back", func() bool { return r.srv.memory.free.Load() == sharedBytesMax })
	if n := len(r.srv.places); n > 1 { // the listener holds one for the next
		t.Errorf("%d places are taken", n)
	}
}

func TestManyConnectionsAtOnce(t *testing.T) {
	r := serve(t, newQueued(t, nil))
	var peers []*peer
	for range 500 {
		peers = append(peers, r.dial())
	}
	for i, p := range slices.Backward(peers) {
		p.set(fmt.Sprint(i), "v")
	}
}
