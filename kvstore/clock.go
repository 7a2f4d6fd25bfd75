package kvstore

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"kivaloo/kvstore/kv"
)

// clockBehindMax is how far the wall clock may lie behind the last stamp: less is
// a correction of the clock, more is a clock that was not set, and files written
// now would be older than those written before.
const clockBehindMax = time.Hour

// clockMax is the latest time that is believed, in the year 2116: a clock beyond it
// must not use up the stamps, so there are 2^40 more.
const clockMax = int64(kv.StampMax) - 1<<40

// A clock draws stamps: wall time, forced to grow. Safe for concurrent use.
type clock struct {
	now  func() time.Time
	last atomic.Uint64 // highest stamp drawn
	late atomic.Bool   // it was said that the wall clock is far behind that
}

// draw answers the first of n stamps that follow each other.
func (c *clock) draw(n int) uint64 { return c.drawAt(c.read(), n) }

// read is the wall time, as the least stamp that may be drawn now.
func (c *clock) read() uint64 {
	return uint64(min(max(c.now().UnixNano(), int64(kv.StampMin)), clockMax))
}

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

// watch says, once each time, that the wall clock has fallen far behind the last
// stamp: until it has caught up, what changes now seems to be from later.
func (c *clock) watch(now uint64, logger *slog.Logger) {
	last := c.last.Load()
	late := now+uint64(clockBehindMax) < last
	if late == c.late.Load() || c.late.Swap(late) == late {
		return
	}
	if late {
		logger.Warn("the clock is far behind the last change in the store; changes are stamped by counting on from there",
			"behind", time.Duration(last-now).Round(time.Second))
		return
	}
	logger.Info("the clock has caught up with the last change in the store")
}

// check refuses a wall clock far behind the last stamp.
func (c *clock) check() error {
	if d := c.behind(); d > clockBehindMax {
		return fmt.Errorf("%w: it is %v behind the last change in the store; set it, or open with --accept-clock",
			ErrClock, d.Round(time.Second))
	}
	return nil
}
