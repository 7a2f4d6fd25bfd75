package mux

import (
	"context"
	"sync"

	"kivaloo/kvstore/kv"
)

// An AsyncCommitter is a store that takes transactions without a goroutine
// waiting for each. Transactions take effect in the order of the calls. done is
// called once, by the store's own goroutine, which waits for it, or at once when
// the store is closed: it must not block. The transaction and its bytes belong to
// the store until then.
type AsyncCommitter interface {
	CommitAsync(txn *kv.Txn, done func(kv.Result, error))
}

// asyncCommitter is the store itself, if it can, or goroutines around it.
func asyncCommitter(ctx context.Context, store kv.Store) AsyncCommitter {
	if async, ok := store.(AsyncCommitter); ok {
		return async
	}
	return &ordered{ctx: ctx, store: store, waiting: map[string][]job{}}
}

// ordered gives any store a CommitAsync: a goroutine for each key that is being
// written, which carries out the transactions of that key one by one. It keeps
// the order of single keys only, which is all that protocol v1 promises.
type ordered struct {
	ctx   context.Context
	store kv.Store

	mu sync.Mutex
	// waiting holds, for each key that has a goroutine, what comes after the
	// transaction that it is busy with.
	waiting map[string][]job
}

type job struct {
	txn  *kv.Txn
	done func(kv.Result, error)
}

// CommitAsync begins to carry out a transaction with one effect. Its caller
// counts on done, and so awaits the goroutine.
func (o *ordered) CommitAsync(txn *kv.Txn, done func(kv.Result, error)) {
	key := string(txn.Effects[0].Key)
	o.mu.Lock()
	defer o.mu.Unlock()
	if jobs, busy := o.waiting[key]; busy {
		o.waiting[key] = append(jobs, job{txn, done})
		return
	}
	o.waiting[key] = nil
	go o.run(key, job{txn, done})
}

// run carries out the transactions of a key until none is left.
func (o *ordered) run(key string, next job) {
	for more := true; more; {
		result, err := o.store.Commit(o.ctx, next.txn)
		done := next.done
		// Before done: nothing of this goroutine is left once its last caller is
		// told, except its return.
		next, more = o.next(key)
		done(result, err)
	}
}

func (o *ordered) next(key string) (job, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	jobs := o.waiting[key]
	if len(jobs) == 0 {
		delete(o.waiting, key)
		return job{}, false
	}
	o.waiting[key] = jobs[1:]
	return jobs[0], true
}
