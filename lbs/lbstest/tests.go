package lbstest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"kivaloo/lbs"
)

func testEmpty(x *T) {
	if n := x.BlockBytes(); n < lbs.BlockBytesMin || n > lbs.BlockBytesMax {
		x.Errorf("block size %d", n)
	}
	for range 2 {
		if x.Next() != 0 || x.Last() != lbs.NoBlock {
			x.Errorf("next %d, last %d", x.Next(), x.Last())
		}
		x.again()
	}
}

func testLengths(x *T) {
	size := x.BlockBytes()
	for _, blocks := range []int{0, 1, 2, 7} {
		for _, more := range []int{1, 2, size/2 - 1, size - lbs.SealBytes - 1, size - lbs.SealBytes, size - lbs.SealBytes + 1, size - 1, size} {
			x.append(blocks*size + more)
		}
	}
	x.checkAll(0)
	x.again()
	x.checkAll(0)
}

// testPayload appends from memory with every amount of room behind it.
func testPayload(x *T) {
	size := x.BlockBytes()
	for _, spare := range []int{0, 1, lbs.SealBytes, size - 100, size, 3 * size} {
		memory := make([]byte, 100, 100+spare)
		copy(memory, Payload(7, 100))
		first := x.Next()
		next, err := x.Append(first, memory, lbs.Ordinary)
		x.must(err)
		if !bytes.Equal(memory, Payload(7, 100)) {
			x.Fatalf("with %d bytes to spare the payload was changed", spare)
		}
		clear(memory[:cap(memory)]) // the store keeps no reference
		x.check(appended{first, next, Payload(7, 100)}, false)
	}
}

func testImpossible(x *T) {
	for _, n := range []int{0, lbs.AppendBytesMax + 1} {
		if _, err := x.Append(0, make([]byte, n), lbs.Ordinary); err == nil {
			x.Errorf("an append of %d bytes was taken", n)
		}
	}
	x.append(1)
	x.checkAll(0)
}

func testNotNext(x *T) {
	x.append(1)
	x.append(3 * x.BlockBytes())
	for _, first := range []uint64{0, x.Next() - 1, x.Next() + 1, lbs.NoBlock} {
		_, err := x.Append(first, []byte("x"), lbs.Ordinary)
		x.want(err, lbs.ErrNotNext)
	}
	x.append(1)
	x.checkAll(0)
}

func testOffsets(x *T) {
	size := x.BlockBytes()
	x.append(10)
	a := x.append(4*size - lbs.SealBytes)
	x.append(10)
	starts := []int{0, 1, size/2 + 1, size - 1, size, size + 1, 2*size + 3, 3 * size}
	for _, from := range starts {
		for _, n := range []int{0, 1, 63, size - 1, size, size + 1, 3 * size} {
			if from+n > len(a.payload) {
				continue
			}
			got := make([]byte, n)
			x.must(x.ReadAt(got, a.first+uint64(from/size), from%size))
			if !bytes.Equal(got, a.payload[from:from+n]) {
				x.Errorf("%d bytes from %d are others", n, from)
			}
		}
	}
}

func testNoBlock(x *T) {
	size := x.BlockBytes()
	p := make([]byte, size)
	x.want(x.ReadAt(p, 0, 0), lbs.ErrNoBlock)
	a := x.append(2*size - lbs.SealBytes)
	for _, block := range []uint64{a.next, a.next + 1, a.next + 1000, lbs.NoBlock - 1, lbs.NoBlock} {
		x.want(x.ReadAt(p, block, 0), lbs.ErrNoBlock)
	}
	x.want(x.ReadAt(p, a.next-1, 1), lbs.ErrNoBlock)
	x.want(x.ReadAt(make([]byte, 2*size+1), a.first, 0), lbs.ErrNoBlock)
	x.must(x.ReadAt(p, a.next-1, 0))
}

func testFree(x *T) {
	for range 40 {
		x.append(5 * x.BlockBytes())
	}
	for _, i := range []int{0, 1, 20, 39} {
		keep := x.done[i].first
		x.must(x.Free(keep))
		x.checkAll(keep)
		x.append(100)
		x.again()
		x.checkAll(keep)
	}
	keep := x.Next()
	x.must(x.Free(keep))
	x.append(1)
	x.checkAll(keep)
}

func testReopen(x *T) {
	for i := range 12 {
		x.append(1 + i*x.BlockBytes()*2/3)
		x.again()
		x.checkAll(0)
	}
}

// testReaders reads everything that is known to be appended while more is.
func testReaders(x *T) {
	const appends, readers = 150, 4
	var known atomic.Pointer[[]appended]
	known.Store(&[]appended{x.append(1)})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for i := range readers {
		wg.Go(func() { x.readAny(&known, rand.New(rand.NewPCG(uint64(i), 0)), stop) })
	}
	for i := range appends {
		x.append(1 + i*37%(3*x.BlockBytes()))
		all := append([]appended(nil), x.done...)
		known.Store(&all)
	}
	close(stop)
	wg.Wait()
}

func (x *T) readAny(known *atomic.Pointer[[]appended], r *rand.Rand, stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		all := *known.Load()
		a := all[r.IntN(len(all))]
		got := make([]byte, len(a.payload))
		if err := x.ReadAt(got, a.first, 0); err != nil || !bytes.Equal(got, a.payload) {
			x.Errorf("blocks %d to %d, read beside the writer: %v", a.first, a.next, err)
			return
		}
	}
}

func testClosed(x *T) {
	a := x.append(1)
	x.must(x.Close())
	_, err := x.Append(a.next, []byte("x"), lbs.Ordinary)
	x.want(err, lbs.ErrClosed)
	x.want(x.ReadAt(make([]byte, 1), a.first, 0), lbs.ErrClosed)
	x.want(x.Free(1), lbs.ErrClosed)
	x.want(x.Close(), lbs.ErrClosed)
	x.Store = x.reopen()
	x.checkAll(0)
}

func testRandom(x *T) {
	r := rand.New(rand.NewPCG(Seed(x), 0))
	keep := uint64(0)
	for range 300 {
		switch n := r.IntN(100); {
		case n < 60:
			x.append(1 + r.IntN(1<<r.IntN(17)))
		case n < 85 && len(x.done) > 0:
			a := x.done[r.IntN(len(x.done))]
			x.check(a, a.first < keep)
		case n < 92 && len(x.done) > 0:
			keep = max(keep, x.done[r.IntN(len(x.done))].first)
			x.must(x.Free(keep))
		case n < 96:
			x.again()
		case n < 98:
			_, err := x.Append(x.Next()+1+r.Uint64N(9), []byte("x"), lbs.Ordinary)
			x.want(err, lbs.ErrNotNext)
		default:
			x.want(x.ReadAt(make([]byte, 1), x.Next()+r.Uint64N(9), 0), lbs.ErrNoBlock)
		}
	}
	x.checkAll(keep)
	x.again()
	x.checkAll(keep)
}

// testSegments frees segments in the middle of the log.
func testSegments(x *T) {
	s, ok := x.Store.(lbs.Segmented)
	if !ok {
		x.Skip("this store cannot free segments")
	}
	size := x.BlockBytes()
	for i := 0; len(s.Segments()) < 6; i++ {
		if i == 5000 {
			x.Skip("its segments are too large to fill six of them")
		}
		x.append(16*size - lbs.SealBytes)
	}
	before := s.Segments()
	last := before[len(before)-1]
	if err := s.FreeSegment(last.First); err == nil {
		x.Error("the last segment was freed")
	}
	gone := map[uint64]bool{before[1].First: true, before[3].First: true}
	for first := range gone {
		x.must(s.FreeSegment(first))
		x.must(s.FreeSegment(first))
	}
	for range 2 {
		x.checkSegments(before, gone)
		space, err := x.Store.(lbs.Segmented).Space()
		x.must(err)
		if space.Used <= 0 || space.Spare < space.Reserve || space.Total <= 0 {
			x.Errorf("space: %+v", space)
		}
		x.again()
	}
}

// checkSegments compares the segments and what can be read with what must be left.
func (x *T) checkSegments(before []lbs.Segment, gone map[uint64]bool) {
	x.Helper()
	var want []lbs.Segment
	for _, g := range before {
		if !gone[g.First] {
			want = append(want, g)
		}
	}
	got := x.Store.(lbs.Segmented).Segments()
	if len(got) != len(want) {
		x.Fatalf("segments %v, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			x.Errorf("segment %v, want %v", got[i], want[i])
		}
	}
	for _, a := range x.done {
		freed := false
		for _, g := range before {
			freed = freed || gone[g.First] && a.first >= g.First && a.first < g.First+g.Blocks
		}
		if err := x.ReadAt(make([]byte, 1), a.first, 0); freed != errors.Is(err, lbs.ErrNoBlock) {
			x.Errorf("block %d, freed: %v: %v", a.first, freed, err)
		}
		x.check(a, freed)
	}
}
