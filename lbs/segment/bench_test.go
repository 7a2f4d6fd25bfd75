package segment

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"kivaloo/lbs"
	"kivaloo/lbs/disk"
	"kivaloo/lbs/disk/crashdisk"
	"kivaloo/lbs/disk/faultdisk"
	"kivaloo/lbs/lbstest"
)

// TestAppendIsOneWriteAndOneFlush counts the calls of appends that stay within a
// segment.
func TestAppendIsOneWriteAndOneFlush(t *testing.T) {
	d := faultdisk.New(crashdisk.New(1))
	s := open(t, d, Options{Create: true})
	before, calls := d.Count(faultdisk.Flushes), d.Count(faultdisk.Any)
	for range 100 {
		add(t, s, 4000)
	}
	if n := d.Count(faultdisk.Flushes) - before; n != 100 {
		t.Errorf("100 appends made %d flushes", n)
	}
	if n := d.Count(faultdisk.Any) - calls; n != 200 {
		t.Errorf("100 appends made %d calls", n)
	}
}

// TestAppendAndReadDoNotAllocate, where the payload has room for the seal.
func TestAppendAndReadDoNotAllocate(t *testing.T) {
	s, err := Open(disk.OS{}, t.TempDir(), Options{Create: true})
	must(t, err)
	defer s.Close()
	must(t, s.WaitSpares())
	p := make([]byte, 4000, 4096)
	n := testing.AllocsPerRun(50, func() {
		_, err := s.Append(s.Next(), p, lbs.Ordinary)
		must(t, err)
	})
	if n > 0 {
		t.Errorf("an append allocates %v times", n)
	}
	n = testing.AllocsPerRun(50, func() { must(t, s.ReadAt(p, 7, 10)) })
	if n > 0 {
		t.Errorf("a read allocates %v times", n)
	}
}

// BenchmarkAppend is one block an append on a real disk, and what other ways of
// writing a log cost there: flushes/op counts the program's, not the disk's.
func BenchmarkAppend(b *testing.B) {
	b.Run("segment", func(b *testing.B) {
		d := faultdisk.New(disk.OS{})
		s, err := Open(d, b.TempDir(), Options{Create: true, MinSegmentBytes: 64 << 20})
		must(b, err)
		defer s.Close()
		must(b, s.WaitSpares())
		before := d.Count(faultdisk.Flushes)
		p := make([]byte, 4096-lbs.SealBytes, 4096)
		copy(p, lbstest.Payload(1, len(p)))
		b.SetBytes(4096)
		b.ReportAllocs()
		for b.Loop() {
			_, err := s.Append(s.Next(), p, lbs.Ordinary)
			must(b, err)
		}
		b.ReportMetric(float64(d.Count(faultdisk.Flushes)-before)/float64(b.N), "flushes/op")
	})
	b.Run("appended+fsync", func(b *testing.B) { benchmarkFile(b, false, disk.File.Sync) })
	b.Run("fallocated+fdatasync", func(b *testing.B) { benchmarkFile(b, true, disk.File.Datasync) })
}

func benchmarkFile(b *testing.B, allocate bool, flush func(disk.File) error) {
	f, err := disk.OS{}.Create(b.TempDir() + "/log")
	must(b, err)
	defer f.Close()
	if allocate {
		must(b, f.Allocate(64<<20))
	}
	p := lbstest.Payload(1, 4096)
	b.SetBytes(4096)
	at := int64(0)
	for b.Loop() {
		_, err := f.WriteAt(p, at)
		must(b, err)
		must(b, flush(f))
		at += 4096
	}
}

// BenchmarkRead is one cached block a read, from anywhere in many segments, by all
// processors.
func BenchmarkRead(b *testing.B) {
	s, err := Open(disk.OS{}, b.TempDir(), Options{Create: true})
	must(b, err)
	defer s.Close()
	payload := lbstest.Payload(1, 1<<20-8192)
	for range 32 {
		_, err := s.Append(s.Next(), payload, lbs.Ordinary)
		must(b, err)
	}
	blocks := s.Next()
	b.SetBytes(4096)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		p := make([]byte, 4096)
		for pb.Next() {
			if err := s.ReadAt(p, rand.Uint64N(blocks), 0); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkOpen opens a store whose last segment is full, of 64 MiB.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	opts := Options{Create: true, MinSegmentBytes: 64 << 20}
	s, err := Open(disk.OS{}, dir, opts)
	must(b, err)
	must(b, s.WaitSpares())
	payload := bytes.Repeat([]byte("kivaloo!"), 1<<17-8)
	for range 63 {
		_, err := s.Append(s.Next(), payload, lbs.Ordinary)
		must(b, err)
	}
	must(b, s.Close())
	for b.Loop() {
		s, err := Open(disk.OS{}, dir, opts)
		must(b, err)
		must(b, s.Close())
	}
}
