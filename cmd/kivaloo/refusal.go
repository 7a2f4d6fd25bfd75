package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"kivaloo/kvstore/client"
	"kivaloo/kvstore/kv"
	"kivaloo/mux/wire"
)

// Protocol v1 has one way to refuse a read, whatever the reason: the server closes
// the connection. Here the reason is found out as far as it can be, by asking for
// less, each time on a connection of its own.

// errTooLong: a pair whose key can be asked for, and that is refused all the same.
var errTooLong = fmt.Errorf("its value is longer than the %d bytes that protocol v1 carries; a mount shows it whole", wire.StringMax)

// probe asks a server on a connection of its own.
func (n *native) probe(ctx context.Context, e *env, ask func(*client.Client) error) error {
	c, err := n.dial(ctx, e)
	if err != nil {
		return err
	}
	return errors.Join(ask(c), c.Close())
}

// valueOf is a value. Where a refusal was for this pair alone it says that.
func (n *native) valueOf(ctx context.Context, e *env, c *client.Client, key []byte) ([]byte, error) {
	value, err := c.Value(ctx, key)
	if !errors.Is(err, client.ErrRefused) {
		return value, err
	}
	// It may have been for another reason than the pair, which is over by now.
	again := n.probe(ctx, e, func(c *client.Client) (err error) {
		value, err = c.Value(ctx, key)
		return err
	})
	if !errors.Is(again, client.ErrRefused) {
		return value, again
	}
	if n.answersBehind(ctx, e, key) {
		return nil, errTooLong
	}
	return nil, err
}

// answersBehind says whether the server answers for the key next to this one, which
// nobody has: it is in the same page. Then neither that page nor the whole store is
// to blame for what it does not say of this key. (A value that is in pages of its own
// may be damaged as well. Such a one is too long in any case.)
func (n *native) answersBehind(ctx context.Context, e *env, key []byte) bool {
	next := keyBehind(key)
	if len(next) >= wire.StringMax {
		return false // nothing behind that can be named
	}
	return n.probe(ctx, e, func(c *client.Client) error {
		_, _, err := c.Range(ctx, next, keyBehind(next), 1)
		return err
	}) == nil
}

// keyBehind is the first key after another.
func keyBehind(key []byte) []byte { return append(key[:len(key):len(key)], 0) }

// stopped says why a listing has come to an end at a key, and how to go on.
func (n *native) stopped(ctx context.Context, e *env, req *kv.ScanRequest, err error) error {
	if !errors.Is(err, client.ErrRefused) {
		return err
	}
	key := req.Start
	var there []wire.Pair
	alone := n.probe(ctx, e, func(c *client.Client) (err error) {
		there, _, err = c.Range(ctx, key, keyBehind(key), 1)
		return err
	})
	switch {
	case errors.Is(alone, client.ErrRefused) && n.answersBehind(ctx, e, key):
		return fmt.Errorf("at %q: %w; to go on after it: kivaloo range %s", key, errTooLong, operands(keyBehind(key), req.End))
	case alone == nil && len(there) == 0:
		return fmt.Errorf("at the first key after %q, which the server's log names: %w", key, err)
	}
	return fmt.Errorf("at %q: %w", key, err)
}

// operands are the bounds of a listing as they are typed.
func operands(start, end []byte) string {
	text := "hex:" + hex.EncodeToString(start)
	if end != nil {
		text += " hex:" + hex.EncodeToString(end)
	}
	return text
}
