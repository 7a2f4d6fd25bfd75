package kvtest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kivaloo/kvstore/kv"
)

// A recorder is a testing.TB of a test that is expected to fail.
type recorder struct {
	testing.TB
	mu      sync.Mutex
	failed  bool
	log     []string
	cleanup []func()
}

func (r *recorder) Helper() {}

func (r *recorder) Logf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, fmt.Sprintf(format, args...))
}

func (r *recorder) Errorf(format string, args ...any) {
	r.Logf(format, args...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
}

func (r *recorder) FailNow() {
	r.mu.Lock()
	r.failed = true
	r.mu.Unlock()
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	r.FailNow()
}

func (r *recorder) Skipf(format string, args ...any) {
	runtime.Goexit()
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanup = append(r.cleanup, f)
}

// recorded runs a test that may fail.
func recorded(t *testing.T, c test, open Opener, opt options) *recorder {
	r := &recorder{TB: t}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runTest(r, c, open, opt)
	}()
	<-ended
	for _, f := range slices.Backward(r.cleanup) {
		f()
	}
	return r
}

// opener makes stores with the fault.
func (f *fault) opener() Opener {
	return func(tb testing.TB) *Subject {
		s := &faulty{Model: NewModel(nil), fault: f}
		tb.Cleanup(func() { s.Model.Close() })
		subject := &Subject{Store: s.wrapped(), Lacks: Huge}
		subject.Reopen = func() (kv.Store, error) {
			next := s.Model.Reopen()
			if f.again != nil {
				f.again(s, next)
			}
			s = &faulty{Model: next, fault: f}
			return s.wrapped(), nil
		}
		subject.Crash = subject.Reopen
		return subject
	}
}

func (f *faulty) wrapped() kv.Store {
	if f.fault.store != nil {
		return f.fault.store(f)
	}
	return f
}

// caughtBy runs some tests until one fails, which it must.
func caughtBy(t *testing.T, f *fault, tests []test) {
	for _, c := range tests {
		if r := recorded(t, c, f.opener(), options{seed: 1, ops: 2000, wait: time.Second}); r.Failed() {
			t.Logf("seen by %s: %.300s", c.name, strings.Join(r.log, "; "))
			return
		}
	}
	t.Fatalf("none of %d tests has seen it", len(tests))
}

// TestSuiteCatchesFaults: a suite that a wrong store passes proves nothing.
func TestSuiteCatchesFaults(t *testing.T) {
	for i := range faults {
		f := &faults[i]
		t.Run(f.name, func(t *testing.T) {
			caughtBy(t, f, slices.DeleteFunc(suite(), func(c test) bool { return !strings.HasPrefix(c.name, f.by) }))
		})
	}
}

// TestRandomOperationsCatchFaults: so must the random operations alone, as far as
// a fault is of the kind that they can meet.
func TestRandomOperationsCatchFaults(t *testing.T) {
	for i := range faults {
		if f := &faults[i]; !f.byHand {
			t.Run(f.name, func(t *testing.T) { caughtBy(t, f, randomTests()) })
		}
	}
}

// An oldStore can say no more than protocol v1.
type oldStore struct{ *Model }

func (s oldStore) Commit(ctx context.Context, txn *kv.Txn) (kv.Result, error) {
	if len(txn.Effects) != 1 || len(txn.Guards) > 1 {
		return kv.Result{}, kv.ErrUnsupported
	}
	e := txn.Effects[0]
	plain := !e.SetMeta && !e.Fresh && e.Birth == 0 && e.Modified == 0 && e.Space == kv.User
	if e.Op != kv.Put && e.Op != kv.Delete || !plain || len(e.Key) > 255 || len(e.Value) > 255 {
		return kv.Result{}, kv.ErrUnsupported
	}
	for _, g := range txn.Guards {
		if string(g.Key) != string(e.Key) || g.Op > kv.ValueEquals || e.Op == kv.Delete && g.Op != kv.ValueEquals {
			return kv.Result{}, kv.ErrUnsupported
		}
	}
	_, err := s.Model.Commit(ctx, txn)
	return kv.Result{}, err
}

func (s oldStore) Get(ctx context.Context, req kv.GetRequest) (kv.Pair, error) {
	if req.Want&kv.WantStamps != 0 || req.Offset+req.Length != 0 || req.Space != kv.User {
		return kv.Pair{}, kv.ErrUnsupported
	}
	return s.Model.Get(ctx, req)
}

func (s oldStore) Scan(ctx context.Context, req kv.ScanRequest) (kv.ScanPage, error) {
	if req.Reverse || len(req.Delimiter) > 0 || req.Limit != 0 || req.Want&kv.WantStamps != 0 {
		return kv.ScanPage{}, kv.ErrUnsupported
	}
	return s.Model.Scan(ctx, req)
}

// TestSuiteOfAnOldStore: what a store lacks is not asked of it.
func TestSuiteOfAnOldStore(t *testing.T) {
	Run(t, func(tb testing.TB) *Subject {
		s := oldStore{NewModel(nil)}
		tb.Cleanup(func() { s.Close() })
		return &Subject{Store: s, Lacks: V1}
	})
}
