package bench

import (
	"sync"
	"time"
)

// A window is the operations that are under way, in slots. One goroutine takes
// free slots; whoever gets answers gives slots back.
type window struct {
	slots []slot
	wake  chan struct{} // holds one token when something was given; never closed

	mu struct {
		sync.Mutex
		free []uint32
		err  error
	}
}

// A slot is an operation that is under way.
type slot struct {
	op   op
	busy bool
	// version is what a write writes, or what was acknowledged when a read was sent.
	version version
	sent    time.Time // where latencies are wanted
}

func newWindow(depth int) *window {
	w := &window{slots: make([]slot, depth), wake: make(chan struct{}, 1)}
	for i := range w.slots {
		w.mu.free = append(w.mu.free, uint32(i))
	}
	return w
}

// take waits until at least some slots are free, and appends all that are.
func (w *window) take(ids []uint32, atLeast int) ([]uint32, error) {
	for {
		w.mu.Lock()
		err := w.mu.err
		enough := len(w.mu.free) >= atLeast
		if enough {
			ids = append(ids, w.mu.free...)
			w.mu.free = w.mu.free[:0]
		}
		w.mu.Unlock()
		if err != nil || enough {
			return ids, err
		}
		<-w.wake
	}
}

// drain waits until all slots are free, and answers the error if there was one.
func (w *window) drain() error {
	for {
		w.mu.Lock()
		err, all := w.mu.err, len(w.mu.free) == len(w.slots)
		w.mu.Unlock()
		if all {
			return err
		}
		<-w.wake
	}
}

// give gives slots back.
func (w *window) give(ids ...uint32) {
	w.mu.Lock()
	w.mu.free = append(w.mu.free, ids...)
	w.mu.Unlock()
	w.signal()
}

// fail makes take answer an error from now on: the first one.
func (w *window) fail(err error) {
	w.mu.Lock()
	if w.mu.err == nil {
		w.mu.err = err
	}
	w.mu.Unlock()
	w.signal()
}

func (w *window) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// begin puts the next operation of a share in a slot.
func (w *window) begin(id uint32, s *share) *slot {
	o, n := s.take()
	slot := &w.slots[id]
	slot.op, slot.busy = o, true
	if o.kind == read {
		slot.version = s.data.known(o.pair)
	} else {
		slot.version = s.version(n)
	}
	if s.pace == writers {
		slot.sent = time.Now()
	}
	return slot
}
