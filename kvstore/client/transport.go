package client

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"kivaloo/mux/wire"
)

const (
	// rangeBytesMax is the most that is asked for at once.
	rangeBytesMax = 1 << 20
	// responseMax is the longest response that is believed: a RANGE as long as was
	// asked for, of pairs so small that their length bytes double it, and then some.
	responseMax = 4 << 20
	// receiveBytes is the buffer for answers; it grows for a long one.
	receiveBytes = 64 << 10
)

// send sends what is queued, all of it at once, until the connection ends.
func (c *Client) send() {
	var sending []byte
	for {
		if sending = c.nextQueued(sending); sending == nil {
			return
		}
		if _, err := c.nc.Write(sending); err != nil {
			c.fail(lost(err))
			return
		}
	}
}

// nextQueued waits for requests and gives back the buffer of those before.
func (c *Client) nextQueued(sent []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.mu.queued) == 0 && c.mu.err == nil {
		c.work.Wait()
	}
	if c.mu.err != nil {
		return nil
	}
	next := c.mu.queued
	c.mu.queued = sent[:0]
	return next
}

// receive hands answers to their calls until the connection ends.
func (c *Client) receive() {
	buf := make([]byte, receiveBytes)
	end := 0
	for {
		n, err := c.nc.Read(buf[end:])
		end += n
		taken, badErr := c.deliverAll(buf[:end])
		if badErr != nil {
			c.fail(fmt.Errorf("%w: %w", ErrConnection, badErr))
			return
		}
		if err != nil {
			c.fail(lost(err))
			return
		}
		end = copy(buf, buf[taken:end])
		if end == len(buf) { // one packet alone fills it, and wire.Next bounds that
			buf = append(buf, make([]byte, len(buf))...)
		}
	}
}

// deliverAll delivers the whole packets of data and answers how much they take.
func (c *Client) deliverAll(data []byte) (taken int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		packet, n, err := wire.Next(data[taken:], responseMax)
		if err != nil || n == 0 {
			return taken, err
		}
		taken += n
		call, ok := c.mu.waiting[packet.ID]
		if !ok {
			return taken, fmt.Errorf("%w: answer to request %d, which was not asked", wire.ErrMalformed, packet.ID)
		}
		delete(c.mu.waiting, packet.ID)
		call.finish(packet.Record)
		<-c.window
	}
}

// lost says what the end of the connection means. One that is closed while it has
// unread requests is reset.
func lost(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) {
		err = ErrRefused
	}
	return fmt.Errorf("%w: %w", ErrConnection, err)
}
