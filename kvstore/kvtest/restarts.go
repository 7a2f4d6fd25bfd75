package kvtest

import (
	"errors"
	"fmt"

	"kivaloo/kvstore/kv"
)

func reopenTests() []test {
	return []test{
		{"reopen/empty", Reopening, func(e *env) { restartEmpty(e, e.reopen) }},
		{"reopen/keeps everything", Reopening, func(e *env) { restartKeeps(e, e.reopen) }},
		{"reopen/stamps go on growing", Reopening | Stamps, func(e *env) { stampsGoOn(e, e.reopen) }},
		{"reopen/a closed store does nothing", 0, closedStore},
		{"crash/empty", Crashing, func(e *env) { restartEmpty(e, e.crash) }},
		{"crash/keeps what was answered", Crashing, func(e *env) { restartKeeps(e, e.crash) }},
		{"crash/stamps go on growing", Crashing | Stamps, func(e *env) { stampsGoOn(e, e.crash) }},
		{"crash/again and again", Crashing, crashAgain},
	}
}

func restartEmpty(e *env, restart func()) {
	for range 3 {
		restart()
		e.holds(nil)
	}
	e.do(put("k", "v"))
	restart()
	e.holds(pairs{"k": "v"})
}

func restartKeeps(e *env, restart func()) {
	for i := range 200 {
		size := i
		if e.has(Large) && i%10 == 0 {
			size = []int{kv.InlineBytesMax, kv.InlineBytesMax + 1, kv.ChunkBytes, kv.ChunkBytes + 1}[i/10%4]
		}
		e.do(del(fmt.Sprint("k", i%7)))
		e.do(put(fmt.Sprint("k", i%150), text(size)))
		if i%50 == 49 {
			restart()
			e.same()
		}
	}
}

// stampsGoOn: no stamp that a pair carries is drawn again.
func stampsGoOn(e *env, restart func()) {
	for range 5 {
		birth := e.stamp()
		last := e.do(fresh(bringing(put("k", "v"), birth, birth)))
		restart()
		if next := e.stamp(); next <= last.Version {
			e.Fatalf("stamp %d after a restart, %d before", next, last.Version)
		}
		e.same()
	}
}

func closedStore(e *env) {
	e.do(put("k", "v"))
	s := e.store
	e.check(s.Close())
	_, getErr := s.Get(e.ctx, kv.GetRequest{Key: []byte("k")})
	_, scanErr := s.Scan(e.ctx, kv.ScanRequest{})
	_, commitErr := s.Commit(e.ctx, &kv.Txn{Effects: effects(put("k", "w"))})
	for _, err := range []error{getErr, scanErr, commitErr} {
		if !errors.Is(err, kv.ErrClosed) {
			e.Fatalf("%v, want ErrClosed", err)
		}
	}
}

// crashAgain crashes right after writes, and right after an opening that has had
// to put things in order.
func crashAgain(e *env) {
	for i := range 20 {
		e.do(put(fmt.Sprint("k", i%3), text(100*(i%2)+i)))
		e.crash()
		if i%4 == 0 {
			e.crash()
		}
		e.same()
	}
}
