package segment

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"kivaloo/lbs"
	"kivaloo/lbs/disk"
	"kivaloo/lbs/disk/crashdisk"
	"kivaloo/lbs/disk/faultdisk"
	"kivaloo/lbs/lbstest"
)

// TestNothingIsAcknowledgedAfterAFailedFlush: the page cache shows the append, the
// disk may hold any part of it, and the store must not say more until it is opened
// again; then it shows all of the append or nothing, and does not change its mind.
func TestNothingIsAcknowledgedAfterAFailedFlush(t *testing.T) {
	var there, gone int
	for seed := uint64(0); seed < 200; seed++ {
		d := crashdisk.New(seed)
		f := faultdisk.New(d)
		s := open(t, f, small)
		add(t, s, 1000, 300)
		next := s.Next()
		f.FailNth(faultdisk.Datasync, 1, syscall.EIO)
		for range 2 {
			_, err := s.Append(next, lbstest.Payload(next, 600), lbs.Reserve)
			if !errors.Is(err, lbs.ErrFailed) || !errors.Is(err, syscall.EIO) {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		if s.Next() != next || isThere(t, s, next, 600) {
			t.Fatalf("seed %d: the failed append is served", seed)
		}
		must(t, s.Close())
		shown := uint64(0)
		for round := range 3 {
			s := open(t, d, small)
			if round == 0 {
				shown = s.Next()
			}
			if s.Next() != shown || len(s.Damage()) > 0 || isThere(t, s, next, 600) != (shown > next) {
				t.Fatalf("seed %d, round %d: next %d, was %d, damage %v", seed, round, s.Next(), shown, s.Damage())
			}
			d = d.Crash()
		}
		if shown > next {
			there++
		} else {
			gone++
		}
	}
	if there == 0 || gone == 0 {
		t.Errorf("it was there %d times, and gone %d times", there, gone)
	}
}

// TestAnyCallMayFail makes every single call of a life fail with EIO, once. The
// store may refuse, but what it acknowledged is there when it is opened again.
func TestAnyCallMayFail(t *testing.T) {
	refused := 0
	for n := 1; ; n++ {
		d := crashdisk.New(uint64(n))
		f := faultdisk.New(d)
		before := f.Count(faultdisk.Any)
		f.FailNth(faultdisk.Any, n, syscall.EIO)
		w := newWorld(7, 512)
		err := w.liveThrough(f)
		if err != nil {
			refused++
			if !errors.Is(err, syscall.EIO) {
				t.Fatalf("call %d: the cause is missing: %v", n, err)
			}
		}
		if err := w.revive(d.Crash()); err != nil {
			t.Fatalf("call %d failed: %v", n, err)
		}
		if f.Count(faultdisk.Any)-before < n {
			break // it was never made
		}
	}
	if refused == 0 {
		t.Error("no failed call was noticed")
	}
}

// liveThrough is a life of one process on a disk that is not to be killed.
func (w *world) liveThrough(fsys disk.FS) error {
	s, err := Open(fsys, dir, w.opts)
	if err != nil {
		return err
	}
	defer s.Close()
	_ = s.WaitSpares()
	if err := w.fill(s); err != nil {
		return err
	}
	all := s.Segments()
	if err := w.free(s, all[min(1, len(all)-2)]); err != nil {
		return err
	}
	return w.fill(s)
}

// TestAnyWriteMayFindTheDiskFull: then the append is refused, nothing has changed,
// and when there is room it goes on without being opened again.
func TestAnyWriteMayFindTheDiskFull(t *testing.T) {
	for n := 1; ; n++ {
		d := crashdisk.New(uint64(n))
		f := faultdisk.New(d)
		w := newWorld(9, 512)
		s, err := Open(f, dir, w.opts)
		must(t, err)
		must(t, s.WaitSpares())
		writes := faultdisk.Write | faultdisk.Allocate | faultdisk.Rename | faultdisk.Create
		before := f.Count(writes)
		f.FailNth(writes, n, syscall.ENOSPC)
		for range 12 {
			err := w.append(s, 1+w.rand.IntN(1500))
			if err != nil && !errors.Is(err, lbs.ErrNoSpace) {
				t.Fatalf("call %d: %v", n, err)
			}
			if err != nil {
				w.flight = nil
				must(t, w.append(s, 1+w.rand.IntN(1500)))
			}
		}
		done := f.Count(writes)-before < n
		d = d.Crash()
		_ = s.Close()
		if err := w.revive(d); err != nil {
			t.Fatalf("call %d: %v", n, err)
		}
		if done {
			break
		}
	}
}

// TestRenamesRefusedByAFullDisk: of the two renames of an activation the first may
// fail, and the append is refused and may come again; or the second, and the name
// is given by the next activation, before its neighbour can be freed.
func TestRenamesRefusedByAFullDisk(t *testing.T) {
	for nth := 1; nth <= 2; nth++ {
		d := crashdisk.New(1)
		_, err := renameRefused(d, nth)
		must(t, err)
		for cut := 1; cut <= d.Calls(); cut++ {
			for fate := uint64(0); fate < 20; fate++ {
				d := crashdisk.New(fate)
				d.CutAt(cut)
				w, err := renameRefused(d, nth)
				if !errors.Is(err, crashdisk.ErrPowerCut) {
					t.Fatalf("rename %d, cut at call %d: %v", nth, cut, err)
				}
				if err := w.revive(d.Crash()); err != nil {
					t.Fatalf("rename %d, cut at call %d, fate %d: %v", nth, cut, fate, err)
				}
			}
		}
	}
}

// renameRefused is a life of three segments in which the nth rename of the first
// activation is refused. The second segment is freed at once.
func renameRefused(d *crashdisk.Disk, nth int) (*world, error) {
	f := faultdisk.New(d)
	w := newWorld(1, 512)
	s, err := w.open(f)
	if err != nil {
		return w, err
	}
	defer s.Close()
	if err := w.append(s, 448); err != nil {
		return w, err
	}
	f.FailNth(faultdisk.Rename, nth, syscall.ENOSPC)
	if nth == 1 {
		if err := w.append(s, 7900); !errors.Is(err, lbs.ErrNoSpace) {
			return w, err
		}
		w.flight = nil
	}
	for _, n := range []int{448, 7900, 7900} {
		if err := w.append(s, n); err != nil {
			return w, err
		}
	}
	if len(s.Segments()) != 3 {
		return w, fmt.Errorf("%d segments", len(s.Segments()))
	}
	return w, w.free(s, s.Segments()[1])
}

// TestFullDiskKeepsTheReserveForDeletes: ordinary appends stop when only the reserve
// is left, reserve appends go on into it, freeing gives room back, and more room on
// the disk is noticed by itself.
func TestFullDiskKeepsTheReserveForDeletes(t *testing.T) {
	f := faultdisk.New(crashdisk.New(1))
	s := open(t, f, small)
	f.SetRoom(0)
	var err error
	for err == nil {
		_, err = s.Append(s.Next(), lbstest.Payload(s.Next(), 448), lbs.Ordinary)
	}
	if !errors.Is(err, lbs.ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	space, err := s.Space()
	must(t, err)
	if want := 2 * (small.MinSegmentBytes - headerBytes); space.Reserve != want || space.Free != 0 {
		t.Errorf("space: %+v, want a reserve of %d", space, want)
	}
	for took := int64(0); took < space.Reserve; took += 512 {
		_, err := s.Append(s.Next(), lbstest.Payload(s.Next(), 448), lbs.Reserve)
		must(t, err)
		if _, err := s.Append(s.Next(), []byte("ordinary"), lbs.Ordinary); !errors.Is(err, lbs.ErrNoSpace) {
			t.Fatalf("an ordinary append got into the reserve: %v", err)
		}
	}
	if _, err := s.Append(s.Next(), []byte("x"), lbs.Reserve); !errors.Is(err, lbs.ErrNoSpace) {
		t.Fatalf("the reserve has no end: %v", err)
	}
	for i := range uint64(s.Next()) {
		if !isThere(t, s, i, 448) {
			t.Fatalf("on the full disk block %d cannot be read", i)
		}
	}
	for _, g := range s.Segments()[:3] {
		must(t, s.FreeSegment(g.First))
	}
	add(t, s, 448)
	for err == nil {
		_, err = s.Append(s.Next(), []byte("x"), lbs.Ordinary)
	}
	f.SetRoom(1 << 20)
	add(t, s, 448, 20000)
}

// A checkpoint that had used up the reserve, on a disk with almost a segment free,
// was refused the little that it needed to free some, for ever.
func TestAReserveAppendGetsAShortSegment(t *testing.T) {
	f := faultdisk.New(crashdisk.New(1))
	s := open(t, f, small)
	must(t, s.WaitSpares())
	left := small.MinSegmentBytes - 512
	f.SetRoom(left)
	var err error
	for err == nil {
		_, err = s.Append(s.Next(), lbstest.Payload(s.Next(), 448), lbs.Reserve)
	}
	if !errors.Is(err, lbs.ErrNoSpace) {
		t.Fatal(err)
	}
	all := s.Segments()
	if short := all[len(all)-1].Bytes; short >= small.MinSegmentBytes || short > left {
		t.Errorf("the last segment has %d bytes, %d were left", short, left)
	}
	u, err := s.Space()
	must(t, err)
	if u.Spare != 0 || u.Tail != 0 {
		t.Errorf("left over: %+v", u)
	}
	must(t, s.Close())
	s, err = Open(f, dir, small)
	must(t, err)
	defer s.Close()
	for i := range uint64(s.Next()) {
		if !isThere(t, s, i, 448) {
			t.Fatalf("block %d cannot be read", i)
		}
	}
	// What comes free belongs to the reserve first.
	f.SetRoom(small.MinSegmentBytes)
	if _, err := s.Append(s.Next(), []byte("ordinary"), lbs.Ordinary); !errors.Is(err, lbs.ErrNoSpace) {
		t.Errorf("an ordinary append got what the reserve lacks: %v", err)
	}
}

// TestFilesWithTwoNamesAreNotWrittenTo: a backup made of hard links, of a segment
// that is freed and of a spare.
func TestFilesWithTwoNamesAreNotWrittenTo(t *testing.T) {
	d := crashdisk.New(1)
	s := open(t, d, small)
	for len(s.Segments()) < 2 {
		add(t, s, 448)
	}
	must(t, s.WaitSpares())
	names, err := d.List(dir)
	must(t, err)
	backup := map[string]string{}
	for _, name := range names {
		must(t, d.Link(dir+"/"+name, name))
		if name != openName(s.Segments()[1].First) {
			backup[name] = string(contents(t, d, name))
		}
	}
	must(t, s.FreeSegment(0))
	for len(s.Segments()) < 6 {
		add(t, s, 448)
	}
	for name, want := range backup {
		if string(contents(t, d, name)) != want {
			t.Errorf("%s was written to", name)
		}
	}
}

func contents(t *testing.T, d disk.FS, name string) []byte {
	t.Helper()
	f, err := d.Open(name)
	must(t, err)
	size, err := f.Size()
	must(t, err)
	p := make([]byte, size)
	_, err = f.ReadAt(p, 0)
	must(t, err)
	return p
}

// TestReadersOfAFreedSegmentNeverSeeItsNextLife reads blocks while their segments
// are freed and written again.
func TestReadersOfAFreedSegmentNeverSeeItsNextLife(t *testing.T) {
	d := crashdisk.New(1)
	s := open(t, d, small)
	d.SetBytes(1)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for back := uint64(1); back < 60; back++ {
					block := s.Next() - back
					p := make([]byte, 448)
					err := s.ReadAt(p, block, 0)
					if errors.Is(err, lbs.ErrNoBlock) {
						continue
					}
					if err != nil || string(p) != string(lbstest.Payload(block, 448)) {
						t.Errorf("block %d: other bytes, or %v", block, err)
						return
					}
				}
			}
		})
	}
	for range 2000 {
		add(t, s, 448)
		if all := s.Segments(); len(all) > 1 {
			must(t, s.FreeSegment(all[0].First))
		}
	}
	close(stop)
	wg.Wait()
}

// TestLostAndMisdirectedWritesAreDamage: the disk said well and wrote nothing, or
// wrote elsewhere.
func TestLostAndMisdirectedWritesAreDamage(t *testing.T) {
	for name, fault := range map[string]faultdisk.Fault{"lost": {Lost: true}, "misdirected": {Shift: 3 * 512}} {
		f := faultdisk.New(crashdisk.New(1))
		s := open(t, f, small)
		add(t, s, 448)
		remove := f.Inject(func(c faultdisk.Call) *faultdisk.Fault {
			if c.Op == faultdisk.Write && strings.Contains(c.Name, dir) {
				return &fault
			}
			return nil
		})
		add(t, s, 448)
		remove()
		add(t, s, 448, 300)
		must(t, s.Close())
		s = open(t, f, small)
		if got := s.Damage(); s.Next() != 4 || len(got) != 1 || got[0].First != 1 || got[0].Blocks != 1 {
			t.Errorf("%s: next %d, damage %v", name, s.Next(), got)
		}
	}
}
