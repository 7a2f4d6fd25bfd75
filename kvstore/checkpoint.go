package kvstore

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kivaloo/kvstore/btree"
	"kivaloo/kvstore/delta"
	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
)

const (
	// stepBytes is about how many bytes of pages one step of a checkpoint writes
	// before a ROOT makes them count and what they replace can be freed: well
	// within the two segments in reserve, so that a checkpoint ends on a full disk.
	stepBytes = 4 << 20

	// retryAfter is how long a checkpoint that failed, for lack of space or because
	// of a damaged page, waits before the next attempt.
	retryAfter = time.Second
)

// A checkpointer is the one goroutine that merges deltas into pages. It owns the
// last ROOT.
//
//	freeze → for each step: merge a range of keys → append its pages, then a ROOT →
//	publish the tree → free
//
// The user keyspace is merged first: dropping its pairs says which chunks of the
// system keyspace are to go, and until they have gone each ROOT lists them.
type checkpointer struct {
	db    *DB
	root  item.Root
	place item.RootPlace // where that lies
	wake  chan struct{}  // holds one token
	stop  chan struct{}  // closed by DB.Close
	done  chan struct{}  // closed when the goroutine has ended
	idle  atomic.Bool    // the store is at rest: merge what there is
	let   atomic.Bool    // a snapshot has let segments go: free them
	stuck atomic.Bool    // the last attempt failed: writers are not held up for it

	running sync.Mutex // held during an attempt

	// The attempt under way, kept when it fails so that the next one goes on.
	frozen  *delta.Delta
	redo    uint64
	from    []byte         // where the next step begins
	freeing []byte         // where the next step of freeing begins, if not nil
	held    map[uint64]int // holds of the frozen delta, released at its end
	kept    func(blob uint64) bool
	clean   *cleaning
	planned uint64 // the log's end when cleaning was planned last
	cleaned int64  // what the log took when it was cleaned between two steps

	resting  bool        // the attempt under way is for its own sake: nothing need be merged
	restless atomic.Bool // another attempt may make an idle store smaller
	futile   int         // attempts at that in a row which have not
	grows    bool        // somebody lacked room to write

	attempted atomic.Pointer[time.Time] // the end of the last attempt, if there was one

	asked   atomic.Bool                   // somebody waits for an attempt
	begun   atomic.Uint64                 // attempts
	ended   atomic.Uint64                 // and those that have ended
	settled atomic.Bool                   // the last one found nothing to do
	turn    atomic.Pointer[chan struct{}] // closed when the next attempt ends
}

func newCheckpointer(db *DB, root item.Root, place item.RootPlace) *checkpointer {
	c := &checkpointer{
		db: db, root: root, place: place,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	turn := make(chan struct{})
	c.turn.Store(&turn)
	return c
}

// poke lets the checkpointer look whether there is something to do.
func (c *checkpointer) poke() {
	if !c.db.space.wantsCheckpoint() && !c.db.space.refused.Load() {
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// rest has the delta merged although it is small: there is nothing else to do.
func (c *checkpointer) rest() {
	c.idle.Store(true)
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// release has segments freed that a snapshot was the last to need.
func (c *checkpointer) release() {
	c.let.Store(true)
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// ask has an attempt made, whatever there is to do, and answers its number.
func (c *checkpointer) ask() uint64 {
	n := c.begun.Load() + 1
	c.asked.Store(true) // after n is known: else that one might be the last
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return n
}

// mayFree says whether an attempt from now on could make room.
func (c *checkpointer) mayFree() bool {
	return c.db.space.segmented != nil && !c.stuck.Load() && (c.db.space.unmerged() > 0 || !c.settled.Load())
}

// freed waits for an attempt from now on, if that could make room.
func (c *checkpointer) freed() bool {
	if !c.mayFree() {
		return false
	}
	c.db.space.refused.Store(true)
	for n := c.ask(); ; {
		turn := c.turn.Load()
		if c.ended.Load() >= n {
			return true
		}
		select {
		case <-*turn:
		case <-c.done:
			return false
		}
	}
}

// run is the checkpointer's goroutine.
func (c *checkpointer) run() {
	defer close(c.done)
	for {
		wake, retry := c.wake, (<-chan time.Time)(nil)
		if c.stuck.Load() {
			// Not at every commit: what an attempt writes is lost if it fails.
			wake, retry = nil, time.After(retryAfter)
		}
		select {
		case <-c.stop:
			return
		case <-wake:
		case <-retry:
		}
		idle, asked := c.idle.Swap(false), c.asked.Swap(false)
		if idle && !asked && c.db.space.active.Load() == 0 {
			c.shrink()
		} else if idle || asked || c.db.space.wantsCheckpoint() || c.stuck.Load() || c.mayMakeRoom() {
			c.attempt()
		}
		if c.let.Swap(false) {
			c.freeLet()
		}
	}
}

// freeLet frees what a snapshot has let go.
func (c *checkpointer) freeLet() {
	c.running.Lock()
	defer c.running.Unlock()
	if err := c.free(); err != nil && !errors.Is(err, kv.ErrClosed) && !errors.Is(err, kv.ErrFailed) {
		c.let.Store(true) // with the next checkpoint
		c.db.logger.Debug("segments that a snapshot has let go are not freed yet", "cause", err)
	}
}

// mayMakeRoom says that somebody was refused, and that there is something to merge,
// however little: it may be what was deleted to make room.
func (c *checkpointer) mayMakeRoom() bool {
	s, last := c.db.space, c.attempted.Load()
	return s.refused.Load() && s.active.Load() > 0 && (last == nil || time.Since(*last) > retryAfter)
}

// attempt runs one checkpoint of what there is to merge, and logs once if it fails.
func (c *checkpointer) attempt() error {
	c.running.Lock()
	defer c.running.Unlock()
	err := c.try()
	_, settled := c.db.space.taken()
	c.futile = 0
	c.restless.Store(err == nil && !settled)
	return err
}

// futileMax: the first attempt may only move the redo point to the end of the log,
// so that the next one frees what was before it.
const futileMax = 2

// shrink runs a checkpoint of a store that is at rest, for what it frees. It is
// asked for every second, until it is no use any more; while it is, it comes back
// at once.
func (c *checkpointer) shrink() {
	c.running.Lock()
	defer c.running.Unlock()
	before, _ := c.db.space.taken()
	c.resting = true
	err := c.try()
	c.resting = false
	after, settled := c.db.space.taken()
	if c.futile++; after < before {
		c.futile = 0
	}
	c.restless.Store(err == nil && !settled && c.futile < futileMax)
	if c.restless.Load() && c.futile == 0 {
		c.rest()
	}
}

func (c *checkpointer) try() error {
	c.cleaned = 0
	c.begun.Add(1)
	c.grows = c.db.space.refused.Swap(false)
	c.settled.Store(true)
	err := c.checkpoint()
	now := time.Now()
	c.attempted.Store(&now)
	if err != nil && !c.stuck.Load() && !errors.Is(err, kv.ErrFailed) && !errors.Is(err, kv.ErrClosed) {
		c.db.logger.Error("checkpoint failed, trying again every second", "error", err)
	}
	c.stuck.Store(err != nil)
	c.db.space.look()
	c.ended.Store(c.begun.Load())
	turn := make(chan struct{})
	close(*c.turn.Swap(&turn))
	c.db.queue.wake()
	return err
}

// checkpoint merges all that is in the active delta when it begins.
func (c *checkpointer) checkpoint() error {
	if err := c.begin(); err != nil {
		return err
	}
	for c.frozen != nil {
		if err := c.makeRoom(roomForMerging); err != nil {
			return err
		}
		if err := c.step(); err != nil {
			return err
		}
		if err := c.cleanBetween(); err != nil {
			return err
		}
	}
	if c.grows {
		return c.makeRoom(roomForGrowing)
	}
	return c.makeRoom(roomAfterwards)
}

// begin freezes the active delta, unless an attempt that failed has left one, and
// decides what is cleaned along with it: anew for each attempt, since cleaning may
// be what makes room for it. What cannot be read or copied is not cleaned.
func (c *checkpointer) begin() error {
	c.clean = new(cleaning)
	if c.frozen == nil {
		if err := c.freeze(); err != nil || c.frozen == nil {
			return err
		}
	}
	c.settled.Store(false)
	if u, low := c.db.space.lowSpace(); low && c.db.space.room(&u) < parts(&u, roomForGrowing)+cleanBytes {
		return nil // what is cleaned is cleaned between the steps
	}
	clean, err := c.planCleaning()
	if err != nil {
		c.db.logger.Debug("nothing is cleaned by this checkpoint", "cause", err)
		return nil
	}
	c.clean = clean
	return nil
}

// freeze takes the active delta over, if there is anything in it.
func (c *checkpointer) freeze() error {
	err := c.db.queue.control(func(w *writer) {
		// An empty delta may have its records as well: they keep the redo point back.
		if w.failure == nil && (c.resting || w.applier.delta.Len()+w.applier.delta.Ranges() > 0 || c.db.space.active.Load() > 0) {
			c.frozen, c.redo = w.freeze()
			c.held = w.takeHeld()
			c.kept = blobsOf(c.frozen)
			c.db.space.freeze()
		}
	})
	c.from = []byte{} // a touched page may begin before all keys
	return err
}

// step merges a range of keys and makes it count.
func (c *checkpointer) step() error {
	m := &merge{db: c.db, free: slices.Clone(c.root.Free), kept: c.kept}
	mergeNext, freeing := c.mergeFrom, c.freeing
	if freeing != nil || len(c.root.Free) >= freeRangesMax {
		mergeNext = c.mergeFreed
	}
	tree, next, err := mergeNext(m)
	if err != nil {
		c.freeing = freeing
		return err
	}
	if next != nil && tree.Root == c.root.Tree && len(m.free) == len(c.root.Free) {
		c.from = next // nothing to do in this phase
		return nil
	}
	root := c.nextRoot(m, tree, next == nil)
	if err := c.writeRoot(m, root); err != nil {
		c.freeing = freeing
		return err
	}
	c.from = next
	return c.conclude(m, tree, next == nil)
}

// writeRoot makes a step count.
func (c *checkpointer) writeRoot(m *merge, root item.Root) error {
	c.db.space.exchange(m.born, m.died)
	root.Segments = c.db.space.accounts()
	j := &appendJob{root: &root}
	if _, err := c.db.appendJob(j); err != nil {
		c.db.space.takeBack(m.born, m.died)
		return fmt.Errorf("writing a ROOT: %w", err)
	}
	c.root, c.place = root, j.rootAt
	return nil
}

// conclude publishes what a step has made, and frees what it has left dead.
func (c *checkpointer) conclude(m *merge, tree btree.Tree, done bool) error {
	if err := c.adopt(tree, done); err != nil {
		return err
	}
	for _, p := range m.died {
		c.db.cache.drop(p)
	}
	return c.free()
}

// phases are the ends of the parts of the key space that a checkpoint merges one
// after the other: what is dropped in one says what must go in the next.
var phases = [...][]byte{
	{systemSpace},            // user pairs
	{systemSpace, chunkKind}, // pairs of the system that may have blobs
	{systemSpace + 1},        // chunks
}

// freeRangesMax is how many ranges to be freed come together before they are
// freed in a step of their own: each ROOT lists them.
const freeRangesMax = 4096

// mergeFrom merges from c.from on, within one phase. A nil next is the end of all.
func (c *checkpointer) mergeFrom(m *merge) (tree btree.Tree, next []byte, err error) {
	phase := 0
	for bytes.Compare(c.from, phases[phase]) >= 0 {
		phase++
	}
	chunks := phase == len(phases)-1
	d := c.frozen
	if chunks {
		d = c.frozen.Freeze()
		d.Dropped = nil // the frozen delta has dropped what it owned
		c.deleteFreed(d)
		m.moved = c.clean.moveChunks(d, c.root.Stamp)
	}
	tree, next, err = c.merge(m, newChanges(d, c.from, phases[phase]), c.from, c.clean.before(phases[phase]), c.stepBytes())
	switch {
	case err != nil || next != nil:
	case !chunks && c.isLeft(m, phases[phase]):
		next = phases[phase]
	default:
		m.free = nil // all of them are gone
	}
	return tree, next, err
}

// isLeft says that there is something to do from a key on. Most checkpoints are done
// with the user's pairs: they need no ROOTs, and no flushes, for phases of nothing.
func (c *checkpointer) isLeft(m *merge, from []byte) bool {
	if len(m.free)+len(c.clean.chunks) > 0 || c.clean.touchesFrom(from) {
		return true
	}
	points, ranges := c.frozen.Iterator(), c.frozen.RangeIterator()
	return points.Seek(from) || ranges.Seek(from) || c.frozen.Covering(from) != nil
}

// mergeFreed merges nothing but what is to be freed, until all of it is gone. The
// checkpoint goes on afterwards where it was.
func (c *checkpointer) mergeFreed(m *merge) (tree btree.Tree, next []byte, err error) {
	d := new(delta.Delta)
	c.deleteFreed(d)
	start := phases[len(phases)-2]
	if c.freeing != nil {
		start = c.freeing
	}
	tree, c.freeing, err = c.merge(m, newChanges(d, start, phases[len(phases)-1]), start, nil, c.stepBytes())
	if err == nil && c.freeing == nil {
		m.free = nil
	}
	return tree, c.from, err
}

// deleteFreed deletes in d what the last ROOT says is to be freed.
func (c *checkpointer) deleteFreed(d *delta.Delta) {
	for _, f := range c.root.Free {
		d.DeleteRange(f.Start, f.End, c.root.Stamp, false)
	}
}

func (c *checkpointer) stepBytes() int { return c.db.space.stepBytes(c.db.opts.stepBytes()) }

func (c *checkpointer) merge(m *merge, changes btree.Changes, from []byte, touches []btree.Touch, budget int) (btree.Tree, []byte, error) {
	before := len(m.free)
	tree := btree.Tree{Root: c.root.Tree, Height: c.root.Height}
	tree, next, _, err := btree.Merge(c.db.cache, m, tree, changes, btree.Options{
		Resolve: m.resolve, Dead: m.dead, From: from, Touches: touches,
		BudgetBytes: budget, PageBytes: c.db.opts.PageBytes,
		Stop: func() bool { return len(m.free)-before >= freeRangesMax },
	})
	return tree, next, err
}

// nextRoot is the ROOT after a step.
func (c *checkpointer) nextRoot(m *merge, tree btree.Tree, done bool) item.Root {
	root := c.root
	root.Number++
	root.Tree, root.Height = tree.Root, tree.Height
	root.Stamp = c.db.clock.last.Load()
	root.UserPairs += m.userPairs
	root.SystemPairs += m.systemPairs
	root.Links += m.links
	root.Free = m.free
	if done {
		root.Redo = c.redo
	}
	return root
}

// adopt publishes the new tree.
func (c *checkpointer) adopt(tree btree.Tree, done bool) error {
	if done {
		// From here on the frozen delta is in the tree.
		c.frozen = nil
		c.db.space.merged()
		for first, n := range c.held {
			c.db.space.release(first, n)
		}
		c.held = nil
	}
	c.db.userPairs.Store(c.root.UserPairs)
	c.db.treeLinks.Store(c.root.Links)
	c.db.roots.Store(c.root.Number)
	err := c.db.queue.soon(func(w *writer) { w.adopt(tree, done) })
	c.db.space.settle()
	return err
}

// free gives back what the last ROOT has made dead. Another append comes first:
// without one, damage to the ROOT could not be told from a torn append, and the
// ROOT before needs what is to be freed.
func (c *checkpointer) free() error {
	if !c.db.space.canFree(c.root.Redo, c.place) {
		return nil
	}
	if _, err := c.db.append(nil); err != nil {
		return err
	}
	return c.db.space.free(c.root.Redo, c.place)
}
