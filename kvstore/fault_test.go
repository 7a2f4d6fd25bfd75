package kvstore

import (
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kivaloo/kvstore/kv"
	"kivaloo/lbs/disk"
	"kivaloo/lbs/disk/crashdisk"
	"kivaloo/lbs/disk/faultdisk"
)

var faultStride = flag.Int("fault.stride", 11, "the fault test lets every so many-th disk call fail, 1 meaning all")

// hangAfter is how long one run of a fault test may take; the longest takes well
// below a second, with the race detector on a busy machine some seconds.
const hangAfter = time.Minute

// watchdog ends the test program with the stacks of all goroutines if what it
// watches has not called stop in time.
func watchdog(t *testing.T, what string, args ...any) (stop func() bool) {
	what = fmt.Sprintf(what, args...)
	return time.AfterFunc(hangAfter, func() {
		debug.SetTraceback("all")
		panic(fmt.Sprintf("%s hangs: %s", t.Name(), what))
	}).Stop
}

// faultOptions are those of the crash tests, on another disk, and with a cache
// that holds next to nothing, so that reads come to the disk as well.
func faultOptions(fs disk.FS) Options {
	o := crashOptions(nil)
	o.FS, o.CacheBytes = fs, 1
	return o
}

// A fault is one way in which a call goes wrong once.
type fault struct {
	name string
	ops  faultdisk.Op
	what faultdisk.Fault
}

var faults = []fault{
	{"any call fails", faultdisk.Any, faultdisk.Fault{Err: syscall.EIO}},
	{"a flush fails", faultdisk.Flushes, faultdisk.Fault{Err: syscall.EIO}},
	{"a write is short", faultdisk.Write, faultdisk.Fault{Written: 700}},
	{"a write fails half done", faultdisk.Write, faultdisk.Fault{Written: 700, Err: syscall.EIO}},
}

// inject lets the n-th call that the fault is about go wrong. The answer holds
// the kind of that call once it has.
func (f *fault) inject(d *faultdisk.Disk, n int) *atomic.Uint32 {
	var met atomic.Uint32
	var count atomic.Int64
	d.Inject(func(c faultdisk.Call) *faultdisk.Fault {
		if c.Op&f.ops == 0 || count.Add(1) != int64(n) {
			return nil
		}
		met.Store(uint32(c.Op))
		return &f.what
	})
	return &met
}

// TestEveryDiskCallMayFailOnce runs a workload and lets each disk call in turn go
// wrong. Nothing hangs; once a commit has failed none is acknowledged any more,
// while all that was acknowledged before stays readable; and after a restart, with
// what was not synced lost, all of it is there, and of the transaction that met
// the fault all or nothing.
func TestEveryDiskCallMayFailOnce(t *testing.T) {
	seed := testSeed(t)
	for i := range faults {
		f := &faults[i]
		t.Run(f.name, func(t *testing.T) {
			failures, refusals := 0, 0
			for n := 1; ; n += 1 + int((seed+uint64(n))%uint64(*faultStride*2-1)) {
				r := &faultRun{t: t, seed: seed + uint64(n), below: crashdisk.New(seed + uint64(n))}
				r.disk = faultdisk.New(r.below)
				r.met = f.inject(r.disk, n)
				stop := watchdog(t, "seed %d, call %d", seed, n)
				r.run()
				stop()
				if t.Failed() {
					t.Fatalf("seed %d, call %d (kind %#x)", seed, n, r.met.Load())
				}
				if r.met.Load() == 0 {
					break
				}
				failures += r.failed
				refusals += r.refused
			}
			t.Logf("the log failed in %d runs, a single read in %d", failures, refusals)
			if failures == 0 {
				t.Error("no run has failed: this proves nothing")
			}
		})
	}
}

// A faultRun is one run of the workload on a disk of which one call goes wrong.
type faultRun struct {
	t     *testing.T
	seed  uint64
	below *crashdisk.Disk
	disk  *faultdisk.Disk
	met   *atomic.Uint32
	h     history

	failed, refused int
}

func (r *faultRun) run() {
	r.h.acked = newBook()
	db, err := Open(ctx, faultOptions(r.disk))
	if err == nil {
		r.work(db)
		r.checkLive(db)
		r.end(db)
	} else if r.met.Load() == 0 {
		r.t.Errorf("open without a fault: %v", err)
	}
	checkCrashed(r.t, r.below, r.h, r.seed)
}

// work commits until the end of the workload, or until the log has failed.
func (r *faultRun) work(db *DB) {
	rng := rand.New(rand.NewSource(int64(r.seed)))
	for range 100 {
		txn, after := randomTxn(rng, r.h.acked)
		_, err := db.Commit(ctx, txn)
		switch {
		case err == nil:
			r.h.acked = after
		case errors.Is(err, kv.ErrFailed):
			r.failed, r.h.pending = 1, &after
			r.checkFailed(db)
			return
		case r.met.Load()&uint32(faultdisk.Reads|faultdisk.Open) != 0 && r.refused == 0:
			r.refused = 1 // what this transaction had to read could not be read
		default:
			r.t.Errorf("commit: %v", err)
		}
	}
}

// checkFailed: whatever is asked of a log that has failed is answered so.
func (r *faultRun) checkFailed(db *DB) {
	for _, txn := range []*kv.Txn{
		{Effects: []kv.Effect{{Op: kv.Put, Key: []byte("a/00"), Value: []byte("late")}}},
		{Effects: []kv.Effect{{Op: kv.Put, Key: []byte("a/01"), Value: make([]byte, 2<<20)}}},
		{Effects: []kv.Effect{{Op: kv.DeletePrefix, Key: []byte("a/")}}},
		{},
	} {
		if _, err := db.Commit(ctx, txn); !errors.Is(err, kv.ErrFailed) {
			r.t.Errorf("commit on a failed log: %v", err)
		}
	}
	s, err := db.Session(ctx)
	if err != nil {
		r.t.Errorf("session on a failed log: %v", err)
		return
	}
	if _, err := s.Stage(ctx, []byte("data")); !errors.Is(err, kv.ErrFailed) {
		r.t.Errorf("stage on a failed log: %v", err)
	}
	if err := s.Close(); err != nil && !errors.Is(err, kv.ErrFailed) {
		r.t.Errorf("closing a session on a failed log: %v", err)
	}
}

// checkLive reads all that was acknowledged. The one call that fails may be one of
// these reads, or have been missed so far.
func (r *faultRun) checkLive(db *DB) {
	before, found, acked := r.met.Load(), 0, r.h.acked.pairs()
	for p, err := range kv.All(ctx, db, kv.ScanRequest{Want: kv.WantAll, ValueBytes: 1 << 20}) {
		if err != nil {
			if before == 0 && r.met.Load() != 0 && r.refused == 0 {
				r.refused = 1
				r.checkLive(db)
				return
			}
			r.t.Errorf("reading: %v", err)
			return
		}
		if want, ok := acked[string(p.Key)]; !ok || want != string(p.Value) {
			r.t.Errorf("%q has %.20q, want %.20q, %v", p.Key, p.Value, want, ok)
		}
		found++
	}
	if found != len(acked) {
		r.t.Errorf("%d pairs, want %d", found, len(acked))
	}
}

// end closes the store or lets it die.
func (r *faultRun) end(db *DB) {
	if r.seed%2 == 0 {
		db.Kill()
		return
	}
	if err := db.Close(); err != nil && r.met.Load() == 0 {
		r.t.Errorf("close without a fault: %v", err)
	}
	if _, err := db.Commit(ctx, &kv.Txn{}); !errors.Is(err, kv.ErrClosed) {
		r.t.Errorf("commit on a closed store: %v", err)
	}
}
