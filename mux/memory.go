package mux

import "sync/atomic"

// Requests in flight and answers that were not sent yet take memory. Each
// connection has connBytesMin to itself, so that it can always go on, and shares
// what is beyond with the others: whoever does not read its answers can use up
// the shared part, which makes the others' pipelines shorter, but no emptier.
const (
	// connBytesMin holds the largest answer, and a crowd of requests.
	connBytesMin = 128 << 10
	// connBytesMax lets the original's clients keep their 4096 requests in
	// flight, twice; beyond that memory grows and throughput does not.
	connBytesMax = 8 << 20
	// sharedBytesMax is what all connections have together, beyond their own.
	sharedBytesMax = 256 << 20
	// borrowBytes is what a connection borrows at a time, so that the shared
	// counter is seldom touched.
	borrowBytes = 64 << 10
)

// A pool is memory that connections share.
type pool struct{ free atomic.Int64 }

func newPool(bytes int64) *pool {
	p := &pool{}
	p.free.Store(bytes)
	return p
}

func (p *pool) borrow(n int) bool {
	if p.free.Add(int64(-n)) >= 0 {
		return true
	}
	p.free.Add(int64(n))
	return false
}

func (p *pool) giveBack(n int) { p.free.Add(int64(n)) }

// A quota counts the memory of one connection. Its owner locks it.
type quota struct {
	shared   *pool
	used     int
	borrowed int
}

// take takes n bytes, of at most connBytesMin, if they may be had now. With
// nothing in use it always succeeds.
func (q *quota) take(n int) bool {
	for q.used+n > connBytesMin+q.borrowed {
		if connBytesMin+q.borrowed+borrowBytes > connBytesMax || !q.shared.borrow(borrowBytes) {
			return false
		}
		q.borrowed += borrowBytes
	}
	q.used += n
	return true
}

// give gives back n bytes. What was borrowed is kept until all is given back or
// far more is borrowed than used: a busy pipeline would only borrow it again.
func (q *quota) give(n int) {
	q.used -= n
	if q.used == 0 {
		q.shared.giveBack(q.borrowed)
		q.borrowed = 0
		return
	}
	for q.borrowed > 2*q.used+borrowBytes {
		q.shared.giveBack(borrowBytes)
		q.borrowed -= borrowBytes
	}
}
