package kvstore

import (
	"bytes"
	"fmt"
	"math/rand"
	"testing"
	"time"

	"kivaloo/kvstore/kv"
	"kivaloo/lbs/disk/crashdisk"
)

// A churn is a store of ten times its cache under random updates.
type churn struct {
	t    *testing.T
	rng  *rand.Rand
	db   *DB
	want map[string]string
	// window bounds what is under way: a batch larger than the log bound would go
	// into the log as a whole.
	window chan struct{}
}

const (
	churnSegment = 256 << 10
	churnLog     = 512 << 10
)

func newChurn(t *testing.T) *churn {
	c := &churn{t: t, rng: rand.New(rand.NewSource(int64(testSeed(t)))), want: map[string]string{}, window: make(chan struct{}, 64)}
	c.db = openDir(t, t.TempDir()+"/store", Options{
		LogBytes: churnLog, SegmentBytesMin: churnSegment, SegmentBytesMax: churnSegment, CacheBytes: 1 << 20,
	})
	t.Cleanup(func() { c.db.Close() })
	for i := range churnPairs {
		c.update(i)
	}
	c.checkpoint()
	return c
}

// churnPairs are about 10 MiB, a third of them in blobs.
const churnPairs = 6000

func (c *churn) key(i int) string { return fmt.Sprintf("%05d", i) }

// update puts a value that no other put has; one in twelve is a blob.
func (c *churn) update(i int) {
	value := make([]byte, 600+c.rng.Intn(1200))
	if c.rng.Intn(12) == 0 {
		value = make([]byte, 3000+c.rng.Intn(9000))
	}
	c.rng.Read(value)
	c.want[c.key(i)] = string(value)
	c.window <- struct{}{}
	c.db.CommitAsync(put(c.key(i), value), func(_ kv.Result, err error) {
		<-c.window
		if err != nil {
			c.t.Error(err)
		}
	})
}

// updates makes n random ones, all durable when it returns.
func (c *churn) updates(n int) {
	for range n {
		c.update(c.rng.Intn(churnPairs))
	}
	commit(c.t, c.db, put(c.key(0), []byte(c.want[c.key(0)])))
}

func (c *churn) checkpoint() {
	c.t.Helper()
	commit(c.t, c.db, put(c.key(0), []byte(c.want[c.key(0)])))
	checkpoint(c.t, c.db)
}

func (c *churn) usage() kv.Usage {
	c.t.Helper()
	u, err := c.db.Space(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return u
}

// bounded is promise 10.
func (c *churn) bounded(when string) {
	c.t.Helper()
	u := c.usage()
	if bound := 5*u.LiveBytes/2 + u.HeldBytes + 2*churnLog + 4*churnSegment; u.UsedBytes > bound {
		c.t.Errorf("%s: %d bytes used, the bound is %d: %d live, %d held", when, u.UsedBytes, bound, u.LiveBytes, u.HeldBytes)
	}
}

// picture is a snapshot and what it must show.
type picture struct {
	snapshot kv.Snapshot
	want     map[string]string
}

func (c *churn) picture() picture {
	c.t.Helper()
	s, err := c.db.Snapshot(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	want := make(map[string]string, len(c.want))
	for k, v := range c.want {
		want[k] = v
	}
	return picture{s, want}
}

func (p *picture) check(t *testing.T) {
	t.Helper()
	compare(t, readPairs(t, p.snapshot), p.want)
}

// TestOldSnapshotHoldsWhatItReadsAndNoMore: under random updates the log does not
// grow beyond what is live, what the snapshot reads, and the usual bound; what it
// held is given back when it is released, although nobody writes.
func TestOldSnapshotHoldsWhatItReadsAndNoMore(t *testing.T) {
	c := newChurn(t)
	before := c.usage()
	if before.HeldBytes != 0 {
		t.Errorf("%d bytes held without a snapshot", before.HeldBytes)
	}
	p := c.picture()
	rounds := 8
	if testing.Short() {
		rounds = 3
	}
	for round := range rounds {
		c.updates(churnPairs / 2)
		c.bounded(fmt.Sprint("round ", round))
	}
	c.checkpoint()
	c.bounded("after all rounds")
	p.check(t)
	u := c.usage()
	t.Logf("before: %+v; with an old snapshot: %+v", before, u)
	if u.HeldBytes == 0 || u.HeldBytes > before.UsedBytes {
		t.Errorf("%d bytes are held of the %d there were", u.HeldBytes, before.UsedBytes)
	}
	p.snapshot.Release()
	if now := c.usage(); now.HeldBytes != 0 {
		t.Errorf("%d bytes held after the release", now.HeldBytes)
	}
	c.shrinksTo(u.UsedBytes - u.HeldBytes + 4*churnSegment)
	compare(t, readPairs(t, c.db), c.want)
	fsck(t, c.db)
}

// shrinksTo waits until an idle store takes no more than so much.
func (c *churn) shrinksTo(bytes int64) {
	c.t.Helper()
	var u kv.Usage
	for began := time.Now(); time.Since(began) < hangAfter; time.Sleep(20 * time.Millisecond) {
		if u = c.usage(); u.UsedBytes <= bytes {
			return
		}
	}
	c.t.Errorf("%d bytes are used, want no more than %d: %+v", u.UsedBytes, bytes, u)
}

// TestSnapshotsOfManyAges: each shows its own state, whichever others go.
func TestSnapshotsOfManyAges(t *testing.T) {
	c := newChurn(t)
	var album []picture
	rounds := 16
	if testing.Short() {
		rounds = 8
	}
	for round := range rounds {
		c.updates(churnPairs / 8)
		if c.rng.Intn(3) == 0 {
			c.checkpoint()
		}
		album = append(album, c.picture())
		if len(album) > 5 {
			i := c.rng.Intn(len(album))
			album[i].check(t)
			album[i].snapshot.Release()
			album = append(album[:i], album[i+1:]...)
			c.checkpoint() // frees what that one held
		}
		c.bounded(fmt.Sprint("round ", round))
	}
	for _, p := range album {
		p.check(t)
		p.snapshot.Release()
	}
	c.checkpoint()
	if u := c.usage(); u.HeldBytes != 0 {
		t.Errorf("%d bytes held without a snapshot", u.HeldBytes)
	}
	c.bounded("without snapshots")
	fsck(t, c.db)
}

// TestWhatWasDeadBeforeASnapshotIsFreed: a snapshot of an empty store holds nothing
// of what came before it, nor of what comes and goes after.
func TestWhatWasDeadBeforeASnapshotIsFreed(t *testing.T) {
	c := newChurn(t)
	commit(t, c.db, &kv.Txn{Effects: []kv.Effect{{Op: kv.DeletePrefix}}})
	c.want = map[string]string{c.key(0): ""}
	c.checkpoint()
	p := c.picture()
	c.want[c.key(0)] = "" // the only one
	for range 3 {
		for i := range churnPairs / 4 {
			c.update(i)
		}
		c.checkpoint()
		commit(t, c.db, &kv.Txn{Effects: []kv.Effect{{Op: kv.DeletePrefix}}})
		c.want = map[string]string{c.key(0): ""}
		c.checkpoint()
	}
	c.checkpoint() // what the records of the last one were in
	if u := c.usage(); u.HeldBytes > 2*churnSegment || u.UsedBytes > 8*churnSegment {
		t.Errorf("a snapshot of one pair: %+v", u)
	}
	p.check(t)
}

// TestSnapshotOfAnOverwrittenDelta: chunks that only the deltas of a snapshot name
// are kept as well, whatever becomes of their blobs.
func TestSnapshotOfAnOverwrittenDelta(t *testing.T) {
	db, _ := openMemory(t, Options{LogBytes: 1 << 20, SegmentBytesMin: 64 << 10, SegmentBytesMax: 64 << 10, CacheBytes: 1 << 20})
	defer db.Kill()
	old := bytes.Repeat([]byte("old"), 30000)
	for _, key := range []string{"put", "patched", "deleted"} {
		commit(t, db, put(key, old))
	}
	s, _ := db.Snapshot(ctx)
	commit(t, db, put("put", []byte("new")))
	commit(t, db, &kv.Txn{Effects: []kv.Effect{{Op: kv.Patch, Key: []byte("patched"), Value: []byte("new")}}})
	commit(t, db, remove("deleted"))
	for range 3 {
		for i := range 40 {
			commit(t, db, put(fillKey("churn", i), bytes.Repeat([]byte{byte(i)}, 9000)))
		}
		checkpoint(t, db)
	}
	for _, key := range []string{"put", "patched", "deleted"} {
		if v, ok := get(t, s, key); !ok || v != string(old) {
			t.Errorf("%q of the snapshot: %d bytes, %v", key, len(v), ok)
		}
	}
	s.Release()
	fsck(t, db)
}

// TestPowerCutWithSnapshots: snapshots come and go during a workload with small
// segments, each showing its own state, and the power fails at any call.
func TestPowerCutWithSnapshots(t *testing.T) {
	seed, stride := testSeed(t), 5**crashStride
	if testing.Short() {
		stride *= 4
	}
	for n := 1 + int(seed%uint64(stride)); ; n += stride {
		d := crashdisk.New(seed)
		d.CutAt(n)
		h := photographed(t, d, seed)
		if !d.IsCut() {
			break
		}
		checkCrashed(t, d, h, seed+uint64(n))
		if t.Failed() {
			t.Fatalf("seed %d, cut at call %d", seed, n)
		}
	}
}

// photographed runs random transactions and takes snapshots of them.
func photographed(t *testing.T, d *crashdisk.Disk, seed uint64) (h history) {
	h = history{acked: newBook()}
	db, err := Open(ctx, crashOptions(d))
	if err != nil {
		return h
	}
	defer db.Kill()
	rng := rand.New(rand.NewSource(int64(seed)))
	var album []picture
	for range 160 {
		txn, after := randomTxn(rng, h.acked)
		h.pending = &after
		if _, err := db.Commit(ctx, txn); err != nil {
			return h
		}
		h.acked, h.pending = after, nil
		if rng.Intn(8) == 0 {
			s, _ := db.Snapshot(ctx)
			album = append(album, picture{s, after.pairs()})
		}
		if len(album) > 0 && rng.Intn(10) == 0 {
			i := rng.Intn(len(album))
			got, err := readAll(album[i].snapshot)
			album[i].snapshot.Release()
			if err != nil && d.IsCut() {
				return h
			}
			if err != nil || !equalPairs(got, album[i].want) {
				t.Errorf("a snapshot has changed, %v", err)
			}
			album = append(album[:i], album[i+1:]...)
		}
	}
	return h
}
