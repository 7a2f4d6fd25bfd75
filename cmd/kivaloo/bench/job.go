package bench

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// An opKind is what an operation does.
type opKind uint8

const (
	read opKind = iota
	put
	remove
)

// An op is one operation on a pair.
type op struct {
	kind opKind
	pair uint32
}

// A pace is how operations follow each other.
type pace uint8

const (
	// flowing: an operation is sent whenever one is answered.
	flowing pace = iota
	// writers: as flowing, by that many writers who wait for each of theirs.
	writers
	// batches: all that may be under way are sent together, and awaited. In this
	// process the writes of a batch are one transaction.
	batches
)

// A job is a row of operations, and how to carry them out.
type job struct {
	data    *data
	ops     func(n uint64) op // n counts the operations of all connections
	base    version           // the version that operation 0 writes
	count   uint64            // operations; 0: until the deadline
	until   time.Time         // the deadline, if there is no count
	depth   int               // how many may be under way, over all connections
	conns   int
	pace    pace
	noCheck bool
	// pageBytes is how much of an extract is asked for at once.
	pageBytes int

	done atomic.Uint64 // operations that were answered

	mu struct {
		sync.Mutex
		latencies []time.Duration // of each operation, for writers
	}
}

func (j *job) version(n uint64) version { return j.base + version(n) }

// expired says whether a job without a count has taken its time.
func (j *job) expired() bool { return j.count == 0 && !time.Now().Before(j.until) }

// checkRead says what is wrong with the answer of a read: see data.checkRead.
func (j *job) checkRead(value []byte, found bool, pair uint32, v version) error {
	if j.noCheck {
		return nil
	}
	return j.data.checkRead(value, found, pair, v)
}

func (j *job) addLatencies(l []time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mu.latencies = append(j.mu.latencies, l...)
}

// percentile is the latency that a part of all operations did not exceed. The
// latencies are sorted.
func percentile(sorted []time.Duration, part float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	at := int(math.Ceil(part*float64(len(sorted)))) - 1
	return sorted[max(at, 0)]
}

func (j *job) sortedLatencies() []time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	slices.Sort(j.mu.latencies)
	return j.mu.latencies
}

// A share is the part of a job that one connection carries out: every step-th
// operation.
type share struct {
	*job
	first, step uint64
	depth       int
	sent        uint64 // operations of this share
}

// shares divides a job among n connections.
func (j *job) shares(n int) []*share {
	n = max(1, min(n, j.depth))
	list := make([]*share, n)
	for i := range list {
		depth := (j.depth + n - 1 - i) / n
		list[i] = &share{job: j, first: uint64(i), step: uint64(n), depth: depth}
	}
	return list
}

// next answers how many operations are to be sent now, of most, and whether they
// are the last. At least one is sent, unless the share has none.
func (s *share) next(most int) (n int, last bool) {
	if s.count == 0 {
		return most, s.expired()
	}
	left := uint64(0)
	if s.count > s.first {
		left = (s.count-s.first+s.step-1)/s.step - s.sent
	}
	n = int(min(uint64(most), left))
	return n, uint64(n) == left
}

// take answers the next operation and its number.
func (s *share) take() (op, uint64) {
	n := s.first + s.step*s.sent
	s.sent++
	return s.ops(n), n
}
