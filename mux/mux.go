// Package mux lets any number of connections work on one store.
//
// What a connection may rely on:
//
//   - Requests may be pipelined without limit and are answered in any order.
//   - Writes are answered when they are durable. Two writes of one key on one
//     connection take effect in the order sent.
//   - What was answered before another request was sent comes before it.
//   - A malformed packet closes the connection that sent it, with the reason in
//     the log, and no other connection notices.
//   - A client that does not read its answers is no longer read from once its
//     bounds are reached. It slows nobody else.
//
// An error of the store has no status in protocol v1: the connection is closed
// and the write that met it stays unanswered, which a client must take for "may
// have been done".
//
// Of each connection, one goroutine reads and one writes. Writes are handed to
// the store as a crowd, all that one read brought, so that they share a flush;
// reads are answered by the reading goroutine itself. See DESIGN.md.
package mux

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"kivaloo/kvstore/kv"
	"kivaloo/mux/socket"
)

// connectionsMax bounds the connections served at once; more wait unaccepted.
// With connBytesMin for each, that is 2 GiB if every single one is hostile.
const connectionsMax = 16384

// ErrClosed: the server has been shut down.
var ErrClosed = errors.New("server is closed")

// Options of a Server.
type Options struct {
	// Log takes what goes wrong with connections; nil discards it.
	Log *slog.Logger
	// InsecureNoAuth allows listening on TCP addresses that other hosts reach,
	// where anybody may read and write.
	InsecureNoAuth bool
}

// A Server serves one store on any number of listeners.
type Server struct {
	store  kv.Store
	writes CrowdCommitter
	gets   BatchGetter
	opts   Options
	report *reporter
	memory *pool
	places chan struct{} // one token for each connection

	// ctx ends when Shutdown has no more patience; it is given to the store.
	ctx    context.Context
	cancel context.CancelFunc
	stop   chan struct{} // closed by Shutdown: no more connections
	wg     sync.WaitGroup

	mu struct {
		sync.Mutex
		closed    bool
		listeners []net.Listener
		conns     map[*conn]struct{}
		accepted  uint64
	}
}

// New makes a server of store. It does not close the store.
func New(store kv.Store, opts Options) *Server {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		store:  store,
		opts:   opts,
		report: newReporter(opts.Log),
		memory: newPool(sharedBytesMax),
		places: make(chan struct{}, connectionsMax),
		stop:   make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.writes = crowdCommitter(s.ctx, store)
	s.gets = batchGetter(store)
	s.mu.conns = map[*conn]struct{}{}
	return s
}

// Listen begins to serve on an address: a path, host:port or [ip]:port. It
// answers the address that was bound.
func (s *Server) Listen(addr string) (net.Addr, error) {
	l, err := socket.Listen(addr, socket.ListenOptions{InsecureNoAuth: s.opts.InsecureNoAuth})
	if err != nil {
		return nil, err
	}
	return l.Addr(), s.Serve(l)
}

// Serve begins to serve a listener, which belongs to the server from then on.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return errors.Join(ErrClosed, l.Close())
	}
	s.mu.listeners = append(s.mu.listeners, l)
	s.wg.Go(func() { s.acceptAll(l) })
	return nil
}

// Shutdown stops accepting and reading, finishes what has been received, and
// returns when every answer is sent and every goroutine has ended. When ctx ends
// first, the connections are cut; what the store was asked for is still awaited.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.stopAccepting()
	for _, c := range s.connections() {
		c.stopReading(nil)
	}
	cut := context.AfterFunc(ctx, s.cut)
	s.wg.Wait()
	if !cut() {
		err = errors.Join(err, fmt.Errorf("connections were cut: %w", context.Cause(ctx)))
	}
	s.cancel()
	return err
}

// Close is Shutdown without patience.
func (s *Server) Close() error {
	err := s.stopAccepting()
	s.cut()
	s.wg.Wait()
	return err
}

func (s *Server) stopAccepting() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return nil
	}
	s.mu.closed = true
	close(s.stop)
	var err error
	for _, l := range s.mu.listeners {
		err = errors.Join(err, l.Close())
	}
	return err
}

func (s *Server) cut() {
	s.cancel()
	for _, c := range s.connections() {
		c.nc.Close()
	}
}

func (s *Server) connections() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*conn, 0, len(s.mu.conns))
	for c := range s.mu.conns {
		list = append(list, c)
	}
	return list
}
