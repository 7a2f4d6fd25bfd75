package mux

import (
	"errors"
	"sync"
	"sync/atomic"

	"kivaloo/kvstore/kv"
	"kivaloo/mux/wire"
)

// opBytes is what a write in flight counts for: its part of a crowd, its strings,
// and what a store needs to keep it waiting.
const opBytes = 1024

// A crowd is writes that one read has brought: they are handed to the store
// together. Crowds are used again, so that a write allocates nothing here.
type crowd struct {
	kv.Crowd
	conn    *conn
	writes  []write
	effects []kv.Effect
	guards  []kv.Guard
	bytes   []byte // of keys and values
	waiting atomic.Int64
}

// A write is what its answer must say.
type write struct {
	id  uint64
	typ wire.Type
}

var crowds sync.Pool

func newCrowd(c *conn) *crowd {
	w, ok := crowds.Get().(*crowd)
	if !ok {
		w = new(crowd)
		w.Answered = w.answered
	}
	w.conn = c
	return w
}

// add makes a transaction of a request, whose bytes it copies: the buffer that
// they lie in is read into again while the store is busy. What was added before
// may refer to an older array of the crowd's; that does not change any more.
func (w *crowd) add(req *wire.Request) {
	e := kv.Effect{Op: kv.Put, Key: w.keep(req.Key), Value: w.keep(req.Value)}
	if req.Type == wire.Delete || req.Type == wire.CAD {
		e = kv.Effect{Op: kv.Delete, Key: e.Key}
	}
	w.writes = append(w.writes, write{req.ID, req.Type})
	w.effects = append(w.effects, e)
	n := len(w.effects)
	txn := kv.Txn{Effects: w.effects[n-1 : n : n]}
	if guard := guardOf(req.Type); guard != 0 {
		w.guards = append(w.guards, kv.Guard{Op: guard, Key: e.Key, Value: w.keep(req.Old)})
		n := len(w.guards)
		txn.Guards = w.guards[n-1 : n : n]
	}
	w.Txns = append(w.Txns, txn)
}

// keep answers a copy of s.
func (w *crowd) keep(s []byte) []byte {
	n := len(w.bytes)
	w.bytes = append(w.bytes, s...)
	return w.bytes[n:len(w.bytes):len(w.bytes)]
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

// handOver gives the crowd to the store.
func (w *crowd) handOver(store CrowdCommitter) {
	n := len(w.Txns)
	w.Results = append(w.Results[:0], make([]kv.Result, n)...)
	w.Errs = append(w.Errs[:0], make([]error, n)...)
	w.waiting.Store(int64(n))
	store.CommitCrowd(&w.Crowd)
}

// answered answers writes. The store waits for it.
func (w *crowd) answered(from, to int) {
	w.conn.answerWrites(w.writes[from:to], w.Errs[from:to])
	if w.waiting.Add(int64(from-to)) == 0 {
		w.recycle()
	}
}

// recycle takes back a crowd that is answered. What it refers to lies in arrays of
// its own.
func (w *crowd) recycle() {
	w.conn = nil
	w.writes, w.effects, w.guards = w.writes[:0], w.effects[:0], w.guards[:0]
	w.Txns, w.bytes = w.Txns[:0], w.bytes[:0]
	crowds.Put(w)
}

// answerWrites queues the answers of writes that are done. For an error of the store
// protocol v1 has none: the connection ends.
func (c *conn) answerWrites(writes []write, errs []error) {
	for i, err := range errs {
		if failed(err) {
			c.stopReading(c.storeFailed(writes[i].typ, err))
			break
		}
	}
	c.out.finish(writes, errs)
}

// failed says that an outcome is one that no status stands for.
func failed(err error) bool { return err != nil && !errors.Is(err, kv.ErrCondition) }
