package mux

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"kivaloo/mux/wire"
)

// errCut: a connection that ended within a packet. Nothing of the packet was done.
var errCut = errors.New("connection ended within a packet")

// A conn is one connection. The goroutine of serve owns it, except for out and
// what stop guards.
type conn struct {
	srv    *Server
	nc     net.Conn
	number uint64 // names it in the log
	in     inbox
	gets   *gets // while reads are being answered
	out    output
	crowd  *crowd // writes that were decoded and not yet handed to the store, or nil
	places int    // writes that there is room for beside those

	stop struct {
		sync.Mutex
		stopped bool
		reason  error // why reading was stopped; nil for Shutdown
	}
}

func newConn(s *Server, nc net.Conn, number uint64) *conn {
	c := &conn{srv: s, nc: nc, number: number}
	c.out.init(nc, s.memory)
	return c
}

// serve reads and carries out requests until the connection ends, and then
// finishes what is in flight.
func (c *conn) serve() {
	var sender sync.WaitGroup
	sender.Go(c.out.run)
	err := c.readAll()
	c.in.release()
	c.out.drain()
	sender.Wait()
	c.nc.Close()
	c.explain(err)
}

// readAll carries out what arrives, one read after the other.
func (c *conn) readAll() error {
	for {
		// What has arrived is carried out even if it came with an error.
		readErr := c.in.read(c.nc)
		if err := c.round(); err != nil {
			return err
		}
		if readErr != nil {
			return c.ended(readErr)
		}
	}
}

// ended translates the end of reading.
func (c *conn) ended(err error) error {
	c.stop.Lock()
	defer c.stop.Unlock()
	if c.stop.stopped {
		return c.stop.reason
	}
	if errors.Is(err, io.EOF) && c.in.unread() > 0 {
		return errCut
	}
	return err
}

// stopReading makes serve end as if the client had sent its last request. The
// first reason is the one that is logged. It does not block.
func (c *conn) stopReading(reason error) {
	c.stop.Lock()
	defer c.stop.Unlock()
	if !c.stop.stopped {
		c.stop.stopped, c.stop.reason = true, reason
		c.nc.SetReadDeadline(time.Unix(1, 0))
	}
}

// explain logs why a connection was closed, when it was not the client's wish.
func (c *conn) explain(err error) {
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
	case errors.Is(err, errCut), errors.Is(err, unix.ECONNRESET), errors.Is(err, os.ErrDeadlineExceeded):
		// Clients are killed every day; it is nobody's fault.
		c.srv.opts.Log.Debug("connection lost", "connection", c.number, "reason", err)
	default:
		c.srv.report.warn("connection closed", "connection", c.number, "reason", err)
	}
}

// round carries out all whole requests of the inbox: first all writes, so that
// the store has them together while the reads are being answered.
func (c *conn) round() error {
	err := c.gather()
	c.handOver()
	if readErr := c.answerReads(); err == nil {
		err = readErr
	}
	c.in.compact()
	return err
}

// gather decodes requests. Writes are copied into the crowd, reads are noted.
func (c *conn) gather() error {
	for {
		packet, n, err := wire.Next(c.in.bytes(), wire.RequestMax)
		if err != nil || n == 0 {
			return err
		}
		req, err := wire.DecodeRequest(packet)
		if err != nil {
			return err
		}
		if req.Type.IsWrite() {
			c.join(&req)
		} else {
			c.in.noteRead(n)
		}
		c.in.skip(n)
	}
}

// placesAtOnce is for how many writes room is made together.
const placesAtOnce = 32

// join adds a write to the crowd. When there is no room for it, the crowd goes
// ahead: room comes from writes that are done.
func (c *conn) join(req *wire.Request) {
	if c.places == 0 {
		c.places = c.out.begin(placesAtOnce)
	}
	if c.places == 0 {
		c.handOver()
		c.places = c.out.waitBegin(placesAtOnce)
	}
	if c.crowd == nil {
		c.crowd = newCrowd(c)
	}
	c.crowd.add(req)
	c.places--
}

// handOver gives the crowd to the store, and back the room that nobody has used.
func (c *conn) handOver() {
	if c.places > 0 {
		c.out.giveBack(c.places)
		c.places = 0
	}
	if w := c.crowd; w != nil {
		c.crowd = nil // from here on it is the store's, and soon another's
		w.handOver(c.srv.writes)
	}
}

// storeFailed is an error for which protocol v1 has no answer.
func (c *conn) storeFailed(what wire.Type, err error) error {
	return fmt.Errorf("%v: %w", what, err)
}
