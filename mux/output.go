package mux

import (
	"net"
	"sync"
	"time"

	"kivaloo/mux/wire"
)

// lingerMax is how long a connection that is to be closed waits for its client
// to read each buffer of its last answers.
const lingerMax = 30 * time.Second

// An output is the way of answers to a client, and the account of what the
// connection holds. Any goroutine may put answers in; one, run, sends them.
type output struct {
	nc net.Conn

	mu struct {
		sync.Mutex
		quota    quota
		inFlight int // writes that the store has not answered
		queued   []byte
		ending   bool // nothing more will be begun
		broken   bool // the client is gone: answers are dropped
	}
	work sync.Cond // the sender waits for queued or the end
	room sync.Cond // the reader waits for memory, or for the last answer
}

func (o *output) init(nc net.Conn, shared *pool) {
	o.nc = nc
	o.mu.quota.shared = shared
	o.work.L, o.room.L = &o.mu, &o.mu
}

// begin makes room for writes in flight, at most n, and answers for how many.
func (o *output) begin(n int) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.beginLocked(n)
}

// waitBegin does the same, for at least one, when there is room at last.
func (o *output) waitBegin(n int) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		if got := o.beginLocked(n); got > 0 {
			return got
		}
		o.room.Wait()
	}
}

func (o *output) beginLocked(n int) int {
	got := 0
	for got < n && o.mu.quota.take(opBytes) {
		got++
	}
	o.mu.inFlight += got
	return got
}

// giveBack ends writes that room was made for and that never came.
func (o *output) giveBack(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended(n, 0)
}

// finish ends writes, with an answer where there is a status for the outcome. It
// does not block.
func (o *output) finish(writes []write, errs []error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := len(o.mu.queued)
	if !o.mu.broken {
		o.prepare()
		o.mu.queued = appendStatuses(o.mu.queued, writes, errs)
	}
	o.ended(len(writes), len(o.mu.queued)-before)
}

func appendStatuses(dst []byte, writes []write, errs []error) []byte {
	for i, err := range errs {
		switch {
		case err == nil:
			dst = wire.AppendStatus(dst, writes[i].id, wire.StatusDone)
		case !failed(err):
			dst = wire.AppendStatus(dst, writes[i].id, wire.StatusNotDone)
		}
	}
	return dst
}

// ended gives back the room of n writes, except for the bytes of their answers.
func (o *output) ended(n, answers int) {
	o.mu.inFlight -= n
	o.mu.quota.give(n*opBytes - answers)
	o.room.Signal()
	if answers > 0 {
		o.work.Signal()
	}
}

// put queues answers, at most connBytesMin of them, when there is room.
func (o *output) put(answers []byte) {
	if len(answers) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.mu.broken && !o.mu.quota.take(len(answers)) {
		o.room.Wait()
	}
	if o.mu.broken {
		return
	}
	o.prepare()
	o.mu.queued = append(o.mu.queued, answers...)
	o.work.Signal()
}

// drain waits until the store has answered everything, and lets run end once the
// rest is sent.
func (o *output) drain() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.nc.SetWriteDeadline(time.Now().Add(lingerMax))
	o.mu.ending = true
	for o.mu.inFlight > 0 {
		o.room.Wait()
	}
	o.work.Signal()
}

// run sends answers until drain, or until the client is gone.
func (o *output) run() {
	var sending []byte
	for {
		sending = o.next(sending)
		if len(sending) == 0 {
			return
		}
		if _, err := o.nc.Write(sending); err != nil {
			o.breakOff(len(sending))
			o.nc.Close() // so that the reader notices
			return
		}
	}
}

// next gives back the answers that were sent, and waits for more.
func (o *output) next(sent []byte) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.quota.give(len(sent))
	o.room.Signal()
	if len(o.mu.queued) == 0 { // this may take long
		recycle(o.mu.queued)
		recycle(sent)
		o.mu.queued, sent = nil, nil
	}
	for len(o.mu.queued) == 0 && !(o.mu.ending && o.mu.inFlight == 0) {
		o.work.Wait()
	}
	if o.mu.ending {
		o.nc.SetWriteDeadline(time.Now().Add(lingerMax))
	}
	next := o.mu.queued
	o.mu.queued = sent[:0]
	return next
}

// prepare sees to a buffer for answers: an idle connection has none.
func (o *output) prepare() {
	if o.mu.queued == nil {
		o.mu.queued = newBuffer()
	}
}

// breakOff drops the answers: nobody will read them.
func (o *output) breakOff(sending int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.broken = true
	o.mu.quota.give(sending + len(o.mu.queued))
	o.mu.queued = nil
	o.room.Broadcast()
}
