package kvstore

import (
	"bytes"
	"errors"
	"flag"
	"math/rand"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"kivaloo/kvstore/kv"
	"kivaloo/lbs/disk/crashdisk"
)

var largeFlag = flag.Int64("large", 200, "MiB of the value that TestLargeValueTakesLittleMemory writes; 1024 is the most")

// largeChunk fills p with what chunk n of a large value holds.
func largeChunk(p []byte, n int64) {
	rand.New(rand.NewSource(n)).Read(p)
}

// putLarge stages a value chunk by chunk, and puts it.
func putLarge(t *testing.T, db *DB, key string, size int64) {
	t.Helper()
	s, err := db.Session(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var pieces []kv.Staged
	chunk := make([]byte, kv.ChunkBytes)
	for at := int64(0); at < size; at += kv.ChunkBytes {
		chunk = chunk[:min(kv.ChunkBytes, size-at)]
		largeChunk(chunk, at/kv.ChunkBytes)
		pieces = append(pieces, staged(t, s, chunk))
	}
	txn := &kv.Txn{Effects: []kv.Effect{{Op: kv.Put, Key: []byte(key), Staged: pieces}}}
	if _, err := s.Commit(ctx, txn); err != nil {
		t.Fatal(err)
	}
}

// checkLarge reads a value in pieces.
func checkLarge(t *testing.T, db *DB, key string, size int64) {
	t.Helper()
	want := make([]byte, kv.ChunkBytes)
	for at := int64(0); at < size; at += kv.ChunkBytes {
		p, err := db.Get(ctx, kv.GetRequest{Key: []byte(key), Want: kv.WantValue, Offset: at, Length: kv.ChunkBytes})
		if err != nil {
			t.Fatal(err)
		}
		want = want[:min(kv.ChunkBytes, size-at)]
		if largeChunk(want, at/kv.ChunkBytes); p.Size != size || !bytes.Equal(p.Value, want) {
			t.Fatalf("size %d, want %d; %d bytes at %d are not as they were written", p.Size, size, len(p.Value), at)
		}
	}
}

// A gauge watches how much memory is in use.
type gauge struct {
	quit, done chan struct{}
	peak       uint64
}

func newGauge() *gauge {
	g := &gauge{quit: make(chan struct{}), done: make(chan struct{})}
	debug.FreeOSMemory()
	go func() {
		defer close(g.done)
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			g.peak = max(g.peak, m.HeapInuse)
			select {
			case <-g.quit:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return g
}

func (g *gauge) stop() uint64 {
	close(g.quit)
	<-g.done
	return g.peak
}

// TestLargeValueTakesLittleMemory: a value is written and read in pieces, merged,
// found again after the process has died, and deleted, and never is more of it in
// memory than the cache may hold.
func TestLargeValueTakesLittleMemory(t *testing.T) {
	size := *largeFlag<<20 - 77
	if testing.Short() {
		size = 40<<20 - 77
	}
	dir, opts := t.TempDir()+"/store", Options{CacheBytes: 16 << 20}
	g := newGauge()
	began := time.Now()
	db := openDir(t, dir, opts)
	putLarge(t, db, "large", size)
	wrote := time.Since(began)
	checkLarge(t, db, "large", size)
	read := time.Since(began) - wrote
	db.Kill()
	db = openDir(t, dir, opts)
	defer func() { db.Close() }()
	checkpoint(t, db)
	checkLarge(t, db, "large", size)
	peak := g.stop()
	t.Logf("%d MiB written in %v, read in %v; at most %d MiB of memory", size>>20, wrote, read, peak>>20)
	if peak > 100<<20 {
		t.Errorf("%d bytes of memory were in use for a value of %d", peak, size)
	}
	commit(t, db, remove("large"))
	checkpoint(t, db)
	commit(t, db, put("last", nil))
	checkpoint(t, db)
	if u, _ := db.Space(ctx); u.LiveBytes > 1<<20 || (size > 100<<20 && u.UsedBytes > size/2) {
		t.Errorf("after it was deleted: %+v", u)
	}
}

// TestChangesOfALargeValueWriteWhatTheyTouch: of a hundred megabytes.
func TestChangesOfALargeValueWriteWhatTheyTouch(t *testing.T) {
	const size = 100<<20 - 77
	db := openDir(t, t.TempDir()+"/store", Options{CacheBytes: 4 << 20})
	defer db.Close()
	putLarge(t, db, "large", size)
	checkpoint(t, db)
	few := bytes.Repeat([]byte("!"), 100)
	for _, c := range []struct {
		name   string
		effect kv.Effect
		chunks int64
	}{
		{"patch", kv.Effect{Op: kv.Patch, Offset: 50<<20 + 5, Value: few}, 1},
		{"patch of two chunks", kv.Effect{Op: kv.Patch, Offset: 60<<20 - 50, Value: few}, 2},
		{"append", kv.Effect{Op: kv.Append, Value: few}, 2},
		{"truncate", kv.Effect{Op: kv.Truncate, Length: size - 1000}, 1},
		{"longer", kv.Effect{Op: kv.Truncate, Length: kv.ValueBytesMax}, 0},
		{"much shorter", kv.Effect{Op: kv.Truncate, Length: 70<<20 + 1}, 1},
		{"punch", kv.Effect{Op: kv.Punch, Offset: 1<<20 + 5, Length: 40 << 20}, 2},
		{"punch all", kv.Effect{Op: kv.Punch, Length: kv.ValueBytesMax}, 0},
		{"metadata", kv.Effect{Op: kv.SetMeta, Meta: few}, 0},
		{"move", kv.Effect{Op: kv.Move, To: []byte("moved")}, 0},
	} {
		c.effect.Key = []byte("large")
		before := db.log.Next()
		commit(t, db, &kv.Txn{Effects: []kv.Effect{c.effect}})
		written := int64(db.log.Next()-before) * int64(db.blockBytes)
		if most := c.chunks*(kv.ChunkBytes+4096) + 8192; written > most {
			t.Errorf("%s: %d bytes appended, want at most %d", c.name, written, most)
		}
	}
	checkpoint(t, db)
	fsck(t, db)
}

// A patcher changes one value by staged data of any size, none of which is held in
// memory, and knows what it must be.
type patcher struct {
	t    *testing.T
	rng  *rand.Rand
	db   *DB
	want []byte
}

// size picks lengths about those at which something changes.
func (p *patcher) size() int {
	edges := []int{0, 5, kv.InlineBytesMax, kv.ChunkBytes, 2 * kv.ChunkBytes, 3 * kv.ChunkBytes}
	return max(0, edges[p.rng.Intn(len(edges))]+p.rng.Intn(5)-2)
}

// stage stages data in pieces of any size.
func (p *patcher) stage(s kv.Session, data []byte) (pieces []kv.Staged) {
	for len(data) > 0 {
		n := min(len(data), kv.ChunkBytes)
		if p.rng.Intn(2) == 0 {
			n = 1 + p.rng.Intn(n)
		}
		pieces = append(pieces, staged(p.t, s, data[:n]))
		data = data[n:]
	}
	return pieces
}

// step makes one change, and answers what the value is after it.
func (p *patcher) step(s kv.Session) (kv.Effect, []byte) {
	data := make([]byte, p.size())
	p.rng.Read(data)
	e := kv.Effect{Op: kv.Put, Key: []byte("k"), Staged: p.stage(s, data)}
	after := data
	switch p.rng.Intn(5) {
	case 0, 1:
		e.Op, after = kv.Append, append(bytes.Clone(p.want), data...)
	case 2, 3:
		at := p.size()
		e.Op, e.Offset = kv.Patch, int64(at)
		after = p.want
		if len(data) > 0 {
			after = []byte(patched(string(p.want), at, string(data)))
		}
	}
	return e, after
}

// TestStagedChangesOfAnySize: data that is not held in memory is laid over values of
// any size, inline and blobs, whole and in pieces, while checkpoints go on.
func TestStagedChangesOfAnySize(t *testing.T) {
	rng := rand.New(rand.NewSource(int64(testSeed(t))))
	db, _ := openMemory(t, Options{LogBytes: 256 << 10, CacheBytes: 1 << 20, SegmentBytesMin: 512 << 10, SegmentBytesMax: 512 << 10})
	defer db.Kill()
	db.stagedInMemoryMax = 0
	p := &patcher{t, rng, db, nil}
	s, _ := db.Session(ctx)
	for i := range 250 {
		e, after := p.step(s)
		if _, err := s.Commit(ctx, &kv.Txn{Effects: []kv.Effect{e}}); err != nil {
			t.Fatalf("step %d, op %d: %v", i, e.Op, err)
		}
		p.want = after
		if i == 100 { // from here on it has two names
			commit(t, db, &kv.Txn{Effects: []kv.Effect{{Op: kv.Link, Key: []byte("k"), To: []byte("l")}}})
		}
		if v, _ := get(t, db, "k"); v != string(p.want) {
			t.Fatalf("step %d, op %d at %d: %d bytes, want %d", i, e.Op, e.Offset, len(v), len(p.want))
		}
		if len(p.want) > 2<<20 {
			commit(t, db, &kv.Txn{Effects: []kv.Effect{{Op: kv.Truncate, Key: []byte("k"), Length: 1000}}})
			p.want = p.want[:1000]
		}
	}
	s.Close()
	fsck(t, db)
}

// TestStagedTooMuchForAPairThatChanges: what is written ahead is written for the pair
// as it is, so the same transaction must not have changed it before.
func TestStagedTooMuchForAPairThatChanges(t *testing.T) {
	db, _ := openMemory(t, Options{})
	defer db.Kill()
	db.stagedInMemoryMax = 1000
	s, _ := db.Session(ctx)
	defer s.Close()
	k, l := []byte("k"), []byte("l")
	for _, before := range []kv.Effect{
		{Op: kv.Put, Key: k}, {Op: kv.Truncate, Key: k, Length: 5}, {Op: kv.Delete, Key: k}, {Op: kv.DeletePrefix, Key: l},
		{Op: kv.Move, Key: l, To: k}, {Op: kv.CopyRange, Key: l, To: k, Length: 1},
	} {
		commit(t, db, put("l", []byte("value")))
		piece := staged(t, s, make([]byte, 2000))
		txn := &kv.Txn{Effects: []kv.Effect{before, {Op: kv.Append, Key: k, Staged: []kv.Staged{piece}}}}
		if _, err := s.Commit(ctx, txn); !errors.Is(err, kv.ErrTooLarge) {
			t.Errorf("after effect %d: %v, want ErrTooLarge", before.Op, err)
		}
		txn.Effects[0].Op, txn.Effects[0].Key, txn.Effects[0].To = kv.Put, l, nil
		if _, err := s.Commit(ctx, txn); err != nil {
			t.Errorf("after a change of another pair: %v", err)
		}
	}
}

// TestStagedChangesAreOvertaken: while data is written ahead for a value others
// change it. Each append is there once and whole.
func TestStagedChangesAreOvertaken(t *testing.T) {
	db, _ := openMemory(t, Options{LogBytes: 1 << 20, CacheBytes: 1 << 20})
	defer db.Kill()
	db.stagedInMemoryMax = 0
	const writers, each = 3, 15
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			s, _ := db.Session(ctx)
			defer s.Close()
			data := bytes.Repeat([]byte{byte('a' + w)}, kv.ChunkBytes)
			for done := 0; done < each; {
				pieces := []kv.Staged{staged(t, s, data), staged(t, s, data[:1000])}
				_, err := s.Commit(ctx, &kv.Txn{Effects: []kv.Effect{{Op: kv.Append, Key: []byte("k"), Staged: pieces}}})
				if err == nil {
					done++
					continue
				}
				s.Unstage(pieces)
			}
		})
	}
	wg.Wait()
	v, _ := get(t, db, "k")
	count := [writers]int{}
	for rest := v; len(rest) > 0; rest = rest[kv.ChunkBytes+1000:] {
		if n := kv.ChunkBytes + 1000; len(rest) < n || rest[:n] != string(bytes.Repeat([]byte{rest[0]}, n)) {
			t.Fatalf("an append is not whole, %d bytes before the end", len(rest))
		}
		count[rest[0]-'a']++
	}
	if count != [writers]int{each, each, each} {
		t.Errorf("%v appends, want %d each", count, each)
	}
	fsck(t, db)
}

// TestPowerCutDuringStagedChanges: they are there whole or not at all.
func TestPowerCutDuringStagedChanges(t *testing.T) {
	seed := testSeed(t)
	for n := 1 + int(seed%uint64(*crashStride*7)); ; n += *crashStride * 7 {
		d := crashdisk.New(seed)
		d.CutAt(n)
		h := stagedWorkload(t, d, seed)
		if !d.IsCut() {
			break
		}
		db, err := Open(ctx, crashOptions(d.Crash()))
		if err != nil {
			t.Fatalf("cut at call %d: %v", n, err)
		}
		got := map[string]string{}
		if v, ok := get(t, db, "k"); ok {
			got["k"] = v
		}
		if h.pending == nil || !equalPairs(got, h.pending) {
			compare(t, got, h.acked)
		}
		fsck(t, db)
		db.Close()
		if t.Failed() {
			t.Fatalf("cut at call %d", n)
		}
	}
}

// A valueHistory is what there may be after a cut: a pair or none.
type valueHistory struct {
	acked, pending map[string]string
}

func stagedWorkload(t *testing.T, d *crashdisk.Disk, seed uint64) (h valueHistory) {
	h = valueHistory{acked: map[string]string{}}
	db, err := Open(ctx, crashOptions(d))
	if err != nil {
		return h
	}
	defer db.Kill()
	db.stagedInMemoryMax = 0
	p := &patcher{t, rand.New(rand.NewSource(int64(seed))), db, nil}
	s, err := db.Session(ctx)
	if err != nil {
		return h
	}
	for range 12 {
		e, after := p.cutStep(s)
		if e.Op == 0 {
			return h
		}
		h.pending = map[string]string{"k": string(after)}
		if _, err := s.Commit(ctx, &kv.Txn{Effects: []kv.Effect{e}}); err != nil {
			return h
		}
		h.acked, h.pending, p.want = h.pending, nil, after
	}
	return h
}

// cutStep is step, or a zero effect where staging has met the power cut.
func (p *patcher) cutStep(s kv.Session) (e kv.Effect, after []byte) {
	data := make([]byte, p.size())
	p.rng.Read(data)
	e = kv.Effect{Op: kv.Append, Key: []byte("k")}
	after = append(bytes.Clone(p.want), data...)
	if at := p.size(); len(data) > 0 && p.rng.Intn(2) == 0 {
		e.Op, e.Offset = kv.Patch, int64(at)
		after = []byte(patched(string(p.want), at, string(data)))
	}
	for rest := data; len(rest) > 0; {
		n := min(len(rest), 1+p.rng.Intn(kv.ChunkBytes))
		piece, err := s.Stage(ctx, rest[:n])
		if err != nil {
			return kv.Effect{}, nil
		}
		e.Staged, rest = append(e.Staged, piece), rest[n:]
	}
	return e, after
}

// TestTooMuchToCopy: a copy is in memory, so there is a bound.
func TestTooMuchToCopy(t *testing.T) {
	db, _ := openMemory(t, Options{})
	defer db.Kill()
	commit(t, db, &kv.Txn{Effects: []kv.Effect{{Op: kv.Truncate, Key: []byte("k"), Length: kv.ValueBytesMax}}})
	txn := &kv.Txn{Effects: []kv.Effect{{Op: kv.CopyRange, Key: []byte("k"), To: []byte("l"), Length: kv.CopyBytesMax + 1}}}
	if _, err := db.Commit(ctx, txn); !errors.Is(err, kv.ErrTooLarge) {
		t.Errorf("%v, want ErrTooLarge", err)
	}
	txn.Effects[0].Offset = kv.ValueBytesMax - 100
	txn.Effects[0].Length = 100
	commit(t, db, txn)
	if v, _ := get(t, db, "l"); len(v) != 100 {
		t.Errorf("%d bytes were copied", len(v))
	}
}
