package kvstore

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"kivaloo/kvstore/kv"
	"kivaloo/lbs"
	"kivaloo/lbs/disk/crashdisk"
	"kivaloo/lbs/disk/faultdisk"
)

// TestOneFlippedBitInEachBlock makes a small store, and flips in each block of its
// files in turn one bit. The store opens, or refuses and names what is damaged; a
// key has the right value or is reported as corrupt, is never wrong and never
// missing; and others stay readable. Only the last append of a store that died may
// be dropped: nothing proves that it was acknowledged.
func TestOneFlippedBitInEachBlock(t *testing.T) {
	seed := testSeed(t)
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprintf("clean=%v", clean), func(t *testing.T) {
			r := newRot(t, seed, clean)
			for _, name := range r.files() {
				r.flipIn(name)
			}
			t.Logf("%d flips: %d refused, %d noticed by reading, %d without effect; %d of %d keys corrupt",
				r.flips, r.refused, r.noticed, r.flips-r.refused-r.noticed, r.corrupt, r.flips*len(r.want))
			if r.refused == 0 || r.noticed == 0 || r.corrupt > r.noticed*len(r.want)/2 {
				t.Error("too little was noticed, or too much lost")
			}
		})
	}
}

// A rot is a store on a disk that is copied for each flip.
type rot struct {
	t    *testing.T
	rng  *rand.Rand
	disk *crashdisk.Disk
	want map[string]string
	// last is the key of the last append, if that may be lost, and before what it
	// had until then; lastBlock is where that append begins.
	last, before string
	lastBlock    uint64

	flips, refused, noticed, corrupt int
}

func newRot(t *testing.T, seed uint64, clean bool) *rot {
	r := &rot{t: t, rng: rand.New(rand.NewSource(int64(seed))), disk: crashdisk.New(seed), want: map[string]string{}}
	db, err := Open(ctx, crashOptions(r.disk))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 150 {
		r.set(db, fmt.Sprintf("%02d", i%50), r.rng.Intn(400))
	}
	r.set(db, "blob", 3*kv.ChunkBytes/2)
	r.set(db, "short blob", 5000)
	for _, key := range []string{"blob", "20", "30", "40"} {
		commit(t, db, link(key, "also "+key))
		r.want["also "+key] = r.want[key]
	}
	if clean {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	} else {
		r.setLast(db)
		db.Kill()
	}
	r.disk = r.disk.Kill()
	return r
}

// setLast makes an append that may be lost, of one block and nothing else: a
// checkpoint under way may put its own in front or into it.
func (r *rot) setLast(db *DB) {
	for range 100 {
		r.set(db, "10", 100)
		r.last, r.before, r.lastBlock = "10", r.want["10"], db.log.Next()
		r.set(db, "10", 200)
		if db.log.Next() == r.lastBlock+1 {
			return
		}
	}
	r.t.Fatal("no append was alone")
}

func (r *rot) set(db *DB, key string, bytes int) {
	value := make([]byte, bytes)
	r.rng.Read(value)
	r.want[key] = string(value)
	set(r.t, db, key, r.want[key])
}

func (r *rot) files() (names []string) {
	all, err := r.disk.List("store")
	if err != nil {
		r.t.Fatal(err)
	}
	for _, name := range all {
		if strings.HasPrefix(name, "seg_") || name == "format" {
			names = append(names, "store/"+name)
		}
	}
	return names
}

// flipIn flips a bit in each block of a file.
func (r *rot) flipIn(name string) {
	info, err := r.disk.Stat(name)
	if err != nil {
		r.t.Fatal(err)
	}
	for at := int64(0); at < info.Bytes; at += lbs.BlockBytesDefault {
		within := min(lbs.BlockBytesDefault, info.Bytes-at)
		if at == 0 {
			within = 64 // the rest of a header is not looked at
		}
		offset := at + r.rng.Int63n(within)
		d := r.disk.Clone(r.rng.Uint64())
		bit := byte(1) << r.rng.Intn(8)
		if err := faultdisk.New(d).Rot(name, offset, 1, bit); err != nil {
			r.t.Fatal(err)
		}
		r.flips++
		stop := watchdog(r.t, "bit %#x at offset %d of %s", bit, offset, name)
		r.check(d)
		stop()
		if r.t.Failed() {
			r.t.Fatalf("bit %#x at offset %d of %s", bit, offset, name)
		}
	}
}

func (r *rot) check(d *crashdisk.Disk) {
	db, err := Open(ctx, crashOptions(d))
	if err != nil {
		r.refused++
		if !errors.Is(err, kv.ErrCorrupt) && !errors.Is(err, lbs.ErrDamaged) && !errors.Is(err, lbs.ErrFormat) {
			r.t.Errorf("open: %v", err)
		}
		return
	}
	next := db.log.Next() // as it was found: a store that is left alone for a second merges
	corrupt := 0
	for key, want := range r.want {
		p, err := db.Get(ctx, kv.GetRequest{Key: []byte(key), Want: kv.WantAll})
		switch {
		case errors.Is(err, kv.ErrCorrupt):
			corrupt++
		case err != nil:
			r.t.Errorf("%q: %v", key, err)
		case string(p.Value) != want && (key != r.last || string(p.Value) != r.before || next > r.lastBlock):
			r.t.Errorf("%q has %d bytes %.10q, want %d bytes %.10q", key, len(p.Value), p.Value, len(want), want)
		}
	}
	r.checkScan(db, corrupt)
	r.corrupt += corrupt
	if corrupt > 0 {
		r.noticed++
	}
	r.checkWrites(db)
}

// checkScan: a scan ends with an error where a get does, and finds all otherwise.
func (r *rot) checkScan(db *DB, corrupt int) {
	found := 0
	for p, err := range kv.All(ctx, db, kv.ScanRequest{Want: kv.WantAll, Limit: 3, ValueBytes: kv.ValueBytesMax}) {
		if err != nil {
			if corrupt == 0 || !errors.Is(err, kv.ErrCorrupt) {
				r.t.Errorf("scan: %v", err)
			}
			return
		}
		if key := string(p.Key); r.want[key] != string(p.Value) && key != r.last {
			r.t.Errorf("scan: %q has %d bytes %.10q", key, len(p.Value), p.Value)
		}
		found++
	}
	if found != len(r.want) || corrupt > 0 {
		r.t.Errorf("scan: %d pairs of %d, %d corrupt", found, len(r.want), corrupt)
	}
}

// checkWrites: a damaged store takes writes, as far as it can read what they cover,
// which may be a link; and a checkpoint that meets the damage reports it and loses
// nothing.
func (r *rot) checkWrites(db *DB) {
	_, unread := db.Get(ctx, kv.GetRequest{Key: []byte("new")})
	_, err := db.Commit(ctx, put("new", []byte("value")))
	if err != nil && !(errors.Is(err, kv.ErrCorrupt) && errors.Is(unread, kv.ErrCorrupt)) {
		r.t.Errorf("put: %v", err)
	}
	err = db.Close()
	if err != nil && !errors.Is(err, kv.ErrCorrupt) {
		r.t.Errorf("close: %v", err)
	}
}

// TestFailedPatchLeavesNothing: the effects of a transaction are taken back when a
// later one fails, but an effect that was alone was thought to fail before it does
// anything. A patch that rewrites a blob's first chunk and then finds the last one
// damaged had answered an error, and changed the first chunk all the same.
func TestFailedPatchLeavesNothing(t *testing.T) {
	fs := faultdisk.New(crashdisk.New(1))
	db, err := Open(ctx, faultOptions(fs))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	want := bytes.Repeat([]byte("x"), 3*kv.ChunkBytes)
	set(t, db, "blob", string(want))
	reads, nth := 0, 0
	remove := fs.Inject(func(c faultdisk.Call) *faultdisk.Fault {
		if c.Op == faultdisk.Read && c.Bytes > kv.ChunkBytes {
			if reads++; reads == nth {
				return &faultdisk.Fault{Err: errDisk}
			}
		}
		return nil
	})
	for _, c := range []struct {
		effect kv.Effect
		nth    int // read, of the last chunk: what is in memory is not read, nor a chunk that goes as a whole
	}{
		{kv.Effect{Op: kv.Patch, Offset: 100, Value: make([]byte, 2*kv.ChunkBytes)}, 2},
		{kv.Effect{Op: kv.Punch, Offset: 100, Length: 2 * kv.ChunkBytes}, 1},
	} {
		e := c.effect
		reads, nth, e.Key = 0, c.nth, []byte("blob")
		if _, err := db.Commit(ctx, &kv.Txn{Effects: []kv.Effect{e}}); !errors.Is(err, errDisk) {
			t.Errorf("effect %d: %v (%d reads)", e.Op, err, reads)
		}
	}
	remove()
	if v, _ := get(t, db, "blob"); v != string(want) {
		t.Error("a transaction that failed has changed the value")
	}
}

var errDisk = errors.New("medium error")
