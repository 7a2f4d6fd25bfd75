package mux

import (
	"context"
	"sync"

	"kivaloo/kvstore/kv"
)

// A CrowdCommitter is a store that takes transactions without a goroutine waiting
// for each. They take effect in the order in which they are handed over.
type CrowdCommitter interface {
	CommitCrowd(c *kv.Crowd)
}

// crowdCommitter is the store itself, if it can, or goroutines around it.
func crowdCommitter(ctx context.Context, store kv.Store) CrowdCommitter {
	if crowds, ok := store.(CrowdCommitter); ok {
		return crowds
	}
	return &ordered{ctx: ctx, store: store, waiting: map[string][]job{}}
}

// ordered gives any store a CommitCrowd: a goroutine for each key that is being
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

// A job is a transaction of a crowd.
type job struct {
	crowd *kv.Crowd
	index int
}

// CommitCrowd begins to carry out transactions with one effect each. Its caller
// counts on being answered, and so awaits the goroutines.
func (o *ordered) CommitCrowd(c *kv.Crowd) {
	// A crowd whose last transaction is answered may be gone: that is not before
	// its last one is begun.
	for i, n := 0, len(c.Txns); i < n; i++ {
		o.begin(string(c.Txns[i].Effects[0].Key), job{c, i})
	}
}

func (o *ordered) begin(key string, j job) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if jobs, busy := o.waiting[key]; busy {
		o.waiting[key] = append(jobs, j)
		return
	}
	o.waiting[key] = nil
	go o.run(key, j)
}

// run carries out the transactions of a key until none is left.
func (o *ordered) run(key string, next job) {
	for more := true; more; {
		done := next
		result, err := o.store.Commit(o.ctx, &done.crowd.Txns[done.index])
		// Before the answer: nothing of this goroutine is left once its last caller
		// is told, except its return.
		next, more = o.next(key)
		done.crowd.Answer(done.index, result, err)
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
