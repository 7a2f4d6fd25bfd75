package kvstore

import (
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"slices"
	"sync"
	"testing"

	"kivaloo/kvstore/kv"
	"kivaloo/lbs/disk/crashdisk"
	"kivaloo/lbs/disk/faultdisk"
)

var sweepAll = flag.Bool("sweep.all", false, "fill disks of every size with every load, not one load a size")

// Some sizes of disks could be filled so that nothing could be deleted any more:
// deletions and the checkpoint used up the reserve together, and what was left of
// the disk was too little for one more segment.
func TestDisksOfEverySizeAreEmptied(t *testing.T) {
	seed, n := testSeed(t), 0
	skipped := func() bool { return testing.Short() && (n+int(seed%shortShare))%shortShare != 0 }
	for size := int64(4 << 20); size <= 20<<20; size += 256 << 10 {
		for _, odd := range []int64{0, -24 << 10} {
			for i := range sweepLoads {
				if skipped() || !*sweepAll && (odd != 0) != (n%3 == 0) || !*sweepAll && i != n%len(sweepLoads) {
					continue
				}
				s := &sweep{size: size + odd, load: &sweepLoads[i], seed: int64(seed) + int64(n)}
				t.Run(s.name(), func(t *testing.T) { s.t = t; s.run() })
			}
			n++
		}
	}
}

// shortShare: with -short one disk in so many is tried, others at each run.
const shortShare = 8

// A sweepLoad is what a disk is filled with, and how it is emptied.
type sweepLoad struct {
	name    string
	values  func(rng *rand.Rand) int // the length of the next
	writers int
	random  bool // deletes in no order
	killed  bool // while full, and while it is emptied
}

func smallValue(rng *rand.Rand) int { return []int{5, 100, 900, 3000, 10000}[rng.Intn(5)] }
func tinyValue(rng *rand.Rand) int  { return 300 + rng.Intn(600) }
func largeValue(rng *rand.Rand) int { return 20<<10 + rng.Intn(280<<10) }

var sweepLoads = []sweepLoad{
	{name: "small", values: smallValue, writers: 1},
	{name: "large", values: largeValue, writers: 1, random: true, killed: true},
	{name: "small", values: smallValue, writers: 4, random: true},
	{name: "tiny", values: tinyValue, writers: 4, random: true, killed: true},
	{name: "large", values: largeValue, writers: 3},
	{name: "small", values: smallValue, writers: 1, random: true, killed: true},
	{name: "tiny", values: tinyValue, writers: 3},
}

// A sweep is one disk that is filled, emptied and filled again.
type sweep struct {
	t    *testing.T
	size int64
	load *sweepLoad
	seed int64

	below *crashdisk.Disk
	disk  *faultdisk.Disk
	db    *DB

	mu   sync.Mutex
	want map[string]int // lengths of values
}

func (s *sweep) name() string {
	name := fmt.Sprintf("%dk/%s/%d", s.size>>10, s.load.name, s.load.writers)
	for _, x := range []struct {
		is   bool
		what string
	}{{s.load.random, "/random"}, {s.load.killed, "/killed"}} {
		if x.is {
			name += x.what
		}
	}
	return name
}

func (s *sweep) run() {
	defer watchdog(s.t, s.name())()
	s.below = crashdisk.New(uint64(s.seed))
	s.disk = faultdisk.New(s.below)
	s.disk.SetRoom(s.size)
	s.want = make(map[string]int)
	s.open()
	defer func() { s.db.Kill() }()
	if _, err := s.db.Commit(ctx, put("r/", nil)); err != nil {
		s.t.Fatalf("mkdir: %v", err)
	}
	s.side(s.fill)
	s.restart()
	s.check()
	full := len(s.want)
	s.side(s.empty)
	s.check()
	if left := len(s.want); left > 0 {
		s.t.Fatalf("%d of %d pairs could not be deleted: %v", left, full, s.state())
	}
	s.writeThird()
	s.check()
	fsck(s.t, s.db)
}

func (s *sweep) open() {
	db, err := Open(ctx, Options{Dir: "store", FS: s.disk, Create: true, CacheBytes: 4 << 20})
	if err != nil {
		s.t.Fatalf("open: %v", err)
	}
	s.db = db
}

// restart: the process dies, and finds the disk as full as it was.
func (s *sweep) restart() {
	if s.load.killed {
		s.db.Kill()
		s.open()
	}
}

func (s *sweep) state() string {
	u, _ := s.db.space.segmented.Space()
	return fmt.Sprintf("%+v, live %d, stats %+v", u, s.db.space.liveBytes.Load(), s.db.Stats())
}

// side runs all writers side by side.
func (s *sweep) side(f func(w int, rng *rand.Rand)) {
	var wg sync.WaitGroup
	for w := range s.load.writers {
		wg.Go(func() { f(w, rand.New(rand.NewSource(s.seed+int64(w)))) })
	}
	wg.Wait()
}

// touched adds what a mount adds to a transaction: the directory's marker changes.
func touched(e kv.Effect) *kv.Txn {
	return &kv.Txn{Effects: []kv.Effect{e, {Op: kv.Patch, Key: []byte("r/"), SetMeta: true, Meta: make([]byte, 20)}}}
}

func (s *sweep) fill(w int, rng *rand.Rand) {
	for i, refused := 0, 0; refused < 3; i++ {
		key, n := fmt.Sprintf("r/%d-%d", w, i), s.load.values(rng)
		_, err := s.db.Commit(ctx, touched(kv.Effect{Op: kv.Put, Key: []byte(key), Value: valueOf(key, n)}))
		switch {
		case errors.Is(err, kv.ErrNoSpace):
			refused++
		case err != nil:
			s.t.Errorf("put: %v", err)
			return
		default:
			s.mu.Lock()
			s.want[key] = n
			s.mu.Unlock()
		}
	}
}

// valueOf is bytes that are those of their key.
func valueOf(key string, n int) []byte {
	v := make([]byte, n)
	for i := range v {
		v[i] = key[i%len(key)]
	}
	return v
}

// empty deletes this writer's part of the pairs one by one.
func (s *sweep) empty(w int, rng *rand.Rand) {
	var keys []string
	s.mu.Lock()
	for key := range s.want {
		if key[2]-'0' == byte(w) {
			keys = append(keys, key)
		}
	}
	s.mu.Unlock()
	slices.Sort(keys)
	if s.load.random {
		rng.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	}
	for i, key := range keys {
		if i == len(keys)/3 && s.load.writers == 1 {
			s.restart()
		}
		if _, err := s.db.Commit(ctx, touched(kv.Effect{Op: kv.Delete, Key: []byte(key)})); err != nil {
			s.t.Errorf("deleting %d of %d: %v; %s", i, len(keys), err, s.state())
			return
		}
		s.mu.Lock()
		delete(s.want, key)
		s.mu.Unlock()
	}
}

// writeThird writes values until they come to a third of the disk.
func (s *sweep) writeThird() {
	rng := rand.New(rand.NewSource(s.seed))
	for i, sum := 0, int64(0); sum < s.size/3; i++ {
		key, n := fmt.Sprintf("r/again%d", i), max(900, s.load.values(rng))
		if _, err := s.db.Commit(ctx, touched(kv.Effect{Op: kv.Put, Key: []byte(key), Value: valueOf(key, n)})); err != nil {
			s.t.Fatalf("a fresh write after %d of %d bytes: %v; %s", sum, s.size, err, s.state())
		}
		s.want[key] = n
		sum += int64(n)
	}
}

func (s *sweep) check() {
	s.t.Helper()
	got := readPairs(s.t, s.db)
	delete(got, "r/")
	for key, n := range s.want {
		if v, ok := got[key]; !ok || v != string(valueOf(key, n)) {
			s.t.Errorf("%q has %d bytes (%v), want %d", key, len(v), ok, n)
		}
	}
	if len(got) != len(s.want) {
		s.t.Errorf("%d pairs, want %d", len(got), len(s.want))
	}
}
