package mux

import (
	"context"
	"errors"
	"sync"

	"kivaloo/kvstore/kv"
	"kivaloo/mux/wire"
)

// getsMax is how many GETs are looked up together. Their answers fit beside what
// putBytes leaves in a buffer.
const getsMax = 64

// A BatchGetter is a store that looks many pairs up in less time than one by one.
// pairs and errs, as long as reqs, take the answers.
type BatchGetter interface {
	GetBatch(ctx context.Context, reqs []kv.GetRequest, pairs []kv.Pair, errs []error)
}

// batchGetter is the store itself, if it can.
func batchGetter(store kv.Store) BatchGetter {
	if batch, ok := store.(BatchGetter); ok {
		return batch
	}
	return oneByOne{store}
}

// oneByOne gives any store a GetBatch.
type oneByOne struct{ store kv.Store }

func (o oneByOne) GetBatch(ctx context.Context, reqs []kv.GetRequest, pairs []kv.Pair, errs []error) {
	for i := range reqs {
		pairs[i], errs[i] = o.store.Get(ctx, reqs[i])
	}
}

// gets are GETs that are waiting for each other. Their keys lie in the inbox.
// Connections share them, since an idle one has none.
type gets struct {
	n     int
	ids   [getsMax]uint64
	reqs  [getsMax]kv.GetRequest
	pairs [getsMax]kv.Pair
	errs  [getsMax]error
}

var getsPool = sync.Pool{New: func() any { return new(gets) }}

// recycle gives them back, with nothing that they would keep in memory.
func (g *gets) recycle() {
	clear(g.reqs[:])
	clear(g.pairs[:])
	clear(g.errs[:])
	g.n = 0
	getsPool.Put(g)
}

func (g *gets) add(req *wire.Request) {
	// One byte more than fits is enough to know that it does not.
	g.reqs[g.n] = kv.GetRequest{Key: req.Key, Want: kv.WantValue, Length: wire.StringMax + 1}
	g.ids[g.n] = req.ID
	g.n++
}

// answerGets looks up the GETs that have come together, and appends the answers.
func (c *conn) answerGets(dst []byte) ([]byte, error) {
	g := c.gets
	if g.n == 0 {
		return dst, nil
	}
	c.srv.gets.GetBatch(c.srv.ctx, g.reqs[:g.n], g.pairs[:g.n], g.errs[:g.n])
	var err error
	for i := range g.n {
		if dst, err = appendGet(dst, g.ids[i], &g.pairs[i], g.errs[i]); err != nil {
			err = c.storeFailed(wire.Get, err)
			break
		}
	}
	g.n = 0
	return dst, err
}

func appendGet(dst []byte, id uint64, pair *kv.Pair, err error) ([]byte, error) {
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return wire.AppendStatus(dst, id, wire.StatusNotDone), nil
	case err != nil:
		return dst, err
	case pair.Size > wire.StringMax:
		return dst, tooLong(pair)
	}
	return wire.AppendValue(dst, id, pair.Value), nil
}
