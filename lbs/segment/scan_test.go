package segment

import (
	"errors"
	"io/fs"
	"testing"

	"kivaloo/lbs"
	"kivaloo/lbs/disk"
	"kivaloo/lbs/disk/crashdisk"
	"kivaloo/lbs/disk/faultdisk"
	"kivaloo/lbs/lbstest"
)

const dir = "store"

// small are options for stores of a few blocks.
var small = Options{BlockBytes: 512, Create: true, MinSegmentBytes: 12 << 10, MaxSegmentBytes: 12 << 10}

func open(t *testing.T, fsys disk.FS, opts Options) *Store {
	t.Helper()
	s, err := Open(fsys, dir, opts)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	must(t, s.WaitSpares())
	return s
}

// add appends payloads of so many bytes and answers where each begins.
func add(t *testing.T, s *Store, lengths ...int) (firsts []uint64) {
	t.Helper()
	for _, n := range lengths {
		firsts = append(firsts, s.Next())
		_, err := s.Append(s.Next(), lbstest.Payload(s.Next(), n), lbs.Ordinary)
		must(t, err)
	}
	return firsts
}

// isThere says whether an append reads back as it was written.
func isThere(t *testing.T, s *Store, first uint64, bytes int) bool {
	t.Helper()
	p := make([]byte, bytes)
	err := s.ReadAt(p, first, 0)
	if err != nil && !errors.Is(err, lbs.ErrNoBlock) {
		t.Fatal(err)
	}
	return err == nil && string(p) == string(lbstest.Payload(first, bytes))
}

// TestEveryFlippedByteOfTheLastSegmentIsTornOrDamage: what a later append proves is
// damage, and named; the last append, flipped, is what a torn one looks like; what
// no append covers does not matter; a bad header refuses to open.
func TestEveryFlippedByteOfTheLastSegmentIsTornOrDamage(t *testing.T) {
	const blocks = 512
	lengths := []int{100, 1000, 448, 1, 700} // of 1, 3, 1, 1 and 2 blocks
	ends := []int64{1, 4, 5, 6, 8}
	d := crashdisk.New(1)
	s := open(t, d, small)
	firsts := add(t, s, lengths...)
	must(t, s.Close())
	for at := int64(0); at < small.MinSegmentBytes; at += 7 {
		d := faultdisk.New(d.Clone(1))
		must(t, d.Rot(dir+"/"+openName(0), at, 1, 0x10))
		s, err := Open(d, dir, small)
		if at < recordBytes {
			if !errors.Is(err, lbs.ErrDamaged) {
				t.Fatalf("byte %d of the header: %v", at, err)
			}
			continue
		}
		must(t, err)
		hit := -1 // the append that was hit
		for i := len(ends) - 1; i >= 0; i-- {
			if at >= headerBytes && at < headerBytes+ends[i]*blocks {
				hit = i
			}
		}
		next, damage := uint64(ends[len(ends)-1]), 0
		if hit == len(ends)-1 {
			next = uint64(ends[hit-1])
		} else if hit >= 0 {
			damage = 1
		}
		if s.Next() != next || len(s.Damage()) != damage {
			t.Fatalf("byte %d, append %d: next %d, damage %v", at, hit, s.Next(), s.Damage())
		}
		if damage == 1 && (s.Damage()[0].First != firsts[hit] || s.Damage()[0].Blocks != uint64(ends[hit])-firsts[hit]) {
			t.Fatalf("byte %d, append %d: damage %v", at, hit, s.Damage())
		}
		for i := range firsts {
			if i != hit && !isThere(t, s, firsts[i], lengths[i]) {
				t.Fatalf("byte %d: append %d, which was not hit, is not there", at, i)
			}
		}
		must(t, s.Close())
	}
}

// TestDamageBeforeAnEmptyLastSegmentIsNamed: there the next segment is the proof.
func TestDamageBeforeAnEmptyLastSegmentIsNamed(t *testing.T) {
	d := crashdisk.New(1)
	f := faultdisk.New(d)
	s := open(t, f, small)
	add(t, s, 448, 448, 15*512-64-2*512)
	next := s.Next()
	f.FailNth(faultdisk.Write, 2, errors.New("after the header of the next segment"))
	if _, err := s.Append(next, lbstest.Payload(next, 5000), lbs.Ordinary); !errors.Is(err, lbs.ErrFailed) {
		t.Fatal(err)
	}
	must(t, s.Close())
	s = open(t, d, small)
	if n := len(s.Segments()); n != 2 || s.Next() != next || len(s.Damage()) != 0 {
		t.Fatalf("%d segments, next %d, damage %v", n, s.Next(), s.Damage())
	}
	must(t, s.Close())
	must(t, f.Rot(dir+"/"+closedName(0, next), headerBytes+int64(next)*512-70, 1, 1))
	s = open(t, d, small)
	if got := s.Damage(); s.Next() != next || len(got) != 1 || got[0].First != 2 || got[0].Blocks != next-2 {
		t.Errorf("next %d, damage %v", s.Next(), got)
	}
}

// TestWhatADroppedAppendLeftProvesNothing: its seal stands in the last segment, far
// behind what was appended at its place since.
func TestWhatADroppedAppendLeftProvesNothing(t *testing.T) {
	d := crashdisk.New(1)
	f := faultdisk.New(d)
	s := open(t, f, small)
	add(t, s, 100, 8*512-64)
	must(t, s.Close())
	must(t, f.Rot(dir+"/"+openName(0), headerBytes+2*512, 1, 1)) // as if torn
	for i := range 4 {
		s = open(t, f, small)
		if len(s.Damage()) != 0 || s.Next() != uint64(1+i) {
			t.Fatalf("round %d: next %d, damage %v", i, s.Next(), s.Damage())
		}
		add(t, s, 300)
		must(t, s.Close())
	}
}

// TestABrokenChainIsDamageOfTheAppendBefore: an append is whole and in its place,
// but it is not the one that the next one followed.
func TestABrokenChainIsDamageOfTheAppendBefore(t *testing.T) {
	d := crashdisk.New(1)
	s := open(t, d, small)
	add(t, s, 448, 448, 448, 448)
	must(t, s.Close())
	f, err := d.Open(dir + "/" + openName(0))
	must(t, err)
	block := make([]byte, 512)
	_, err = f.ReadAt(block, headerBytes+2*512)
	must(t, err)
	block[0] ^= 1
	q, ok := s.decodeSeal(block[448:])
	if !ok {
		t.Fatal("no seal")
	}
	q.payload = s.crc(block[:448])
	s.encodeSeal(block[448:], &q)
	_, err = f.WriteAt(block, headerBytes+2*512)
	must(t, err)
	s = open(t, d, small)
	if got := s.Damage(); s.Next() != 4 || len(got) != 1 || got[0].First != 2 || got[0].Blocks != 1 {
		t.Errorf("next %d, damage %v", s.Next(), got)
	}
}

// TestUserDataThatLookLikeASealAreNone: somebody who knows the format, but not the
// salt, stores seals of the future.
func TestUserDataThatLookLikeASealAreNone(t *testing.T) {
	d := crashdisk.New(1)
	s := open(t, d, small)
	forger := s.identity
	forger.salt = [16]byte{}
	payload := make([]byte, 6*512-64)
	for i := uint64(1); i <= 5; i++ {
		q := seal{first: i - 1, sequence: i + 2, blocks: 1, payload: forger.crc(payload[(i-1)*512 : i*512-64])}
		forger.encodeSeal(payload[i*512-64:i*512], &q)
	}
	_, err := s.Append(0, payload, lbs.Ordinary)
	must(t, err)
	must(t, s.Close())
	s = open(t, d, small)
	if s.Next() != 6 || len(s.Damage()) != 0 {
		t.Errorf("next %d, damage %v", s.Next(), s.Damage())
	}
	must(t, s.Close())
	must(t, faultdisk.New(d).Rot(dir+"/"+openName(0), headerBytes+6*512-1, 1, 1))
	s = open(t, d, small)
	if s.Next() != 0 || len(s.Damage()) != 0 {
		t.Errorf("without its true seal: next %d, damage %v", s.Next(), s.Damage())
	}
}

// TestAnEarlierLifeOfTheFileProvesNothing: a recycled file is full of good seals
// with other numbers.
func TestAnEarlierLifeOfTheFileProvesNothing(t *testing.T) {
	d := crashdisk.New(1)
	f := faultdisk.New(d)
	s := open(t, f, small)
	made := f.Count(faultdisk.Create)
	d.SetBytes(1) // nothing can be made: what is freed must be used again
	for i := range uint64(200) {
		add(t, s, 448)
		if all := s.Segments(); len(all) > 1 {
			must(t, s.FreeSegment(all[0].First))
		}
		must(t, s.Close())
		s = open(t, f, small)
		if s.Next() != i+1 || len(s.Damage()) != 0 {
			t.Fatalf("after %d appends: next %d, damage %v", i+1, s.Next(), s.Damage())
		}
	}
	if now := f.Count(faultdisk.Create); now != made {
		t.Errorf("%d files were made on a full disk", now-made)
	}
}

// TestUnreadableSectors: one that a later append proves costs that append; one
// behind the last seal may have held an acknowledged append, so nobody can tell
// where the log ends.
func TestUnreadableSectorsAreDamageOrRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		window int64 // of 4096 bytes that cannot be read
		opens  bool
	}{
		"header": {0, false}, "proven": {1, true}, "behind the end": {4, false},
	} {
		d := crashdisk.New(1)
		f := faultdisk.New(d)
		opts := small
		opts.MinSegmentBytes, opts.MaxSegmentBytes = 32<<10, 32<<10
		s := open(t, f, opts)
		add(t, s, 7*512, 448, 448, 3000)
		next := s.Next()
		must(t, s.Close())
		f.Inject(func(c faultdisk.Call) *faultdisk.Fault {
			from, to := tt.window*4096, tt.window*4096+4096
			if c.Op == faultdisk.ReadDirect && c.Offset < to && c.Offset+int64(c.Bytes) > from {
				return &faultdisk.Fault{Err: fs.ErrInvalid}
			}
			return nil
		})
		s, err := Open(f, dir, opts)
		if (err == nil) != tt.opens {
			t.Fatalf("%s: %v", name, err)
		}
		if err != nil {
			if !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%s: the cause is missing: %v", name, err)
			}
			continue
		}
		if s.Next() != next || len(s.Damage()) != 1 || s.Damage()[0].First != 0 {
			t.Errorf("%s: next %d, damage %v", name, s.Next(), s.Damage())
		}
		must(t, s.Close())
	}
}
