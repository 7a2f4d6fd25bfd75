package client

import (
	"bytes"
	"context"
	"fmt"

	"kivaloo/kvstore/kv"
	"kivaloo/mux/wire"
)

// A Client is a whole kv.Store in form. What protocol v1 cannot say, and so is
// kv.ErrUnsupported: stamps, metadata, other spaces, parts of values, moves,
// links, transactions of more than one effect or one guard, scans in reverse or
// with a delimiter, and everything in this file below Commit.
var _ kv.Store = (*Client)(nil)

// Get implements kv.Reader.
func (c *Client) Get(ctx context.Context, req kv.GetRequest) (kv.Pair, error) {
	if req.Space != kv.User || req.Want&kv.WantStamps != 0 {
		return kv.Pair{}, unsupported("get of stamps, metadata or another space")
	}
	if req.Offset < 0 || req.Length < 0 {
		return kv.Pair{}, fmt.Errorf("get of %d bytes at %d: %w", req.Length, req.Offset, kv.ErrInvalid)
	}
	value, err := c.Value(ctx, req.Key)
	if err != nil {
		return kv.Pair{}, err
	}
	pair := kv.Pair{Key: bytes.Clone(req.Key), Size: int64(len(value))}
	if req.Want&kv.WantValue != 0 {
		pair.Value = part(value, req.Offset, req.Length)
	}
	return pair, nil
}

// part is length bytes of value from offset on, or all of them when it is 0.
func part(value []byte, offset, length int64) []byte {
	size := int64(len(value))
	offset = min(offset, size)
	if length == 0 || length > size-offset {
		length = size - offset
	}
	return value[offset : offset+length]
}

// Scan implements kv.Reader.
func (c *Client) Scan(ctx context.Context, req kv.ScanRequest) (kv.ScanPage, error) {
	if req.Reverse || req.Delimiter != nil || req.Want&kv.WantStamps != 0 {
		return kv.ScanPage{}, unsupported("scan in reverse, with a delimiter, or of stamps")
	}
	if min(req.Limit, req.Bytes, req.ValueBytes) < 0 {
		return kv.ScanPage{}, fmt.Errorf("scan with a negative limit: %w", kv.ErrInvalid)
	}
	// On the wire an empty end is none at all.
	if req.End != nil && bytes.Compare(req.Start, req.End) >= 0 {
		return kv.ScanPage{}, nil
	}
	limit := bounded(req.Limit, kv.ScanEntriesMax)
	pairs, next, err := c.Range(ctx, req.Start, req.End, min(bounded(req.Bytes, kv.ScanBytesMax), limit*wire.PairMax))
	if err != nil {
		return kv.ScanPage{}, err
	}
	if len(pairs) > limit {
		pairs, next = pairs[:limit], pairs[limit].Key
	}
	return pageOf(pairs, next, &req), nil
}

func bounded(n, most int) int {
	if n == 0 {
		return most
	}
	return min(n, most)
}

func pageOf(pairs []wire.Pair, next []byte, req *kv.ScanRequest) kv.ScanPage {
	page := kv.ScanPage{More: !bytes.Equal(next, req.End)}
	if page.More {
		page.Next = next
	}
	for _, p := range pairs {
		pair := kv.Pair{Key: p.Key, Size: int64(len(p.Value))}
		if req.Want&kv.WantValue != 0 {
			pair.Value = part(p.Value, 0, int64(req.ValueBytes))
		}
		page.Entries = append(page.Entries, pair)
	}
	return page
}

// Commit implements kv.Store. The version of the result is not known.
func (c *Client) Commit(ctx context.Context, txn *kv.Txn) (kv.Result, error) {
	if err := txn.Check(); err != nil {
		return kv.Result{}, err
	}
	req, err := requestOf(txn)
	if err != nil {
		return kv.Result{}, err
	}
	done, err := c.write(ctx, &req)
	if err == nil && !done {
		err = &kv.ConditionError{Guard: 0, Effect: -1}
	}
	return kv.Result{}, err
}

// requestOf finds the request that says what the transaction does.
func requestOf(txn *kv.Txn) (wire.Request, error) {
	errUnsayable := unsupported("a transaction beyond one put or delete with one guard of its key")
	if len(txn.Effects) != 1 || len(txn.Guards) > 1 {
		return wire.Request{}, errUnsayable
	}
	e := &txn.Effects[0]
	guard := kv.Guard{Key: e.Key}
	if len(txn.Guards) == 1 {
		guard = txn.Guards[0]
	}
	if !plain(e, guard.Op) || guard.Space != kv.User || !bytes.Equal(guard.Key, e.Key) {
		return wire.Request{}, errUnsayable
	}
	req := wire.Request{Type: typeOf(e.Op, guard.Op), Key: e.Key}
	if req.Type == 0 {
		return wire.Request{}, errUnsayable
	}
	if e.Op == kv.Put {
		req.Value = e.Value
	}
	if guard.Op == kv.ValueEquals {
		req.Old = guard.Value
	}
	return req, nil
}

// plain says whether an effect is no more than its operation, key and value. A
// put that drops what was there is plain where nothing is.
func plain(e *kv.Effect, guard kv.GuardOp) bool {
	return e.Space == kv.User && !e.SetMeta && e.Birth == 0 && e.Modified == 0 && len(e.Staged) == 0 &&
		(!e.Fresh || guard == kv.Absent)
}

// typeOf is the request of an effect under a guard, or 0.
func typeOf(effect kv.EffectOp, guard kv.GuardOp) wire.Type {
	switch [2]uint8{uint8(effect), uint8(guard)} {
	case [2]uint8{uint8(kv.Put), 0}:
		return wire.Set
	case [2]uint8{uint8(kv.Put), uint8(kv.Absent)}:
		return wire.Add
	case [2]uint8{uint8(kv.Put), uint8(kv.Present)}:
		return wire.Modify
	case [2]uint8{uint8(kv.Put), uint8(kv.ValueEquals)}:
		return wire.CAS
	case [2]uint8{uint8(kv.Delete), 0}:
		return wire.Delete
	case [2]uint8{uint8(kv.Delete), uint8(kv.ValueEquals)}:
		return wire.CAD
	}
	return 0
}

// Stamp implements kv.Store.
func (c *Client) Stamp(context.Context) (kv.Stamp, error) { return 0, unsupported("stamps") }

// Session implements kv.Store.
func (c *Client) Session(context.Context) (kv.Session, error) { return nil, unsupported("sessions") }

// Snapshot implements kv.Store.
func (c *Client) Snapshot(context.Context) (kv.Snapshot, error) {
	return nil, unsupported("snapshots")
}

// Watch implements kv.Store.
func (c *Client) Watch(context.Context, kv.WatchRequest) (kv.Watcher, error) {
	return nil, unsupported("watches")
}

// Space implements kv.Store.
func (c *Client) Space(context.Context) (kv.Usage, error) {
	return kv.Usage{}, unsupported("usage")
}

func unsupported(what string) error {
	return fmt.Errorf("%s: %w (protocol v1)", what, kv.ErrUnsupported)
}
