package kvstore

import (
	"errors"
	"flag"
	"math/rand"
	"testing"
	"time"

	"kivaloo/kvstore/kv"
	"kivaloo/lbs"
	"kivaloo/lbs/disk/crashdisk"
)

var (
	seedFlag    = flag.Uint64("seed", 0, "seed of the crash tests (0: from the clock)")
	crashSeeds  = flag.Int("crash.seeds", 1, "how many workloads the crash test cuts")
	crashStride = flag.Int("crash.stride", 1, "the crash test cuts at every so many-th disk call; -short means at least 3")
)

func testSeed(t *testing.T) uint64 {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with -seed %d", seed)
	return seed
}

// crashOptions make checkpoints, new segments and high trees come often.
func crashOptions(d *crashdisk.Disk) Options {
	return Options{
		Dir: "store", FS: d, Create: true, LogBytes: 24 << 10, PageBytes: 512,
		SegmentBytesMin: 64 << 10, SegmentBytesMax: 64 << 10, CacheBytes: 1 << 20,
	}
}

// A history is what a client knows: the pairs after all acknowledged transactions,
// and after the one that was under way, if there is one.
type history struct {
	acked   book
	pending *book
}

// TestPowerCutAtEveryDiskCall runs a workload and cuts the power at each disk call
// in turn, and again while the store is opened. Whatever happens, the pairs found
// then are those of all acknowledged transactions, and of the one under way either
// all or nothing. (With -short it cuts at every third, others at each run.)
func TestPowerCutAtEveryDiskCall(t *testing.T) {
	seed, stride := testSeed(t), *crashStride
	if testing.Short() {
		stride = max(stride, 3)
	}
	checkpoints, cuts := 0, 0
	for s := range uint64(*crashSeeds) {
		for n := 1 + int(seed%uint64(stride)); ; n += stride {
			d := crashdisk.New(seed + s)
			d.CutAt(n)
			h, roots := runWorkload(d, seed+s)
			if !d.IsCut() {
				checkpoints += roots
				break
			}
			cuts++
			checkCrashed(t, d, h, seed+s+uint64(n))
			if t.Failed() {
				t.Fatalf("seed %d, cut at call %d", seed+s, n)
			}
		}
	}
	t.Logf("%d cuts, %d ROOTs in uncut runs", cuts, checkpoints)
	if checkpoints < 6 {
		t.Errorf("only %d ROOTs: the workload proves nothing", checkpoints)
	}
}

// runWorkload runs transactions until the power fails or they are done.
func runWorkload(d *crashdisk.Disk, seed uint64) (h history, roots int) {
	h = history{acked: newBook()}
	db, err := Open(ctx, crashOptions(d))
	if err != nil {
		return h, 0
	}
	defer db.Kill()
	rng := rand.New(rand.NewSource(int64(seed)))
	for range 120 {
		txn, after := randomTxn(rng, h.acked)
		h.pending = &after
		if _, err := db.Commit(ctx, txn); err != nil {
			return h, 0
		}
		h.acked, h.pending = after, nil
	}
	return h, int(db.roots.Load())
}

// checkCrashed opens the store after a cut, cutting that as well now and then,
// and compares it with the history.
func checkCrashed(t *testing.T, d *crashdisk.Disk, h history, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewSource(int64(seed)))
	d = d.Crash()
	for rng.Intn(2) == 0 {
		d.CutAt(1 + rng.Intn(60))
		if db, err := Open(ctx, crashOptions(d)); err == nil {
			db.Kill()
		}
		d = d.Crash()
	}
	db, err := Open(ctx, crashOptions(d))
	if err != nil {
		t.Errorf("opening after the cut: %v", err)
		return
	}
	defer func() { db.Close() }()
	now := h.match(t, db)
	for range 5 {
		txn, after := randomTxn(rng, now)
		if _, err := db.Commit(ctx, txn); err != nil {
			t.Errorf("commit after the cut: %v", err)
			return
		}
		now = after
	}
	if err := db.Close(); err != nil {
		t.Errorf("close: %v", err)
		return
	}
	if db, err = Open(ctx, crashOptions(d)); err != nil {
		t.Errorf("opening after a clean stop: %v", err)
		return
	}
	if n := db.state.Load().active.Len(); n != 0 {
		t.Errorf("%d entries replayed after a clean stop", n)
	}
	compare(t, readPairs(t, db), now.pairs())
	fsck(t, db)
}

// match finds which of the states that the history allows the store is in.
func (h *history) match(t *testing.T, db *DB) book {
	t.Helper()
	got := readPairs(t, db)
	if h.pending != nil && equalPairs(got, h.pending.pairs()) {
		return *h.pending
	}
	compare(t, got, h.acked.pairs())
	return h.acked
}

func readPairs(t *testing.T, s kv.Reader) map[string]string {
	t.Helper()
	pairs := map[string]string{}
	for p, err := range kv.All(ctx, s, kv.ScanRequest{Want: kv.WantAll, ValueBytes: 1 << 20}) {
		if err != nil {
			t.Errorf("scan: %v", err)
			break
		}
		pairs[string(p.Key)] = string(p.Value)
	}
	return pairs
}

func equalPairs(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if w, ok := b[k]; !ok || v != w {
			return false
		}
	}
	return true
}

func compare(t *testing.T, got, want map[string]string) {
	t.Helper()
	for k, v := range want {
		if g, ok := got[k]; !ok {
			t.Errorf("%q is missing", k)
		} else if g != v {
			t.Errorf("%q has %d bytes %.20q, want %d bytes %.20q", k, len(g), g, len(v), v)
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("%q should not be there", k)
		}
	}
}

// TestAnEmptyLogIsBegunAgain: a cut in the first append leaves nothing, and that
// is a new store and no damaged one.
func TestAnEmptyLogIsBegunAgain(t *testing.T) {
	for n := 1; n < 200; n++ {
		d := crashdisk.New(uint64(n))
		d.CutAt(n)
		db, err := Open(ctx, crashOptions(d))
		if err == nil {
			db.Kill()
		}
		d = d.Crash()
		db, err = Open(ctx, crashOptions(d))
		if err != nil {
			t.Fatalf("cut at call %d: %v", n, err)
		}
		if db.log.Last() == lbs.NoBlock {
			t.Errorf("cut at call %d: the log is still empty", n)
		}
		if err := db.Close(); err != nil && !errors.Is(err, kv.ErrClosed) {
			t.Errorf("cut at call %d: %v", n, err)
		}
	}
}
