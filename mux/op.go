package mux

import (
	"errors"
	"sync"

	"kivaloo/kvstore/kv"
	"kivaloo/mux/wire"
)

// opBytes is what a write in flight counts for: an op, with its strings, and
// what a store needs to keep it waiting.
const opBytes = 1024

// An op is a write in flight. Ops are used again, so that a write allocates
// nothing here.
type op struct {
	conn *conn
	id   uint64
	typ  wire.Type
	txn  kv.Txn
	done func(kv.Result, error) // op.finish, bound once

	guard   [1]kv.Guard
	effect  [1]kv.Effect
	strings [3 * wire.StringMax]byte
}

var ops sync.Pool

func getOp() *op {
	if o, ok := ops.Get().(*op); ok {
		return o
	}
	o := new(op)
	o.done = o.finish
	return o
}

// newOp makes a transaction of a request, whose bytes it copies: the buffer that
// they lie in is read into again while the store is busy.
func newOp(c *conn, req *wire.Request) *op {
	o := getOp()
	o.conn, o.id, o.typ = c, req.ID, req.Type
	free := o.strings[:0]
	key, free := keep(free, req.Key)
	old, free := keep(free, req.Old)
	value, _ := keep(free, req.Value)
	o.effect[0] = kv.Effect{Op: kv.Put, Key: key, Value: value}
	if req.Type == wire.Delete || req.Type == wire.CAD {
		o.effect[0] = kv.Effect{Op: kv.Delete, Key: key}
	}
	o.txn = kv.Txn{Effects: o.effect[:]}
	if guard := guardOf(req.Type); guard != 0 {
		o.guard[0] = kv.Guard{Op: guard, Key: key, Value: old}
		o.txn.Guards = o.guard[:]
	}
	return o
}

// keep copies s to the end of free and answers the copy and what is free now.
func keep(free, s []byte) (kept, rest []byte) {
	all := append(free, s...)
	return all[len(free):len(all):len(all)], all[len(all):]
}

// guardOf is the condition of a write, or 0.
func guardOf(typ wire.Type) kv.GuardOp {
	switch typ {
	case wire.Add:
		return kv.Absent
	case wire.Modify:
		return kv.Present
	case wire.CAS, wire.CAD:
		return kv.ValueEquals
	}
	return 0
}

// finish answers the write. The store waits for it.
func (o *op) finish(_ kv.Result, err error) {
	c, id := o.conn, o.id
	switch {
	case err == nil:
		c.out.finish(id, wire.StatusDone)
	case errors.Is(err, kv.ErrCondition):
		c.out.finish(id, wire.StatusNotDone)
	default:
		c.stopReading(c.storeFailed(o.typ, err))
		c.out.abandon()
	}
	o.conn, o.txn = nil, kv.Txn{}
	ops.Put(o)
}
