package kvstore

import (
	"fmt"
	"sync/atomic"
	"time"

	"kivaloo/kvstore/kv"
)

// clockBehindMax is how far the wall clock may lie behind the last stamp: less is
// a correction of the clock, more is a clock that was not set, and files written
// now would be older than those written before.
const clockBehindMax = time.Hour

// A clock draws stamps: wall time, forced to grow. Safe for concurrent use.
type clock struct {
	now  func() time.Time
	last atomic.Uint64 // highest stamp drawn
}

// draw answers the first of n stamps that follow each other.
func (c *clock) draw(n int) uint64 { return c.drawAt(c.read(), n) }

// read is the wall time, as the least stamp that may be drawn now.
func (c *clock) read() uint64 { return uint64(max(c.now().UnixNano(), int64(kv.StampMin))) }

// drawAt is draw at a wall time that was read a moment ago: for who draws many,
// since reading it takes longer than all the rest.
func (c *clock) drawAt(now uint64, n int) uint64 {
	for {
		last := c.last.Load()
		first := max(last+1, now)
		if c.last.CompareAndSwap(last, first+uint64(n)-1) {
			return first
		}
	}
}

// raise makes sure that later stamps are above s.
func (c *clock) raise(s uint64) {
	for last := c.last.Load(); s > last; last = c.last.Load() {
		if c.last.CompareAndSwap(last, s) {
			return
		}
	}
}

// behind is how far the wall clock lies behind the last stamp, if it does.
func (c *clock) behind() time.Duration {
	return max(0, time.Duration(int64(c.last.Load())-c.now().UnixNano()))
}

// check refuses a wall clock far behind the last stamp.
func (c *clock) check() error {
	if d := c.behind(); d > clockBehindMax {
		return fmt.Errorf("%w: it is %v behind the last change in the store; set it, or open with --accept-clock",
			ErrClock, d.Round(time.Second))
	}
	return nil
}
