package kvtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kivaloo/kvstore/kv"
)

func watchTests() []test {
	tests := []test{
		{"watch/from now on", Watches, watchFromNowOn},
		{"watch/after a version", Watches | Stamps, watchAfterVersion},
		{"watch/range", Watches, watchRange},
		{"watch/transaction comes whole", Watches | Txns | Stamps, watchTransactionWhole},
		{"watch/waiting ends", Watches, watchWaitingEnds},
		{"watch/misses nothing silently", Watches | Stamps, watchMissesNothing},
		{"watch/over a restart", Watches | Stamps | Reopening, watchOverRestart},
	}
	for _, c := range observeCases {
		needs := Watches | Txns | needsOf(c.setup) | needsOf(c.txn)
		tests = append(tests, test{"watch/" + c.name, needs, c.watch})
	}
	return tests
}

func (e *env) watch(req kv.WatchRequest) kv.Watcher {
	e.Helper()
	w, err := e.store.Watch(e.ctx, req)
	e.check(err)
	e.Cleanup(func() { w.Close() })
	return w
}

// changes waits for the next changes. They are in order, and above a version.
func (e *env) changes(w kv.Watcher, after kv.Stamp) []kv.Change {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.ctx, e.wait)
	defer cancel()
	changes, err := w.Next(ctx)
	e.check(err)
	if len(changes) == 0 {
		e.Fatalf("no changes, and no error")
	}
	inOrder(e, changes, after)
	return changes
}

// inOrder: versions grow, or are the same for the several names of a pair.
func inOrder(e *env, changes []kv.Change, after kv.Stamp) {
	e.Helper()
	for i := range changes {
		if v := changes[i].Version; v <= after || i > 0 && v < changes[i-1].Version {
			e.Fatalf("change %d has version %d, after %d: %v", i, v, after, changes)
		}
	}
}

// watch sees everything that an observer of the key is told of.
func (c *observeCase) watch(e *env) {
	for _, step := range c.setup {
		e.do(step)
	}
	after := e.oracle.model.version
	w := e.watch(kv.WatchRequest{Start: []byte("k"), End: []byte("k\x00")})
	e.do(c.txn...)
	changes := e.changes(w, after)
	for _, op := range c.told {
		if !hasChange(changes, "k", op) {
			e.Fatalf("seen %v, want %d of k", changes, op)
		}
	}
}

func watchFromNowOn(e *env) {
	e.do(put("k", "before"))
	after := e.oracle.model.version
	w := e.watch(kv.WatchRequest{})
	e.do(put("l", "after"))
	if changes := e.changes(w, after); !hasChange(changes, "l", kv.Created) || hasChange(changes, "k", kv.Created) {
		e.Fatalf("seen %v", changes)
	}
}

func watchAfterVersion(e *env) {
	e.do(put("a", ""))
	after := e.do(put("b", "")).Version
	e.do(put("c", ""))
	last := e.do(put("d", ""))
	w := e.watch(kv.WatchRequest{After: after})
	var seen []kv.Change
	for len(seen) == 0 || seen[len(seen)-1].Version < last.Version {
		seen = append(seen, e.changes(w, after)...)
		after = seen[len(seen)-1].Version
	}
	if len(seen) != 2 || !hasChange(seen, "c", kv.Created) || !hasChange(seen, "d", kv.Created) {
		e.Fatalf("seen %v, want c and d", seen)
	}
	w = e.watch(kv.WatchRequest{After: last.Version})
	e.do(put("e", ""))
	if changes := e.changes(w, last.Version); !hasChange(changes, "e", kv.Created) {
		e.Fatalf("seen %v", changes)
	}
}

func watchRange(e *env) {
	w := e.watch(kv.WatchRequest{Start: []byte("b"), End: []byte("d")})
	for _, key := range []string{"a", "b", "c\xff", "d", "e", "", "b/"} {
		e.do(put(key, "v"))
	}
	var seen []kv.Change
	for !hasChange(seen, "b/", kv.Created) {
		seen = append(seen, e.changes(w, 0)...)
	}
	if len(seen) != 3 || !hasChange(seen, "b", kv.Created) || !hasChange(seen, "c\xff", kv.Created) {
		e.Fatalf("seen %v, want b, c\\xff and b/", seen)
	}
}

func watchTransactionWhole(e *env) {
	w := e.watch(kv.WatchRequest{})
	for i := range 20 {
		var txn []kv.Effect
		for j := range 1 + i*20 {
			txn = append(txn, put(fmt.Sprint("k", j), "v"))
		}
		e.do(txn...)
	}
	after, seen := kv.Stamp(0), 0
	for seen < 20+20*190 {
		changes := e.changes(w, after)
		last := changes[len(changes)-1]
		if p := e.oracle.model; last.Version != p.version && !endsTransaction(last.Version, p) {
			e.Fatalf("changes end with version %d, in the middle of a transaction", last.Version)
		}
		after = last.Version
		seen += len(changes)
	}
}

// endsTransaction says whether a version is the last of a transaction.
func endsTransaction(version kv.Stamp, m *Model) bool {
	for _, r := range m.ring {
		if r.version == version {
			return true
		}
	}
	return false
}

func watchWaitingEnds(e *env) {
	w := e.watch(kv.WatchRequest{})
	ctx, cancel := context.WithTimeout(e.ctx, e.settle())
	defer cancel()
	if _, err := w.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		e.Fatalf("%v, want the deadline", err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := w.Next(e.ctx)
		ended <- err
	}()
	time.Sleep(e.settle())
	e.check(w.Close())
	select {
	case err := <-ended:
		if !errors.Is(err, kv.ErrClosed) {
			e.Fatalf("%v, want ErrClosed", err)
		}
	case <-time.After(e.wait):
		e.Fatalf("closed, but Next waits on")
	}
}

// watchMissesNothing has a watcher read nothing for a long time. It may fall
// behind then, and be told so, but not skip a change.
func watchMissesNothing(e *env) {
	w := e.watch(kv.WatchRequest{})
	const n = 6000
	for i := range n / 100 {
		var txn []kv.Effect
		for j := range 100 {
			txn = append(txn, put(fmt.Sprintf("%06d", i*100+j), ""))
		}
		if !e.has(Txns) {
			txn = txn[:1]
		}
		e.do(txn...)
	}
	checkNothingMissed(e, w, 0)
}

// checkNothingMissed reads up to the last change and compares with the model's.
func checkNothingMissed(e *env, w kv.Watcher, after kv.Stamp) {
	e.Helper()
	var want []kv.Change
	for _, r := range e.oracle.model.ring {
		if r.version > after {
			want = append(want, r.changes...)
		}
	}
	for len(want) > 0 {
		ctx, cancel := context.WithTimeout(e.ctx, e.wait)
		changes, err := w.Next(ctx)
		cancel()
		if errors.Is(err, kv.ErrFellBehind) {
			if _, err := w.Next(e.ctx); !errors.Is(err, kv.ErrFellBehind) {
				e.Fatalf("%v, want ErrFellBehind for ever", err)
			}
			return
		}
		e.check(err)
		for i := range changes {
			if len(want) == 0 || changes[i].Version != want[0].Version || !covers(&changes[i], string(want[0].Key)) {
				e.Fatalf("seen %v, missed %v", changes[i], want[:min(1, len(want))])
			}
			want = want[1:]
		}
	}
}

// watchOverRestart: what was committed before a restart is seen, or the watch
// has fallen behind.
func watchOverRestart(e *env) {
	after := e.do(put("a", "")).Version
	e.do(put("b", ""))
	e.do(put("c", ""))
	before := e.oracle.model
	e.reopen()
	w := e.watch(kv.WatchRequest{After: after})
	e.oracle.model.ring = append(before.ring, e.oracle.model.ring...)
	e.do(put("d", ""))
	checkNothingMissed(e, w, after)
	last := e.oracle.model.version
	w = e.watch(kv.WatchRequest{After: last})
	e.do(put("e", ""))
	if changes := e.changes(w, last); !hasChange(changes, "e", kv.Created) {
		e.Fatalf("seen %v", changes)
	}
}
