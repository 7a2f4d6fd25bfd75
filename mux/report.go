package mux

import (
	"log/slog"
	"sync"
	"time"
)

const (
	// reportsMax warnings are written in a reportPeriod. A full disk fails every
	// write of every connection, and the log is on a disk too.
	reportsMax   = 10
	reportPeriod = time.Second
)

// A reporter writes warnings, but no flood of them.
type reporter struct {
	log *slog.Logger
	now func() time.Time

	mu struct {
		sync.Mutex
		began   time.Time
		written int
		dropped int
	}
}

func newReporter(log *slog.Logger) *reporter { return &reporter{log: log, now: time.Now} }

func (r *reporter) warn(msg string, args ...any) {
	ok, dropped := r.admit()
	if dropped > 0 {
		r.log.Warn("warnings were left out", "count", dropped)
	}
	if ok {
		r.log.Warn(msg, args...)
	}
}

// admit says whether one more may be written, and, at the start of a period, how
// many of the period before were not.
func (r *reporter) admit() (ok bool, dropped int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.now(); now.Sub(r.mu.began) >= reportPeriod {
		dropped = r.mu.dropped
		r.mu.began, r.mu.written, r.mu.dropped = now, 0, 0
	}
	if r.mu.written == reportsMax {
		r.mu.dropped++
		return false, dropped
	}
	r.mu.written++
	return true, dropped
}
