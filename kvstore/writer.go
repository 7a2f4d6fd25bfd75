package kvstore

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"kivaloo/kvstore/btree"
	"kivaloo/kvstore/delta"
	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
	"kivaloo/kvstore/page"
	"kivaloo/lbs"
)

// idleAfter is how long after the last commit a small append proves it: damage to
// it can then be told from an append that was never acknowledged.
const idleAfter = time.Second

// A writer is the one goroutine that decides transactions, composes appends and
// publishes states. While one batch is being flushed it evaluates the next on
// top of it; no timer is involved, so a lone transaction goes at once and a crowd
// shares a flush:
//
//	take → evaluate → compose → flush (another goroutine) → publish → answer
//
// An append that is refused for lack of space takes what was evaluated on top of
// it along: that is evaluated again. After any other error nothing more is taken.
type writer struct {
	db       *DB
	requests []*request // taken, not evaluated yet
	jobs     []*appendJob
	controls []func(w *writer)
	soon     []func(w *writer)

	now uint64 // wall time as of the round of evaluation under way

	// What the next transaction sees. Its active delta is the applier's.
	working *state
	applier *applier
	version uint64 // stamp of the last effect evaluated

	open     *batch           // being filled
	flushing *batch           // or nil
	spares   []*batch         // to be filled again; one is answered while the next is flushed
	flushes  chan flush       // closed when the writer ends
	flushed  chan flushResult // closed by the flusher

	// The log as of the last append that was flushed.
	next   uint64
	last   uint64
	number uint64
	root   item.RootPlace
	redo   uint64
	dirty  bool // a commit or ROOT has no later append to prove it yet
	// since is where the records of the active delta begin, NoBlock if there is none.
	since uint64
	// undurable says that the working state is ahead of the published one.
	undurable atomic.Bool
	failure   error
	// stopping says that the writer is to end when nothing is left to do.
	stopping bool
	// awaited is the attempt of a checkpoint that must end before anything else is
	// evaluated: it may free what was lacking.
	awaited uint64

	frozenDelta *delta.Delta // immutable; what the checkpoint under way merges
	tree        btree.Tree

	// held counts, by segment, the holds of the active delta; chunks in blocks
	// from written on need none (see named).
	held    map[uint64]int
	written uint64

	undo undo // of the transaction that is being evaluated

	key, value, chunkKey []byte // scratch
}

type flush struct {
	first   uint64
	payload []byte
	room    lbs.Room
}

type flushResult struct {
	next uint64
	err  error
}

// run is the writer's goroutine.
func (w *writer) run() {
	defer close(w.db.writerDone)
	idle := time.NewTimer(idleAfter)
	defer idle.Stop()
	for {
		w.db.queue.take(w)
		w.step()
		if w.stopping && w.flushing == nil && len(w.requests) == 0 {
			break
		}
		select {
		case <-w.db.queue.ready:
		case res := <-w.flushed:
			w.finish(res)
		case <-idle.C:
			w.rest()
		}
		idle.Reset(idleAfter)
	}
	close(w.flushes)
}

// runFlusher appends what the writer composes, one append at a time.
func (w *writer) runFlusher() {
	defer close(w.flushed)
	for f := range w.flushes {
		next, err := w.db.log.Append(f.first, f.payload, f.room)
		w.flushed <- flushResult{next, err}
	}
}

// step does all that can be done without waiting.
func (w *writer) step() {
	w.runAll(&w.soon)
	for {
		if w.failure != nil {
			w.failAll()
			return
		}
		w.evaluateTaken()
		switch {
		case w.flushing != nil:
			return
		case w.startFlush():
		case len(w.controls) > 0:
			w.runAll(&w.controls)
		case len(w.requests) == 0 || w.slowed():
			return
		}
	}
}

// evaluateTaken evaluates taken requests into the open batch until it is full.
// While controls wait, nothing new is begun: they need a moment between batches.
func (w *writer) evaluateTaken() {
	if len(w.requests) == 0 || len(w.controls) > 0 || w.slowed() {
		return
	}
	w.db.evaluating.Lock()
	w.written, w.now = w.open.first, w.db.clock.read()
	w.db.clock.watch(w.now, w.db.logger)
	n := 0
	for n < len(w.requests) && !w.full() && w.evaluate(w.requests[n]) {
		n++
	}
	w.noteUndurable()
	w.db.evaluating.Unlock()
	rest := copy(w.requests, w.requests[n:])
	clear(w.requests[rest:])
	w.requests = w.requests[:rest]
}

func (w *writer) noteUndurable() {
	w.undurable.Store(w.flushing != nil || w.open.record.Count() > 0)
}

// full says that the open batch takes no more.
func (w *writer) full() bool {
	s := w.db.space
	return w.open.full(s.appendBytes(batchRecordBytesMax), s.appendBytes(batchBodyBytesMax))
}

// slowed says whether writers must wait for the checkpoint: the log since the
// redo point is at its bound, or the checkpoint needs what room there is.
func (w *writer) slowed() bool {
	c := w.db.checkpoint
	switch {
	case w.stopping:
		return false // no checkpoint would come
	case c.ended.Load() < w.awaited:
		return true
	case c.stuck.Load():
		return false
	case w.db.space.logFull():
		c.poke() // a log may be full from the start, after a crash
		return true
	case w.db.space.unmerged() > 0 && !w.db.space.deletable():
		w.awaited = c.ask()
		return true
	}
	return false
}

// mayWait says whether a request that finds no room should be evaluated again
// after the next checkpoint, which then is waited for.
func (w *writer) mayWait(r *request) bool {
	if r.waits == waitsMax || w.stopping || !w.db.checkpoint.mayFree() {
		return false
	}
	r.waits++
	w.awaited = w.db.checkpoint.ask()
	return true
}

// startFlush sends the open batch off, if there is anything in it.
func (w *writer) startFlush() bool {
	b := w.open
	w.addJobs(b)
	if b.empty() {
		// Nothing to write: what was asked rests on what is durable already.
		w.db.pins.settle(w.db.pins.mark())
		w.answer(b)
		b.reset(w.next, w.base())
		return false
	}
	b.after = w.applier.delta.Freeze()
	b.version = w.version
	b.pins = w.db.pins.mark()
	t := item.Trailer{
		Store: w.db.id, Number: w.number + 1, Previous: w.last,
		Root: w.root, Redo: w.redo, Stamp: w.db.clock.last.Load(),
	}
	payload := b.compose(&t, w.db.blockBytes)
	w.flushing, w.open = b, w.spareBatch()
	w.open.reset(b.first+uint64((len(payload)+lbs.SealBytes)/w.db.blockBytes), w.base())
	w.flushes <- flush{b.first, payload, b.room()}
	return true
}

// base is what the stamps of the next batch are counted from.
func (w *writer) base() uint64 { return w.db.clock.last.Load() }

// addJobs lets waiting items ride in the batch. While controls wait they wait as
// well: else those who stage data one after the other would never leave a moment
// between batches.
func (w *writer) addJobs(b *batch) {
	if len(w.controls) > 0 {
		return
	}
	bytes, most := 0, w.db.space.appendBytes(w.jobBytesMax())
	for len(w.jobs) > 0 && bytes < most && b.rootAt == nil {
		j := w.jobs[0]
		if j.grows && b.alone || bytes > 0 && w.db.space.low.Load() && bytes+j.bytes() > most {
			return
		}
		w.jobs = w.jobs[1:]
		b.jobs = append(b.jobs, j)
		b.grows = b.grows || j.grows
		bytes += j.bytes()
		if j.root != nil {
			return
		}
	}
}

// jobBytesMax is how many bytes of items may ride in one append. Where the log is
// almost at its bound, commits wait for the checkpoint anyway.
func (w *writer) jobBytesMax() int {
	if w.db.space.pressed() {
		return pressedJobBytesMax
	}
	return jobBytesMax
}

// finish deals with the outcome of a flush.
func (w *writer) finish(res flushResult) {
	b := w.flushing
	w.flushing = nil
	switch {
	case errors.Is(res.err, lbs.ErrNoSpace):
		w.refuse(b, res.err)
	case res.err != nil:
		w.fail(b, res.err)
	default:
		w.succeed(b, res.next)
	}
	b.reset(0, 0)
	w.spares = append(w.spares, b)
}

func (w *writer) spareBatch() *batch {
	last := len(w.spares) - 1
	if last < 0 {
		return new(batch)
	}
	b := w.spares[last]
	w.spares = w.spares[:last]
	return b
}

func (w *writer) succeed(b *batch, next uint64) {
	w.last = b.first + uint64((len(b.payload)+lbs.SealBytes)/w.db.blockBytes) - 1
	w.next = next
	w.number++
	w.dirty = b.record.Count() > 0 || b.rootAt != nil
	if b.rootAt != nil {
		w.root, w.redo = *b.rootAt, b.redo
	}
	bytes, commits := int64(len(b.payload))+lbs.SealBytes, int64(0)
	if b.record.Count() > 0 {
		commits = bytes - int64(b.jobBytes())
		w.since = min(w.since, b.first)
	}
	w.db.space.appended(bytes, commits)
	w.db.pins.settle(b.pins)
	w.publish(b.after, b.version)
	w.noteUndurable()
	if w.open.first != next {
		w.reevaluate(w.open.requests)
	}
	if len(w.open.requests) > 0 || len(w.jobs) > 0 {
		w.startFlush() // keep the disk busy before telling anybody
	}
	w.answer(b)
	for _, j := range b.jobs {
		w.hold(j)
		j.done <- nil
	}
	w.db.checkpoint.poke()
}

// publish lets readers see what is durable.
func (w *writer) publish(active *delta.Delta, version uint64) {
	s := &state{active: active, frozen: w.frozenDelta, tree: w.tree, version: version}
	w.db.state.Store(s)
}

// answer gives every request of a batch its outcome, after observers of others
// have confirmed the changes.
func (w *writer) answer(b *batch) {
	w.db.hub.deliver(b.requests)
}

// refuse has all of a batch evaluated again, in its order, if a checkpoint may free
// what it needs. Else it answers that there is no room to all that needs room. The
// rest is evaluated again, alone, so that what does need room cannot take it along
// once more; what was evaluated on top waits its turn again.
func (w *writer) refuse(b *batch, err error) {
	w.db.space.look()
	w.db.space.low.Store(true)
	w.db.space.refused.Store(true)
	w.db.checkpoint.poke()
	waits := w.allWait(b)
	var again []*request
	var jobs []*appendJob
	for _, r := range b.requests {
		if !waits && r.err == nil && (!b.grows || r.grows) {
			r.fail(fromLog(err))
		} else {
			again = append(again, r)
		}
	}
	for _, j := range b.jobs {
		if b.grows && !j.grows {
			jobs = append(jobs, j) // it may still fit without the growth
			continue
		}
		j.done <- fromLog(err)
	}
	w.jobs = append(jobs, w.jobs...)
	w.requests = append(slices.Clone(w.open.requests), w.requests...)
	if waits {
		w.requests = append(again, w.requests...)
		again = nil
	}
	w.reevaluate(again)
	if len(again)+len(jobs) > 0 {
		w.open.alone = true
		w.startFlush() // before anybody who would have it refused once more joins
	}
}

// allWait says whether what needs room in a batch waits for the next checkpoint.
func (w *writer) allWait(b *batch) bool {
	waits := false
	for _, r := range b.requests {
		if r.err == nil && (!b.grows || r.grows) && w.mayWait(r) {
			waits = true
		}
	}
	return waits
}

// reevaluate evaluates requests again, on top of what is durable. What does not
// fit into the batch waits for the next one.
func (w *writer) reevaluate(again []*request) {
	again = slices.Clone(again)
	durable := w.db.state.Load()
	w.db.evaluating.Lock()
	defer w.db.evaluating.Unlock()
	w.resetWorking(durable.active.Freeze(), durable.version)
	w.db.pins.rewind(0)
	w.open.reset(w.next, w.base())
	w.written, w.now = w.open.first, w.db.clock.read()
	for len(again) > 0 && !w.full() && w.evaluate(again[0]) {
		again = again[1:]
	}
	w.requests = append(again, w.requests...)
	w.noteUndurable()
}

// resetWorking makes the writer go on from a durable delta.
func (w *writer) resetWorking(active *delta.Delta, version uint64) {
	w.applier.use(active)
	w.working = &state{active: active, frozen: w.frozenDelta, tree: w.tree, version: version}
	w.version = version
}

// fail ends the writing: nobody knows what of the append is on the disk.
func (w *writer) fail(b *batch, err error) {
	w.failure = fromLog(err)
	w.db.logger.Error("the log has failed; reading goes on, writing needs a restart", "error", err)
	w.db.queue.close(w.failure)
	for _, r := range b.requests {
		r.fail(w.failure)
	}
	for _, j := range b.jobs {
		j.done <- w.failure
	}
}

func (w *writer) failAll() {
	w.db.queue.take(w)
	for _, r := range append(w.open.requests, w.requests...) {
		r.fail(w.failure)
	}
	w.open.requests, w.requests = w.open.requests[:0], nil
	for _, j := range w.jobs {
		j.done <- w.failure
	}
	w.jobs = nil
	w.runAll(&w.soon)
	w.runAll(&w.controls)
}

// runAll runs what others want done in the writer.
func (w *writer) runAll(list *[]func(w *writer)) {
	if len(*list) == 0 {
		return
	}
	fs := *list
	*list = nil
	w.db.evaluating.Lock()
	defer w.db.evaluating.Unlock()
	for _, f := range fs {
		f(w)
	}
}

// rest is called after each second without anything to do. The first time it
// proves the last commit by a small append; after that it has what is in the delta
// merged, so that an idle store has freed what its last changes left dead, and
// cleaned for as long as that makes it smaller.
func (w *writer) rest() {
	switch {
	case w.failure != nil || w.flushing != nil || len(w.open.requests) > 0:
	case w.dirty:
		w.open.idle = true
		w.startFlush()
	case w.db.space.active.Load() > 0 || w.db.checkpoint.restless.Load():
		w.db.checkpoint.rest()
	}
}

// freeze makes the active delta the one to be merged. It answers the block from
// which records will be needed once that is done.
func (w *writer) freeze() (frozen *delta.Delta, redo uint64) {
	w.frozenDelta = w.applier.delta.Freeze()
	w.since = lbs.NoBlock
	w.resetWorking(new(delta.Delta), w.version)
	w.publish(new(delta.Delta), w.version)
	return w.frozenDelta, w.next
}

// needed is the block from which records are needed when nothing is frozen.
func (w *writer) needed() uint64 { return min(w.since, w.next) }

// adopt publishes the tree of a ROOT that is durable; done drops the delta that
// is merged in it.
func (w *writer) adopt(tree btree.Tree, done bool) {
	w.tree = tree
	if done {
		w.frozenDelta = nil
	}
	w.working.tree, w.working.frozen = w.tree, w.frozenDelta
	w.publish(w.db.state.Load().active, w.db.state.Load().version)
}

// commit waits for a request.
func (db *DB) commit(r *request) (kv.Result, error) {
	done := make(chan struct{})
	var result kv.Result
	var err error
	r.done = func(res kv.Result, e error) {
		result, err = res, e
		close(done)
	}
	db.queue.put(r)
	<-done
	return result, err
}

// append waits for items to be in the log. They may use the reserve.
func (db *DB) append(items [][]byte) ([]page.Place, error) {
	return db.appendJob(&appendJob{items: items})
}

func (db *DB) appendJob(j *appendJob) ([]page.Place, error) { return db.submit(j).wait() }

// submit hands a job over; wait waits for it to be in the log.
func (db *DB) submit(j *appendJob) *appendJob {
	j.done = make(chan error, 1)
	db.queue.putJob(j)
	return j
}

func (j *appendJob) wait() ([]page.Place, error) {
	if err := <-j.done; err != nil {
		return nil, fmt.Errorf("append of %d items: %w", len(j.items), err)
	}
	return j.places, nil
}
