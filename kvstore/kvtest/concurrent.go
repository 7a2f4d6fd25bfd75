package kvtest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"kivaloo/kvstore/kv"
)

func concurrentTests() []test {
	return []test{
		{"concurrent/counters by compare and set", 0, countersByCompareAndSet},
		{"concurrent/counters by version", Stamps, countersByVersion},
		{"concurrent/adding once", 0, addingOnce},
		{"concurrent/appends", Parts | Stamps, concurrentAppends},
		{"concurrent/reads never go back", 0, readsNeverGoBack},
		{"concurrent/transactions are seen whole", Txns, transactionsSeenWhole},
		{"concurrent/random operations on prefixes of their own", 0, concurrentPlayers},
	}
}

// A worker's TB may be failed from a goroutine that is not the test's.
type workerTB struct{ testing.TB }

func (w workerTB) Fatalf(format string, args ...any) {
	w.Helper()
	w.Errorf(format, args...)
	runtime.Goexit()
}

// together runs goroutines, each with a way of its own to the store, and waits.
func (e *env) together(n int, work func(e *env, i int)) {
	var wait sync.WaitGroup
	for i := range n {
		w := *e
		w.TB = workerTB{e.TB}
		w.store = e.beside()
		wait.Add(1)
		go func() {
			defer wait.Done()
			work(&w, i)
		}()
	}
	wait.Wait()
	if e.Failed() {
		e.FailNow()
	}
}

const (
	workers    = 4
	increments = 50 // of each worker
)

func number(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func numbered(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }

// increment adds one by reading, and writing if nothing has changed since.
func increment(e *env, key string, unchanged func(p *kv.Pair) kv.Guard) {
	e.Helper()
	for {
		p := e.get(key)
		txn := guarded(effects(put(key, numbered(number(p.Value)+1))), unchanged(&p))
		_, err := e.store.Commit(e.ctx, &txn)
		if err == nil {
			return
		}
		if !errors.Is(err, kv.ErrCondition) {
			e.Fatalf("%v", err)
		}
	}
}

func counters(e *env, unchanged func(p *kv.Pair) kv.Guard) {
	e.do(put("k", numbered(0)))
	e.together(workers, func(e *env, _ int) {
		for range increments {
			increment(e, "k", unchanged)
		}
	})
	if got := number(e.get("k").Value); got != workers*increments {
		e.Fatalf("counted %d, want %d", got, workers*increments)
	}
}

func countersByCompareAndSet(e *env) {
	counters(e, func(p *kv.Pair) kv.Guard { return equals("k", string(p.Value)) })
}

func countersByVersion(e *env) {
	counters(e, func(p *kv.Pair) kv.Guard { return stamped(kv.VersionEquals, "k", p.Version) })
}

// addingOnce: of several who add the same key, one does.
func addingOnce(e *env) {
	var added atomic.Int64
	e.together(workers, func(e *env, i int) {
		for k := range increments {
			key := fmt.Sprint("k", k)
			txn := guarded(effects(put(key, fmt.Sprint(i))), guard(kv.Absent, key))
			_, err := e.store.Commit(e.ctx, &txn)
			if err == nil {
				added.Add(1)
				e.valueIs(key, []byte(fmt.Sprint(i)))
			} else if !errors.Is(err, kv.ErrCondition) {
				e.Fatalf("%v", err)
			}
		}
	})
	if added.Load() != increments {
		e.Fatalf("%d were told to have added %d keys", added.Load(), increments)
	}
}

// concurrentAppends: each lands where it was told, whole.
func concurrentAppends(e *env) {
	e.together(workers, func(e *env, i int) {
		for n := range increments {
			record := fmt.Sprintf("<%d:%03d>", i, n)
			txn := guarded(effects(appendTo("log", record)))
			result, err := e.store.Commit(e.ctx, &txn)
			e.check(err)
			p, err := e.store.Get(e.ctx, kv.GetRequest{Key: []byte("log"), Want: kv.WantValue, Offset: result.Offset, Length: int64(len(record))})
			if err != nil || string(p.Value) != record {
				e.Fatalf("at %d: %q, %v, want %q", result.Offset, p.Value, err, record)
			}
		}
	})
	if got := e.get("log").Size; got != workers*increments*7 {
		e.Fatalf("%d bytes, want %d", got, workers*increments*7)
	}
}

// readsNeverGoBack: what was answered before a read began is seen by it.
func readsNeverGoBack(e *env) {
	e.do(put("k", numbered(0)))
	var answered atomic.Uint64
	e.together(workers, func(e *env, i int) {
		if i == 0 {
			for n := range uint64(4 * increments) {
				_, err := e.store.Commit(e.ctx, &kv.Txn{Effects: effects(put("k", numbered(n)))})
				e.check(err)
				answered.Store(n)
			}
			return
		}
		for last := uint64(0); last < 4*increments-1 && !e.Failed(); {
			least := max(last, answered.Load())
			if last = number(e.get("k").Value); last < least {
				e.Fatalf("read %d after %d", last, least)
			}
		}
	})
}

// transactionsSeenWhole: the keys of one transaction are the same in every scan.
func transactionsSeenWhole(e *env) {
	keys := []string{"a/1", "a/2", "b", "c/d/e"}
	var writers atomic.Int64
	writers.Store(workers / 2)
	e.together(workers, func(e *env, i int) {
		if i >= workers/2 {
			for writers.Load() > 0 && !e.Failed() {
				allEqual(e)
			}
			return
		}
		defer writers.Add(-1)
		for n := range increments {
			var txn []kv.Effect
			for _, key := range keys {
				txn = append(txn, put(key, fmt.Sprint(i, n)))
			}
			_, err := e.store.Commit(e.ctx, &kv.Txn{Effects: txn})
			e.check(err)
		}
	})
	allEqual(e)
}

func allEqual(e *env) {
	e.Helper()
	page, err := e.store.Scan(e.ctx, kv.ScanRequest{Want: kv.WantValue})
	e.check(err)
	for _, p := range page.Entries {
		if !bytes.Equal(p.Value, page.Entries[0].Value) {
			e.Fatalf("%q is %q, but %q is %q", p.Key, p.Value, page.Entries[0].Key, page.Entries[0].Value)
		}
	}
}

// concurrentPlayers each know what is below their prefix, whatever others do.
func concurrentPlayers(e *env) {
	e.Logf("kvtest.seed %d", e.seed)
	e.together(workers, func(e *env, i int) {
		e.prefix = string(rune('p'+i)) + "/"
		e.oracle = newOracle(e.has(Stamps))
		e.lacks |= Spaces // the root is everybody's
		p := newPlayer(e, e.prefix, e.seed+uint64(i))
		for step := range e.ops / 4 {
			p.step()
			if step%compareEvery == 0 {
				p.compare()
			}
		}
		p.compare()
	})
}
