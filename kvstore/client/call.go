package client

import (
	"context"
	"errors"
	"fmt"

	"kivaloo/mux/wire"
)

// A call is a request that waits for its answer. The goroutine that made it owns
// it again once done is closed.
type call struct {
	typ    wire.Type
	done   chan struct{} // closed with record or err
	record []byte
	err    error
}

func (c *call) finish(record []byte) {
	c.record = append([]byte(nil), record...)
	close(c.done)
}

func (c *call) fail(err error) {
	c.err = unanswered(c.typ, err)
	close(c.done)
}

// unanswered is why there is no answer, and what that means for a write.
func unanswered(typ wire.Type, err error) error {
	if errors.Is(err, ErrRefused) {
		err = fmt.Errorf("%w, as it does %s: its log says which", err, refusals(typ))
	}
	if typ.IsWrite() {
		return fmt.Errorf("%w: %w", ErrMaybeApplied, err)
	}
	return err
}

// refusals are the reasons for which a server refuses a request, besides its end.
// What is too long to write is refused here.
func refusals(typ wire.Type) string {
	if typ.IsWrite() {
		return "when the disk is full or has failed, or what is there is damaged"
	}
	return "for a pair that is damaged or beyond the 255 bytes of protocol v1, or when the disk has failed"
}

// do sends a request and answers the record of its response.
func (c *Client) do(ctx context.Context, req *wire.Request) ([]byte, error) {
	select {
	case c.window <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-c.lost:
		return nil, c.reason()
	}
	call, err := c.begin(ctx, req)
	if err != nil {
		<-c.window
		return nil, err
	}
	select {
	case <-call.done:
		return call.record, call.err
	case <-ctx.Done():
		// The call stays in the table: its answer is still to come, and its place
		// in the window is taken until then.
		return nil, unanswered(req.Type, context.Cause(ctx))
	}
}

// begin queues a request, unless its context has ended by then.
func (c *Client) begin(ctx context.Context, req *wire.Request) (*call, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.err != nil {
		return nil, c.mu.err
	}
	c.mu.lastID++
	req.ID = c.mu.lastID
	queued, err := wire.AppendRequest(c.mu.queued, req)
	if err != nil {
		return nil, err
	}
	c.mu.queued = queued
	call := &call{typ: req.Type, done: make(chan struct{})}
	c.mu.waiting[req.ID] = call
	c.work.Signal()
	return call, nil
}

func (c *Client) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.err
}
