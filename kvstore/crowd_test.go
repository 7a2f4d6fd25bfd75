package kvstore

import (
	"flag"
	"math/rand"
	"sync"
	"testing"

	"kivaloo/kvstore/kv"
	"kivaloo/lbs/disk/crashdisk"
)

var crowdRuns = flag.Int("crowd.runs", 12, "how many crowds the crowd test runs")

// TestCrowdAndPowerCut lets a crowd work on one store at the same time, each member
// in its own way, while checkpoints run all the time, and cuts the power in the
// middle. While it works nobody sees anything that no order of the transactions
// explains, and after the restart what each one was told is there, and of what it
// was not told each transaction all or nothing, in the order in which it came.
func TestCrowdAndPowerCut(t *testing.T) {
	seed := testSeed(t)
	roots, cuts := uint64(0), 0
	for n := range uint64(*crowdRuns) {
		stop := watchdog(t, "seed %d, run %d", seed, n)
		c := newCrowd(t, seed+n)
		c.run()
		roots += c.roots
		if c.disk.IsCut() {
			cuts++
		}
		c.check()
		stop()
		if t.Failed() {
			t.Fatalf("seed %d (run %d)", seed+n, n)
		}
	}
	t.Logf("%d runs, %d ended by a cut, %d ROOTs", *crowdRuns, cuts, roots)
	if roots < uint64(*crowdRuns)*4 || cuts == 0 {
		t.Error("too few checkpoints or cuts: this proves nothing")
	}
}

// A member of the crowd works on its own goroutine until it is told that the end
// has come, and checks after the restart what the store must hold for it.
type member interface {
	work(c *crowd, rng *rand.Rand)
	check(t *testing.T, db *DB)
}

type crowd struct {
	t       *testing.T
	seed    uint64
	disk    *crashdisk.Disk
	db      *DB
	members []member
	roots   uint64
}

func newCrowd(t *testing.T, seed uint64) *crowd {
	c := &crowd{t: t, seed: seed, disk: crashdisk.New(seed)}
	for i := range 3 {
		c.members = append(c.members, &pipeline{id: i, depth: 1}, &pipeline{id: 10 + i, depth: 12})
	}
	shared := &bank{}
	for i := range 3 {
		c.members = append(c.members, &counter{id: i, byVersion: i == 0}, &teller{shared, i})
	}
	c.members = append(c.members, shared, &holder{}, &photographer{}, &stager{id: 0}, &stager{id: 1}, &hugeWriter{})
	return c
}

// steps is how much a member does when no cut ends it before.
const steps = 60

func (c *crowd) run() {
	db, err := Open(ctx, crashOptions(c.disk))
	if err != nil {
		c.t.Fatal(err)
	}
	c.db = db
	rng := rand.New(rand.NewSource(int64(c.seed)))
	c.disk.CutAt(1 + rng.Intn(2500))
	var all sync.WaitGroup
	for i, m := range c.members {
		all.Go(func() { m.work(c, rand.New(rand.NewSource(int64(c.seed)*100+int64(i)))) })
	}
	all.Wait()
	c.roots = db.Stats().Roots
	db.Kill()
}

// fine says whether a member goes on after an error; once the power is off there
// is nothing to go on with.
func (c *crowd) fine(what string, err error) bool {
	if err != nil && !c.disk.IsCut() {
		c.t.Errorf("%s: %v", what, err)
	}
	return err == nil && !c.t.Failed()
}

// check restarts after the cut, and once more after a clean stop.
func (c *crowd) check() {
	d := c.disk.Crash()
	for _, when := range []string{"after the cut", "after a clean stop"} {
		db, err := Open(ctx, crashOptions(d))
		if err != nil {
			c.t.Errorf("opening %s: %v", when, err)
			return
		}
		for _, m := range c.members {
			m.check(c.t, db)
		}
		if _, ok := first(db, kv.Orphan); ok {
			c.t.Errorf("%s: an orphan that nobody has open", when)
		}
		if err := db.Close(); err != nil {
			c.t.Errorf("close: %v", err)
		}
	}
}

// first answers the first internal key of a space, if it has a pair.
func first(db *DB, space kv.Space) (key []byte, ok bool) {
	start, end := prefixRange(appendKey(nil, space, nil))
	c := db.state.Load().cursor(db.cache)
	if ok, err := c.seek(start); !ok || err != nil || string(c.key()) >= string(end) {
		return nil, false
	}
	return c.key(), true
}

// A pipeline commits random transactions on its own keys, so many at a time.
type pipeline struct {
	id, depth int

	mu     sync.Mutex
	states []book // after each transaction that was asked for
	acked  int    // of these states, the last that was acknowledged
	broken bool   // one was not
}

func (p *pipeline) prefix() string { return string(rune('A'+p.id)) + "/" }

func (p *pipeline) work(c *crowd, rng *rand.Rand) {
	p.states = []book{newBook()}
	inFlight := make(chan struct{}, p.depth)
	var all sync.WaitGroup
	defer all.Wait()
	for n := range steps {
		txn, after := p.next(rng)
		inFlight <- struct{}{}
		all.Add(1)
		c.db.CommitAsync(txn, func(_ kv.Result, err error) {
			defer all.Done()
			p.answered(c, n+1, err)
			<-inFlight
		})
		if p.depth == 1 {
			inFlight <- struct{}{} // wait for the answer
			<-inFlight
			if p.isBroken() || !p.readsItself(c, after.pairs()) {
				return
			}
		}
		if p.isBroken() {
			return
		}
	}
}

// next makes a transaction on the pipeline's own keys.
func (p *pipeline) next(rng *rand.Rand) (*kv.Txn, book) {
	txn, after := randomTxn(rng, p.states[len(p.states)-1])
	for i := range txn.Effects {
		e := &txn.Effects[i]
		e.Key = append([]byte(p.prefix()), e.Key...)
		if e.Op == kv.Move || e.Op == kv.Link {
			e.To = append([]byte(p.prefix()), e.To...)
		}
	}
	p.mu.Lock()
	p.states = append(p.states, after)
	p.mu.Unlock()
	return txn, after
}

func (p *pipeline) answered(c *crowd, n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !c.fine("commit", err) {
		p.broken = true
		return
	}
	if p.broken || n != p.acked+1 {
		c.t.Errorf("transaction %d of %s is acknowledged after %d (broken: %v)", n, p.prefix(), p.acked, p.broken)
	}
	p.acked = n
}

func (p *pipeline) isBroken() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.broken
}

func (p *pipeline) readsItself(c *crowd, want map[string]string) bool {
	got, err := readPrefix(c.db, p.prefix())
	if !c.fine("reading", err) {
		return false
	}
	if !equalPairs(got, want) {
		c.t.Errorf("%s does not read its own transaction", p.prefix())
		compare(c.t, got, want)
	}
	return true
}

func (p *pipeline) check(t *testing.T, db *DB) {
	got, err := readPrefix(db, p.prefix())
	if err != nil {
		t.Errorf("reading %s: %v", p.prefix(), err)
	}
	for _, state := range p.states[p.acked:] {
		if equalPairs(got, state.pairs()) {
			return
		}
	}
	t.Errorf("%s is in none of the states from %d to %d", p.prefix(), p.acked, len(p.states)-1)
	compare(t, got, p.states[p.acked].pairs())
}

// readPrefix answers the pairs below a prefix, without it, in one page.
func readPrefix(r kv.Reader, prefix string) (map[string]string, error) {
	pairs := map[string]string{}
	page, err := r.Scan(ctx, kv.ScanRequest{
		Start: []byte(prefix), End: kv.PrefixEnd([]byte(prefix)), Want: kv.WantAll, ValueBytes: 1 << 20,
	})
	for _, p := range page.Entries {
		pairs[string(p.Key[len(prefix):])] = string(p.Value)
	}
	return pairs, err
}
