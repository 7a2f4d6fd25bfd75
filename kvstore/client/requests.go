package client

import (
	"context"
	"fmt"

	"kivaloo/kvstore/kv"
	"kivaloo/mux/wire"
)

// Set gives key a value.
func (c *Client) Set(ctx context.Context, key, value []byte) error {
	_, err := c.write(ctx, &wire.Request{Type: wire.Set, Key: key, Value: value})
	return err
}

// Add gives key a value if it has none, and says whether it did.
func (c *Client) Add(ctx context.Context, key, value []byte) (done bool, err error) {
	return c.write(ctx, &wire.Request{Type: wire.Add, Key: key, Value: value})
}

// Modify gives key a value if it has one, and says whether it did.
func (c *Client) Modify(ctx context.Context, key, value []byte) (done bool, err error) {
	return c.write(ctx, &wire.Request{Type: wire.Modify, Key: key, Value: value})
}

// CAS gives key a value if it has the old one, and says whether it did.
func (c *Client) CAS(ctx context.Context, key, old, value []byte) (done bool, err error) {
	return c.write(ctx, &wire.Request{Type: wire.CAS, Key: key, Old: old, Value: value})
}

// Delete removes key; there need be none.
func (c *Client) Delete(ctx context.Context, key []byte) error {
	_, err := c.write(ctx, &wire.Request{Type: wire.Delete, Key: key})
	return err
}

// CAD removes key if it has the old value, and says whether it did.
func (c *Client) CAD(ctx context.Context, key, old []byte) (done bool, err error) {
	return c.write(ctx, &wire.Request{Type: wire.CAD, Key: key, Old: old})
}

// Value answers the value of key, or kv.ErrNotFound.
func (c *Client) Value(ctx context.Context, key []byte) ([]byte, error) {
	req := wire.Request{Type: wire.Get, Key: key}
	if err := c.check(&req); err != nil {
		return nil, err
	}
	record, err := c.do(ctx, &req)
	if err != nil {
		return nil, err
	}
	value, found, err := wire.DecodeValue(record)
	if err != nil {
		return nil, c.broken(err)
	}
	if !found {
		return nil, kv.ErrNotFound
	}
	return value, nil
}

// Range answers pairs with start <= key < end, of about maxBytes, in order: all
// those before next. An empty end, or next, is beyond every key.
func (c *Client) Range(ctx context.Context, start, end []byte, maxBytes int) (pairs []wire.Pair, next []byte, err error) {
	req := wire.Request{Type: wire.Range, Key: start, End: end, Max: uint32(min(max(maxBytes, 1), rangeBytesMax))}
	if err := c.check(&req); err != nil {
		return nil, nil, err
	}
	record, err := c.do(ctx, &req)
	if err != nil {
		return nil, nil, err
	}
	if pairs, next, err = wire.DecodeRange(nil, record); err != nil {
		return nil, nil, c.broken(err)
	}
	return pairs, next, nil
}

func (c *Client) write(ctx context.Context, req *wire.Request) (done bool, err error) {
	if err := c.check(req); err != nil {
		return false, err
	}
	record, err := c.do(ctx, req)
	if err != nil {
		return false, err
	}
	status, err := wire.DecodeStatus(record)
	if err != nil {
		return false, unanswered(req.Type, c.broken(err))
	}
	return status == wire.StatusDone, nil
}

// broken ends a connection whose other side says what means nothing.
func (c *Client) broken(err error) error {
	err = fmt.Errorf("%w: %w", ErrConnection, err)
	c.fail(err)
	return err
}

// check refuses what the protocol, or this server, does not carry.
func (c *Client) check(req *wire.Request) error {
	if n := max(len(req.Key), len(req.End)); n > c.keyMax {
		return tooLarge("key", n, c.keyMax)
	}
	if n := max(len(req.Old), len(req.Value)); n > c.valueMax {
		return tooLarge("value", n, c.valueMax)
	}
	return nil
}

func tooLarge(what string, n, most int) error {
	return fmt.Errorf("%w: the %s has %d bytes; over protocol v1 this server takes at most %d", kv.ErrTooLarge, what, n, most)
}
