package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"kivaloo/kvstore/kv"
	"kivaloo/kvstore/kvtest"
	"kivaloo/mux"
	"kivaloo/mux/socket"
	"kivaloo/mux/wire"
)

// lacks is what protocol v1 cannot say.
const lacks = kvtest.Large | kvtest.Huge | kvtest.Stamps | kvtest.Metadata | kvtest.Txns | kvtest.Parts |
	kvtest.Names | kvtest.Links | kvtest.Listings | kvtest.Spaces | kvtest.Snapshots | kvtest.Sessions |
	kvtest.Observers | kvtest.Watches | kvtest.Usage

func TestConformance(t *testing.T) {
	kvtest.Run(t, func(tb testing.TB) *kvtest.Subject {
		addr := serve(tb, kvtest.NewModel(nil))
		return &kvtest.Subject{
			Store:  dial(tb, addr),
			Beside: func() kv.Store { return dial(tb, addr) },
			Lacks:  lacks,
		}
	})
}

// serve answers the address of a server of store.
func serve(tb testing.TB, store kv.Store) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "s")
	srv := mux.New(store, mux.Options{})
	if _, err := srv.Listen(path); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		srv.Close()
		store.Close()
	})
	return path
}

func dial(tb testing.TB, addr string) *Client {
	tb.Helper()
	c, err := Dial(context.Background(), addr, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	return c
}

func TestRequests(t *testing.T) {
	ctx := t.Context()
	c := dial(t, serve(t, kvtest.NewModel(nil)))
	k, v, w := []byte("k"), []byte("v"), []byte("w")
	for i, step := range []struct {
		do   func() (bool, error)
		want bool
		then string
	}{
		{func() (bool, error) { return c.Modify(ctx, k, v) }, false, ""},
		{func() (bool, error) { return c.Add(ctx, k, v) }, true, "v"},
		{func() (bool, error) { return c.Add(ctx, k, w) }, false, "v"},
		{func() (bool, error) { return c.CAS(ctx, k, w, v) }, false, "v"},
		{func() (bool, error) { return c.CAS(ctx, k, v, w) }, true, "w"},
		{func() (bool, error) { return true, c.Set(ctx, k, v) }, true, "v"},
		{func() (bool, error) { return c.CAD(ctx, k, w) }, false, "v"},
		{func() (bool, error) { return c.CAD(ctx, k, v) }, true, ""},
		{func() (bool, error) { return true, c.Delete(ctx, k) }, true, ""},
	} {
		done, err := step.do()
		then, getErr := c.Value(ctx, k)
		if err != nil || done != step.want || string(then) != step.then {
			t.Errorf("step %d: %v, %v, then %q, %v", i, done, err, then, getErr)
		}
	}
}

func TestWhatTheProtocolCannotCarryIsRefusedHere(t *testing.T) {
	ctx := t.Context()
	c := dial(t, serve(t, kvtest.NewModel(nil)))
	long := make([]byte, 256)
	for _, err := range []error{
		c.Set(ctx, long, nil), c.Set(ctx, nil, long), c.Delete(ctx, long),
		func() error { _, err := c.Value(ctx, long); return err }(),
		func() error { _, _, err := c.Range(ctx, nil, long, 1); return err }(),
		func() error { _, err := c.CAS(ctx, nil, long, nil); return err }(),
	} {
		if !errors.Is(err, kv.ErrTooLarge) || !strings.Contains(err.Error(), "256 bytes") {
			t.Errorf("err = %v", err)
		}
	}
	two := &kv.Txn{Effects: []kv.Effect{{Op: kv.Put}, {Op: kv.Put}}}
	if _, err := c.Commit(ctx, two); !errors.Is(err, kv.ErrUnsupported) {
		t.Errorf("transaction of two effects: %v", err)
	}
	if err := c.Set(ctx, []byte("still"), []byte("open")); err != nil {
		t.Error(err)
	}
}

func TestManyCallersShareAConnection(t *testing.T) {
	ctx := t.Context()
	c := dial(t, serve(t, kvtest.NewModel(nil)))
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			key := fmt.Appendf(nil, "%03d", i)
			for j := range 10 {
				want := fmt.Append(nil, i, j)
				if err := c.Set(ctx, key, want); err != nil {
					t.Error(err)
				}
				if got, err := c.Value(ctx, key); err != nil || string(got) != string(want) {
					t.Errorf("%s holds %q, %v", key, got, err)
				}
			}
		})
	}
	wg.Wait()
}

// A call that is given up must not shift the answers of the others.
func TestCancelledCallsDesynchroniseNothing(t *testing.T) {
	m := kvtest.NewModel(nil)
	m.SetFault(func(*kv.Txn) error { time.Sleep(2 * time.Millisecond); return nil })
	c := dial(t, serve(t, m))
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%5)*time.Millisecond)
			defer cancel()
			err := c.Set(ctx, []byte("shared"), []byte("x"))
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			key := fmt.Append(nil, i)
			if err := c.Set(t.Context(), key, key); err != nil {
				t.Error(err)
			}
			if got, err := c.Value(t.Context(), key); err != nil || string(got) != string(key) {
				t.Errorf("%s holds %q, %v", key, got, err)
			}
		})
	}
	wg.Wait()
	for end := time.Now().Add(10 * time.Second); len(c.window) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d places of the window are never given back", len(c.window))
		}
	}
}

func TestWriteInFlightOfACancelledCallMayBeApplied(t *testing.T) {
	m := kvtest.NewModel(nil)
	began, release := make(chan struct{}), make(chan struct{})
	m.SetFault(func(*kv.Txn) error { close(began); <-release; return nil })
	c := dial(t, serve(t, m))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-began; cancel() }()
	err := c.Set(ctx, []byte("k"), nil)
	if !errors.Is(err, ErrMaybeApplied) || !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v", err)
	}
	close(release)
	if err := c.Set(ctx, []byte("k"), nil); !errors.Is(err, context.Canceled) || errors.Is(err, ErrMaybeApplied) {
		t.Errorf("a call that was never sent: %v", err)
	}
}

// scripted is a server that answers PARAMS, and then whatever answer makes of
// each request; nil closes the connection.
func scripted(t *testing.T, answer func(wire.Request) []byte) string {
	path := filepath.Join(t.TempDir(), "s")
	l, err := socket.Listen(path, socket.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		speak(nc, answer)
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return path
}

func speak(nc net.Conn, answer func(wire.Request) []byte) {
	buf, end := make([]byte, 4096), 0
	for {
		n, err := nc.Read(buf[end:])
		if err != nil {
			return
		}
		end += n
		packet, n, _ := wire.Next(buf[:end], wire.RequestMax)
		if n == 0 {
			continue
		}
		req, _ := wire.DecodeRequest(packet)
		out := wire.AppendParams(nil, req.ID, 255, 255)
		if req.Type != wire.Params {
			out = answer(req)
		}
		if out == nil {
			return
		}
		nc.Write(out)
		end = copy(buf, buf[n:end])
	}
}

func TestConnectionLostWithAWriteInFlight(t *testing.T) {
	c := dial(t, scripted(t, func(wire.Request) []byte { return nil }))
	err := c.Set(t.Context(), []byte("k"), nil)
	if !errors.Is(err, ErrMaybeApplied) || !errors.Is(err, ErrConnection) {
		t.Errorf("err = %v", err)
	}
	err = c.Set(t.Context(), []byte("k"), nil)
	if errors.Is(err, ErrMaybeApplied) || !errors.Is(err, ErrConnection) {
		t.Errorf("a write after the connection was lost: %v", err)
	}
}

func TestServerThatTalksNonsense(t *testing.T) {
	for name, answer := range map[string]func(wire.Request) []byte{
		"garbage":         func(wire.Request) []byte { return make([]byte, 100) },
		"another request": func(r wire.Request) []byte { return wire.AppendStatus(nil, r.ID+1, 0) },
		"status 2":        func(r wire.Request) []byte { return wire.AppendStatus(nil, r.ID, 2) },
		"a pair":          func(r wire.Request) []byte { return wire.AppendParams(nil, r.ID, 0, 0) },
		"twice": func(r wire.Request) []byte {
			return wire.AppendStatus(wire.AppendStatus(nil, r.ID, 2), r.ID, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, scripted(t, answer))
			_, _, err := c.Range(t.Context(), nil, nil, 1)
			if !errors.Is(err, ErrConnection) || !errors.Is(err, wire.ErrMalformed) {
				t.Errorf("err = %v", err)
			}
			if _, err := c.Value(t.Context(), nil); !errors.Is(err, ErrConnection) {
				t.Errorf("the connection is still used: %v", err)
			}
		})
	}
}

func TestDialNobody(t *testing.T) {
	_, err := Dial(t.Context(), filepath.Join(t.TempDir(), "none"), Options{})
	if !errors.Is(err, ErrConnection) {
		t.Errorf("err = %v", err)
	}
	if _, err := Dial(t.Context(), "", Options{}); !errors.Is(err, socket.ErrAddress) {
		t.Errorf("err = %v", err)
	}
}

// A server that accepts and never answers must not hold a caller for ever.
func TestDialGivesUpWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := socket.Listen(path, socket.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, path, Options{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v", err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	addr := serve(t, kvtest.NewModel(nil))
	before := runtime.NumGoroutine()
	for range 50 {
		c := dial(t, addr)
		c.Close()
		if err := c.Set(t.Context(), nil, nil); !errors.Is(err, kv.ErrClosed) {
			t.Fatalf("Set after Close: %v", err)
		}
	}
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, were %d", runtime.NumGoroutine(), before)
		}
	}
}
