// Package client reaches a store over a socket. A Client is a kv.Store, as far as
// the protocol can say what a kv.Store does; the rest is kv.ErrUnsupported.
//
// It speaks protocol v1: keys and values of at most 255 bytes, single puts and
// deletes with at most one guard on the same key, forward scans. Nothing is known
// of births, versions or metadata, so a reader must not ask for them.
//
// Any number of goroutines may call a client at once; their requests share the
// connection and do not wait for each other. A call whose context ends returns at
// once: its answer is dropped when it comes, and the connection goes on. A client
// whose connection is lost stays so, since what was in flight is not known to be
// done or not; dial again.
package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"kivaloo/kvstore/kv"
	"kivaloo/mux/socket"
	"kivaloo/mux/wire"
)

var (
	// ErrConnection: there is no connection, or none any more.
	ErrConnection = errors.New("no connection to the store")

	// ErrRefused: the server has closed the connection, which is the only way that
	// protocol v1 has to refuse a request.
	ErrRefused = errors.New("the server has closed it")

	// ErrMaybeApplied: the connection or the call ended after a write was sent and
	// before it was answered. It may have been done, or still be done.
	ErrMaybeApplied = errors.New("the write may have been done or not")
)

// inFlightMax is how many requests wait for answers at once; more callers wait.
// kivaloo's own clients keep as many, and more gain nothing.
const inFlightMax = 4096

// Options of a Client. There are none yet that anybody needs.
type Options struct{}

// A Client is a connection to a store.
type Client struct {
	nc     net.Conn
	window chan struct{} // one token for each request that was begun
	lost   chan struct{} // closed when mu.err is set
	work   sync.Cond     // the sender waits for mu.queued or mu.err
	wg     sync.WaitGroup

	keyMax, valueMax int // what the server takes

	mu struct {
		sync.Mutex
		lastID  uint64
		waiting map[uint64]*call
		queued  []byte
		err     error // why nothing more can be asked
	}
}

// Dial connects to a store at a path, host:port or [ip]:port, and asks for its
// limits.
func Dial(ctx context.Context, addr string, _ Options) (*Client, error) {
	nc, err := socket.Dial(ctx, addr)
	if errors.Is(err, socket.ErrAddress) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConnection, err)
	}
	c := start(nc)
	if err := c.askLimits(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("ask %s for its limits: %w", addr, err)
	}
	return c, nil
}

func start(nc net.Conn) *Client {
	c := &Client{nc: nc, window: make(chan struct{}, inFlightMax), lost: make(chan struct{})}
	c.keyMax, c.valueMax = wire.StringMax, wire.StringMax
	c.work.L = &c.mu
	c.mu.waiting = map[uint64]*call{}
	c.wg.Go(c.send)
	c.wg.Go(c.receive)
	return c
}

func (c *Client) askLimits(ctx context.Context) error {
	record, err := c.do(ctx, &wire.Request{Type: wire.Params})
	if err != nil {
		return err
	}
	key, value, err := wire.DecodeParams(record)
	if err != nil {
		return err
	}
	c.keyMax, c.valueMax = int(min(key, wire.StringMax)), int(min(value, wire.StringMax))
	return nil
}

// Close ends the connection. Writes in flight answer ErrMaybeApplied.
func (c *Client) Close() error {
	c.fail(kv.ErrClosed)
	c.wg.Wait()
	return nil
}

// fail ends the connection for everybody. Only the first reason counts.
func (c *Client) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.err != nil {
		return
	}
	c.mu.err = err
	c.mu.queued = nil
	close(c.lost)
	for id, call := range c.mu.waiting {
		delete(c.mu.waiting, id)
		call.fail(err)
	}
	c.work.Signal()
	c.nc.Close()
}
