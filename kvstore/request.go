package kvstore

import (
	"sync"

	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
	"kivaloo/kvstore/page"
)

// A request is a transaction on its way through the writer.
type request struct {
	txn     *kv.Txn
	session *session // who asks, or nil
	// blobs are values that were written ahead (stageValues), by effect; ahead are
	// patches that were; held the segments that are held for both.
	blobs map[int]stagedBlob
	ahead map[*kv.Effect]*aheadPatch
	held  []uint64
	// inMemory is how much staged data has been read into the transaction.
	inMemory int64
	// internal, if not nil, runs in the writer instead of a transaction's effects:
	// it may emit operations.
	internal func(w *writer) error

	// Who asked is told by done, or by the crowd that the transaction is one of.
	done    func(kv.Result, error)
	crowd   *kv.Crowd
	index   int
	refused bool // never queued

	result  kv.Result
	err     error
	grows   bool // needs room that deleting does not give back
	waits   int  // for checkpoints to free some
	from    int  // size of the batch when it was begun
	changes []kv.Change
}

// answer gives the outcome to who asked.
func (r *request) answer() {
	if r.err != nil {
		r.result = kv.Result{}
	}
	if r.crowd != nil {
		r.crowd.Answer(r.index, r.result, r.err)
		return
	}
	r.done(r.result, r.err)
}

// fail answers with an error.
func (r *request) fail(err error) {
	r.err = err
	r.answer()
}

// A stagedBlob is a blob whose chunks are in the log and named by nobody yet.
type stagedBlob struct {
	blob item.Blob
	refs []page.Ref // chunk i
}

// An appendJob is items that ride in an append behind commits: staged chunks, or
// a checkpoint's pages and ROOT.
type appendJob struct {
	items  [][]byte
	root   *item.Root // written twice after the items
	rootAt item.RootPlace
	grows  bool // chunks that are staged: they may not use the reserve
	places []page.Place
	held   []uint64 // of staged chunks, each one's segment, held for who staged it
	done   chan error
}

// bytes is about how much room the job takes.
func (j *appendJob) bytes() int {
	n := 0
	for _, it := range j.items {
		n += len(it) + item.Step
	}
	return n
}

// A queue hands requests of many goroutines to the writer, in the order of the
// calls of put.
type queue struct {
	mu struct {
		sync.Mutex
		requests []*request
		jobs     []*appendJob
		controls []func(w *writer)
		soon     []func(w *writer)
		closed   error // why nothing more is taken
		stopping bool  // the writer ends when it has nothing left to do
	}
	ready chan struct{} // holds one token while there may be something; never closed
}

func (q *queue) put(r *request) {
	q.mu.Lock()
	closed := q.mu.closed
	if closed == nil {
		q.mu.requests = append(q.mu.requests, r)
	}
	q.mu.Unlock()
	if closed != nil {
		r.fail(closed)
		return
	}
	q.wake()
}

func (q *queue) putJob(j *appendJob) {
	q.mu.Lock()
	closed := q.mu.closed
	if closed == nil {
		q.mu.jobs = append(q.mu.jobs, j)
	}
	q.mu.Unlock()
	if closed != nil {
		j.done <- closed
		return
	}
	q.wake()
}

// control runs f in the writer at a moment when nothing is being flushed or
// evaluated, and waits for it. It costs others the time of a flush.
func (q *queue) control(f func(w *writer)) error { return q.within(&q.mu.controls, f) }

// soon runs f in the writer, between two transactions and perhaps during a flush,
// and waits for it.
func (q *queue) soon(f func(w *writer)) error { return q.within(&q.mu.soon, f) }

func (q *queue) within(list *[]func(w *writer), f func(w *writer)) error {
	done := make(chan struct{})
	q.mu.Lock()
	closed := q.mu.closed
	if closed == nil {
		*list = append(*list, func(w *writer) { f(w); close(done) })
	}
	q.mu.Unlock()
	if closed != nil {
		return closed
	}
	q.wake()
	<-done
	return nil
}

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take moves what is queued to the writer's own lists.
func (q *queue) take(w *writer) {
	q.mu.Lock()
	w.requests = append(w.requests, q.mu.requests...)
	clear(q.mu.requests)
	q.mu.requests = q.mu.requests[:0]
	w.jobs = append(w.jobs, q.mu.jobs...)
	q.mu.jobs = q.mu.jobs[:0]
	w.controls = append(w.controls, q.mu.controls...)
	q.mu.controls = q.mu.controls[:0]
	w.soon = append(w.soon, q.mu.soon...)
	q.mu.soon = q.mu.soon[:0]
	w.stopping = q.mu.stopping
	q.mu.Unlock()
}

// close refuses what comes from now on.
func (q *queue) close(why error) {
	q.mu.Lock()
	if q.mu.closed == nil {
		q.mu.closed = why
	}
	q.mu.Unlock()
	q.wake()
}

// stop ends the writer: at once, or, clean, after one more append that proves the
// last one and says that nothing comes after it.
func (q *queue) stop(clean bool) {
	q.mu.Lock()
	if clean {
		q.mu.controls = append(q.mu.controls, func(w *writer) { w.open.clean, w.open.idle = true, true })
	}
	q.mu.stopping = true
	if q.mu.closed == nil {
		q.mu.closed = kv.ErrClosed
	}
	q.mu.Unlock()
	q.wake()
}
