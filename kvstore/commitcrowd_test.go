package kvstore

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"kivaloo/kvstore/kv"
)

// A waitedCrowd notes how often each of its transactions was answered.
type waitedCrowd struct {
	kv.Crowd
	answers []atomic.Int32
	left    atomic.Int64
	done    chan struct{}
}

func newWaitedCrowd() *waitedCrowd {
	w := &waitedCrowd{done: make(chan struct{}, 1)}
	w.Answered = func(from, to int) {
		for i := from; i < to; i++ {
			w.answers[i].Add(1)
		}
		if w.left.Add(int64(from-to)) == 0 {
			w.done <- struct{}{}
		}
	}
	return w
}

func (w *waitedCrowd) commit(t *testing.T, db *DB, txns ...kv.Txn) {
	t.Helper()
	n := len(txns)
	w.Txns, w.Results, w.Errs = txns, make([]kv.Result, n), make([]error, n)
	w.answers = make([]atomic.Int32, n)
	w.left.Store(int64(n))
	db.CommitCrowd(&w.Crowd)
	<-w.done
	for i := range w.answers {
		if got := w.answers[i].Load(); got != 1 {
			t.Errorf("transaction %d was answered %d times", i, got)
		}
	}
}

// TestCrowdIsCarriedOutInOrder hands over transactions of which some fail, each by
// itself, and uses the crowd again.
func TestCrowdIsCarriedOutInOrder(t *testing.T) {
	db := openDir(t, t.TempDir()+"/store", Options{})
	defer db.Close()
	w := newWaitedCrowd()
	for round := range 3 {
		key := fmt.Sprint("k", round)
		absent := *put(key, []byte("b"))
		absent.Guards = []kv.Guard{{Op: kv.Absent, Key: []byte(key)}}
		w.commit(t, db, *put(key, []byte("a")), absent, *put(string(make([]byte, kv.KeyBytesMax+1)), nil), *put(key, []byte("c")))
		if v, _ := get(t, db, key); v != "c" {
			t.Errorf("value %q", v)
		}
		if w.Errs[0] != nil || !errors.Is(w.Errs[1], kv.ErrCondition) || !errors.Is(w.Errs[2], kv.ErrTooLarge) || w.Errs[3] != nil {
			t.Errorf("errors %v", w.Errs)
		}
		if w.Results[0].Version == 0 || w.Results[3].Version <= w.Results[0].Version || w.Results[1].Version != 0 {
			t.Errorf("results %v", w.Results)
		}
	}
}

func TestCrowdOfAClosedStore(t *testing.T) {
	db := openDir(t, t.TempDir()+"/store", Options{})
	db.Close()
	w := newWaitedCrowd()
	w.commit(t, db, *put("a", nil), *put("b", nil))
	if !errors.Is(w.Errs[0], kv.ErrClosed) || !errors.Is(w.Errs[1], kv.ErrClosed) {
		t.Errorf("errors %v", w.Errs)
	}
}

// BenchmarkCrowd puts pairs of 40 and 40 bytes, 512 together, one crowd after the
// other: what a put costs without a network, counted in allocations too. Random
// keys copy a node of the delta each, which readers may still be looking at.
func BenchmarkCrowd(b *testing.B) {
	for _, order := range []struct {
		name string
		key  func(dst []byte, i int) []byte
	}{{"ascending", benchKeyInOrder}, {"random", benchKey}} {
		b.Run(order.name, func(b *testing.B) { benchmarkCrowd(b, order.key) })
	}
}

func benchmarkCrowd(b *testing.B, key func(dst []byte, i int) []byte) {
	db := benchOpen(b)
	const size = 512
	w := newWaitedCrowd()
	w.Txns, w.Results, w.Errs, w.answers = make([]kv.Txn, size), make([]kv.Result, size), make([]error, size), make([]atomic.Int32, size)
	effects, keys := make([]kv.Effect, size), make([][40]byte, size)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += size {
		for j := range w.Txns {
			effects[j] = kv.Effect{Op: kv.Put, Key: key(keys[j][:0], (i+j)%(1<<17)), Value: benchValue}
			w.Txns[j] = kv.Txn{Effects: effects[j : j+1 : j+1]}
		}
		w.left.Store(size)
		db.CommitCrowd(&w.Crowd)
		<-w.done
	}
}
