package bench

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"kivaloo/cmd/kivaloo/bench/pairs"
)

// batchPairs is how many pairs a batch has: the most that a transaction of ours
// takes.
const batchPairs = 4096

// A ground is the stores that are compared, each with the same pairs. It is made
// when it is first needed and ends with the run.
type ground struct {
	set    *pairs.Set
	stores []store
}

var field ground

func (g *ground) pairs() []pairs.Pair {
	if g.set == nil {
		g.set = pairs.Make(*pairsFlag)
	}
	return g.set.Pairs
}

// loaded answers the stores, with all pairs in them.
func (g *ground) loaded(b *testing.B) []store {
	b.Helper()
	if g.stores != nil {
		return g.stores
	}
	for _, e := range engines {
		s, err := openStore(e.name, e.open)
		if err != nil {
			b.Fatal(err)
		}
		g.stores = append(g.stores, s)
		for batch := range slices.Chunk(g.pairs(), batchPairs) {
			if err := s.batch(batch); err != nil {
				b.Fatal(err)
			}
		}
	}
	return g.stores
}

func (g *ground) close() (err error) {
	for _, s := range g.stores {
		err = errors.Join(err, s.discard())
	}
	return err
}

// A turn is what a store does when it is its turn: it answers how much it did.
// Whatever is random comes from the round, and so is the same for every store.
type turn func(s engine, round int, until time.Time) (n int, err error)

// An entrant is who takes part: its turn answers the rate that it reached.
type entrant struct {
	name string
	turn func(round int) (rate float64, err error)
}

// entrants are the stores of the field, which all take the same turns.
func entrants(b *testing.B, t turn) (list []entrant) {
	b.Helper()
	for _, s := range field.loaded(b) {
		list = append(list, entrant{s.name, func(round int) (float64, error) {
			began := time.Now()
			n, err := t(s, round, began.Add(*sliceFlag))
			return float64(n) / time.Since(began).Seconds(), err
		}})
	}
	return list
}

// A contest notes the rates of each store, by round.
type contest struct {
	entrants []entrant
	rates    [][]float64 // by entrant, then by round
}

// compete lets entrants take turns for b.N rounds, another one beginning each time,
// and reports the median of their rates, and of the ratios of ours to theirs.
func compete(b *testing.B, unit string, list []entrant) {
	b.Helper()
	c := &contest{entrants: list, rates: make([][]float64, len(list))}
	for round := range b.N {
		for i := range list {
			at := (i + round) % len(list)
			runtime.GC() // what others have left is not paid for by this one
			rate, err := list[at].turn(round)
			if err != nil {
				b.Fatalf("%s: %v", list[at].name, err)
			}
			c.rates[at] = append(c.rates[at], rate)
		}
	}
	c.report(b, unit)
}

func (c *contest) report(b *testing.B, unit string) {
	b.ReportMetric(0, "ns/op") // an op here is a round, which says nothing
	best := make([]float64, b.N)
	for i, e := range c.entrants {
		b.ReportMetric(median(c.rates[i]), e.name+"-"+unit)
		if i == 0 {
			continue
		}
		b.ReportMetric(median(ratios(c.rates[0], c.rates[i])), "x-"+e.name)
		for round, rate := range c.rates[i] {
			best[round] = max(best[round], rate)
		}
	}
	b.ReportMetric(median(ratios(c.rates[0], best)), "x-best")
}

func ratios(ours, theirs []float64) []float64 {
	list := make([]float64, len(ours))
	for i := range list {
		list[i] = ours[i] / theirs[i]
	}
	return list
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// random draws pairs, for one goroutine of a round.
func random(round, goroutine int) func() *pairs.Pair {
	source, all := rand.New(rand.NewPCG(uint64(round), uint64(goroutine))), field.pairs()
	return func() *pairs.Pair { return &all[source.IntN(len(all))] }
}

// changed is a pair with another value: only the last byte differs, so that a
// reader can tell whose value it is.
func changed(p *pairs.Pair, round int) pairs.Pair {
	other := *p
	other.Value[pairs.Bytes-1] += byte(round + 1)
	return other
}

func isValueOf(value []byte, p *pairs.Pair) bool {
	return len(value) == pairs.Bytes && bytes.Equal(value[:pairs.Bytes-1], p.Value[:pairs.Bytes-1])
}

// together runs f on several goroutines and adds up what they did.
func together(goroutines int, f func(goroutine int) (int, error)) (n int, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			did, failed := f(g)
			mu.Lock()
			defer mu.Unlock()
			n, err = n+did, errors.Join(err, failed)
		})
	}
	wg.Wait()
	return n, err
}

func BenchmarkDurablePut(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			compete(b, "puts/s", entrants(b, func(s engine, round int, until time.Time) (int, error) {
				return together(writers, func(g int) (n int, err error) {
					for next := random(round, g); err == nil && time.Now().Before(until); n++ {
						p := changed(next(), round)
						err = s.put(&p)
					}
					return n, err
				})
			}))
		})
	}
}

// BenchmarkBatchInsert makes a new store for each turn. What opening and closing
// takes is not measured.
func BenchmarkBatchInsert(b *testing.B) {
	var all []entrant
	for _, e := range engines {
		all = append(all, entrant{e.name, func(int) (float64, error) {
			s, err := openStore(e.name, e.open)
			if err != nil {
				return 0, err
			}
			began := time.Now()
			for batch := range slices.Chunk(field.pairs(), batchPairs) {
				if err := s.batch(batch); err != nil {
					return 0, err
				}
			}
			took := time.Since(began)
			return float64(len(field.pairs())) / took.Seconds(), s.discard()
		}})
	}
	compete(b, "pairs/s", all)
}

func BenchmarkBatchUpdate(b *testing.B) {
	compete(b, "pairs/s", entrants(b, func(s engine, round int, until time.Time) (n int, err error) {
		all := field.pairs()
		batch := make([]pairs.Pair, min(batchPairs, len(all)))
		for at := 0; err == nil && time.Now().Before(until); n += len(batch) {
			for i := range batch {
				batch[i] = changed(&all[at], round)
				at = (at + 1) % len(all)
			}
			err = s.batch(batch)
		}
		return n, err
	}))
}

func BenchmarkRandomRead(b *testing.B) {
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			compete(b, "reads/s", entrants(b, func(s engine, round int, until time.Time) (int, error) {
				return together(threads, func(g int) (n int, err error) {
					for next := random(round, g); err == nil && time.Now().Before(until); n += readsAtOnce {
						err = readSome(s, next, readsAtOnce)
					}
					return n, err
				})
			}))
		})
	}
}

// readsAtOnce is how many reads go by between two looks at the clock.
const readsAtOnce = 256

// readSome reads pairs and looks at their values.
func readSome(s engine, next func() *pairs.Pair, n int) error {
	var value []byte
	for range n {
		p := next()
		var err error
		if value, err = s.get(value[:0], p.Key[:]); err != nil {
			return err
		}
		if !isValueOf(value, p) {
			return fmt.Errorf("the value of %x is %x", p.Key, value)
		}
	}
	return nil
}

func BenchmarkScan(b *testing.B) {
	compete(b, "pairs/s", entrants(b, func(s engine, _ int, until time.Time) (n int, err error) {
		all := field.pairs()
		for ended := false; !ended && err == nil; {
			at := 0
			err = s.scan(func(key, value []byte) bool {
				p := &all[at]
				// The last bytes of both: whoever copies nothing has to touch them too.
				if key[pairs.Bytes-1] != p.Key[pairs.Bytes-1] || value[pairs.Bytes-2] != p.Value[pairs.Bytes-2] {
					err = fmt.Errorf("pair %d is %x, %x", at, key, value)
					return false
				}
				at++
				ended = at%readsAtOnce == 0 && !time.Now().Before(until)
				return !ended
			})
			n += at
			ended = ended || !time.Now().Before(until)
		}
		return n, err
	}))
}

func BenchmarkBatchMixed(b *testing.B) {
	compete(b, "ops/s", entrants(b, func(s engine, round int, until time.Time) (n int, err error) {
		const half = batchPairs / 2
		next := random(round, 0)
		batch := make([]pairs.Pair, half)
		for ; err == nil && time.Now().Before(until); n += 2 * half {
			if err := readSome(s, next, half); err != nil {
				return n, err
			}
			for i := range batch {
				batch[i] = changed(next(), round)
			}
			err = s.batch(batch)
		}
		return n, err
	}))
}
