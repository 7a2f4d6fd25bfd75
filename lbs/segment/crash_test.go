package segment

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"testing"

	"kivaloo/lbs"
	"kivaloo/lbs/disk"
	"kivaloo/lbs/disk/crashdisk"
	"kivaloo/lbs/lbstest"
)

// A world is what the user of a store knows: what was acknowledged, what was under
// way, and what was given back.
type world struct {
	opts Options
	rand *rand.Rand
	disk *crashdisk.Disk

	acked  []fact
	flight *fact // an append that was begun, and not answered
	freed  []lbs.Segment
}

type fact struct {
	first, next uint64
	payload     []byte
}

func newWorld(seed uint64, blockBytes int) *world {
	return &world{
		opts: Options{
			BlockBytes: blockBytes, Create: true,
			MinSegmentBytes: 12 << 10, MaxSegmentBytes: 16 << 10,
			Rand: bytes.NewReader(lbstest.Payload(seed, 64)),
		},
		rand: rand.New(rand.NewPCG(seed, 2)),
	}
}

// live runs a life of a store: created, filled over several segments, freed and
// recycled, killed and recovered. It ends early when the disk does.
func (w *world) live(d *crashdisk.Disk) error {
	w.disk = d
	for _, step := range []func(*Store) error{w.fill, w.recycle, w.fillLarge} {
		s, err := w.open(w.disk)
		if err != nil {
			return err
		}
		err = step(s)
		if err == nil {
			w.disk = w.disk.Kill()
		}
		_ = s.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// open opens the store and waits for its spares, so that calls have one order.
func (w *world) open(d disk.FS) (*Store, error) {
	s, err := Open(d, "store", w.opts)
	if err != nil {
		return nil, err
	}
	if err := w.wait(s); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (w *world) wait(s *Store) error {
	if err := s.WaitSpares(); !disk.IsNoSpace(err) {
		return err
	}
	return nil
}

func (w *world) fill(s *Store) error {
	for range 9 {
		if err := w.append(s, 1+w.rand.IntN(5*s.blockBytes)); err != nil {
			return err
		}
	}
	return nil
}

// recycle writes on a full disk until a spare is used up, frees a segment that is
// not the first, and writes until its file has begun another life.
func (w *world) recycle(s *Store) error {
	w.disk.SetBytes(1)
	for n := len(s.Segments()); len(s.Segments()) == n; {
		if err := w.append(s, 1+w.rand.IntN(2*s.blockBytes)); err != nil {
			return err
		}
	}
	all := s.Segments()
	if err := w.free(s, all[min(1, len(all)-2)]); err != nil {
		return err
	}
	w.disk.SetBytes(crashdisk.DefaultBytes)
	return w.fill(s)
}

// fillLarge appends what fits no usual segment, after one that ends exactly where
// its segment does, and frees everything before.
func (w *world) fillLarge(s *Store) error {
	if err := w.append(s, 20<<10); err != nil {
		return err
	}
	all := s.Segments()
	for _, g := range all[:len(all)-1] {
		if err := w.free(s, g); err != nil {
			return err
		}
	}
	return w.fill(s)
}

func (w *world) append(s *Store, bytes int) error {
	f := fact{first: s.Next(), payload: lbstest.Payload(s.Next(), bytes)}
	f.next = f.first + s.blocksFor(bytes)
	w.flight = &f
	next, err := s.Append(f.first, append([]byte(nil), f.payload...), lbs.Reserve)
	if err != nil {
		return err
	}
	if next != f.next {
		return fmt.Errorf("append answered %d, expected %d", next, f.next)
	}
	w.acked, w.flight = append(w.acked, f), nil
	return w.wait(s)
}

func (w *world) free(s *Store, g lbs.Segment) error {
	w.freed = append(w.freed, g)
	if err := s.FreeSegment(g.First); err != nil {
		return err
	}
	return w.wait(s)
}

// check compares a recovered store with what is known. An append that was under
// way is there whole, or not at all; from here on it is known which.
func (w *world) check(s *Store) error {
	if d := s.Damage(); len(d) > 0 {
		return fmt.Errorf("damage: %v", d)
	}
	if w.flight != nil && s.Next() == w.flight.next {
		w.acked = append(w.acked, *w.flight)
	}
	w.flight = nil
	next := uint64(0)
	if len(w.acked) > 0 {
		next = w.acked[len(w.acked)-1].next
	}
	if s.Next() != next {
		return fmt.Errorf("next is %d, expected %d", s.Next(), next)
	}
	for _, f := range w.acked {
		if err := w.checkFact(s, f); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) checkFact(s *Store, f fact) error {
	got := make([]byte, len(f.payload))
	err := s.ReadAt(got, f.first, 0)
	if w.isFreed(f) && errors.Is(err, lbs.ErrNoBlock) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("acknowledged blocks %d to %d: %w", f.first, f.next, err)
	}
	if !bytes.Equal(got, f.payload) {
		return fmt.Errorf("acknowledged blocks %d to %d are not as they were written", f.first, f.next)
	}
	return nil
}

func (w *world) isFreed(f fact) bool {
	for _, g := range w.freed {
		if f.first >= g.First && f.first < g.First+g.Blocks {
			return true
		}
	}
	return false
}

// fork copies what is known, for another course of events.
func (w *world) fork() *world {
	c := *w
	c.acked = append([]fact(nil), w.acked...)
	c.freed = append([]lbs.Segment(nil), w.freed...)
	c.opts.Rand = bytes.NewReader(lbstest.Payload(99, 64))
	c.rand = rand.New(rand.NewPCG(w.rand.Uint64(), 3))
	return &c
}

// revive opens the store after a cut or a kill, checks it, and goes on writing; it
// does the same once more after another cut, for what was shown may not be lost.
func (w *world) revive(d *crashdisk.Disk) error {
	for range 2 {
		d.SetBytes(crashdisk.DefaultBytes)
		s, err := w.open(d)
		if err != nil {
			return fmt.Errorf("recovery: %w", err)
		}
		err = w.check(s)
		if err == nil {
			err = w.append(s, 1+w.rand.IntN(1500))
		}
		d = d.Crash()
		_ = s.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// calls counts the disk calls of a whole life.
func calls(t *testing.T, seed uint64, blockBytes int) int {
	t.Helper()
	w := newWorld(seed, blockBytes)
	must(t, w.live(crashdisk.New(seed)))
	return w.disk.Calls()
}

// TestAcknowledgedAppendsSurviveACutAtEveryCall cuts the power at every single call
// of a life, and then at every so many of the recovery from that.
func TestAcknowledgedAppendsSurviveACutAtEveryCall(t *testing.T) {
	seed := lbstest.Seed(t)
	var sum crashdisk.Stats
	for i, run := range []struct{ blockBytes, every int }{
		{512, 4}, {512, 17}, {1000, 23}, {4096, 61},
	} {
		n := calls(t, seed+uint64(i), run.blockBytes)
		recoveries := 0
		for cut := 1 + i%slower(); cut <= n; cut += slower() {
			did, stats, err := cutLife(seed+uint64(i), run.blockBytes, cut, run.every)
			if err != nil {
				t.Fatalf("run %d, blocks of %d, cut at call %d of %d: %v", i, run.blockBytes, cut, n, err)
			}
			recoveries += did
			sum = sum.Add(stats)
		}
		t.Logf("blocks of %d: %d calls, %d recoveries", run.blockBytes, n, recoveries)
	}
	t.Logf("%+v", sum)
	for _, count := range []int{sum.SectorsLost, sum.SectorsKept, sum.WritesTorn, sum.SizesLost, sum.SizesKept, sum.EntriesLost, sum.EntriesKept, sum.SyncsHonored} {
		if count == 0 {
			t.Errorf("something never happened")
		}
	}
}

// cutLife cuts the power at one call of a life, and recovers from that in many
// ways.
func cutLife(seed uint64, blockBytes, cut, every int) (recoveries int, sum crashdisk.Stats, err error) {
	w := newWorld(seed, blockBytes)
	d := crashdisk.New(seed + uint64(cut))
	d.CutAt(cut)
	if err = w.live(d); !errors.Is(err, crashdisk.ErrPowerCut) {
		return 0, sum, fmt.Errorf("not cut: %w", err)
	}
	sum = w.disk.Stats()
	for fate := range 4 {
		d := w.disk.Clone(seed + uint64(fate)).Crash()
		sum = sum.Add(d.Stats())
		for again := 1 + fate%every; ; again += every {
			more, stats, err := cutRecovery(w.fork(), d.Clone(seed+uint64(again)), again)
			sum = sum.Add(stats)
			recoveries++
			if err != nil {
				return recoveries, sum, fmt.Errorf("fate %d, and at call %d of the recovery: %w", fate, again, err)
			}
			if !more {
				break
			}
		}
	}
	return recoveries, sum, nil
}

// slower is by how much fewer cases are tried under the race detector, where each
// takes longer and what matters is another thing.
func slower() int {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-race" && s.Value == "true" {
				return 7
			}
		}
	}
	return 1
}

// cutRecovery cuts the power at the n-th call of a recovery, and recovers from
// that. more is false when the recovery has fewer calls.
func cutRecovery(w *world, d *crashdisk.Disk, n int) (more bool, stats crashdisk.Stats, err error) {
	d.CutAt(n)
	s, err := w.open(d)
	if err == nil {
		_ = s.Close()
	} else if !errors.Is(err, crashdisk.ErrPowerCut) {
		return false, stats, fmt.Errorf("first recovery: %w", err)
	}
	more = d.IsCut()
	d = d.Crash()
	stats = d.Stats()
	return more, stats, w.revive(d)
}

// TestKilledProcessLosesNothingItShowed kills the process at every call, opens the
// store again, and then cuts the power: what the second process showed, and what
// it acknowledged, is there.
func TestKilledProcessLosesNothingItShowed(t *testing.T) {
	seed := lbstest.Seed(t)
	for _, blockBytes := range []int{512, 1000} {
		n := calls(t, seed, blockBytes)
		for kill := 1; kill <= n; kill += slower() {
			for variant := range uint64(3) {
				d := crashdisk.New(seed + uint64(kill) + variant<<32)
				d.KillAt(kill)
				w := newWorld(seed, blockBytes)
				err := w.live(d)
				if !errors.Is(err, crashdisk.ErrKilled) {
					t.Fatalf("blocks of %d, killed at call %d of %d: %v", blockBytes, kill, n, err)
				}
				if err := w.revive(w.disk.Kill()); err != nil {
					t.Fatalf("blocks of %d, variant %d, killed at call %d of %d: %v", blockBytes, variant, kill, n, err)
				}
			}
		}
	}
}

// TestRecoveryFromAKillIsCut kills the process at every call of appends that begin
// a segment each, and cuts the power in the recovery from that, while names are
// given: those that the recovery found may not have been durable.
func TestRecoveryFromAKillIsCut(t *testing.T) {
	const namingCalls = 20 // of a recovery, until its names are durable
	for kill := 1; ; kill++ {
		w, err := beginSegments(crashdisk.New(uint64(kill)), kill)
		if !errors.Is(err, crashdisk.ErrKilled) {
			must(t, err)
			return
		}
		for cut := 1; cut <= namingCalls; cut++ {
			for fate := range uint64(24) {
				d := w.disk.Clone(fate<<32 + uint64(kill)<<16 + uint64(cut))
				if _, _, err := cutRecovery(w.fork(), d, cut); err != nil {
					t.Fatalf("killed at call %d, cut at call %d, fate %d: %v", kill, cut, fate, err)
				}
			}
		}
	}
}

// beginSegments makes a store, and appends to it until it is killed.
func beginSegments(d *crashdisk.Disk, kill int) (*world, error) {
	w := newWorld(1, 512)
	w.disk = d
	s, err := w.open(d)
	if err != nil {
		return w, err
	}
	defer s.Close()
	d.KillAt(kill)
	for range 3 {
		if err := w.append(s, 5000); err != nil {
			return w, err
		}
	}
	return w, nil
}
