package kvtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"kivaloo/kvstore/kv"
)

func randomTests() []test {
	return []test{
		{"random/operations", 0, func(e *env) { randomOperations(e, e.ops, nil) }},
		{"random/operations and reopening", Reopening, func(e *env) { randomOperations(e, e.ops/2, (*player).reopens) }},
		{"random/operations and crashes", Crashing, func(e *env) { randomOperations(e, e.ops/2, (*player).crashes) }},
	}
}

const (
	// compareEvery is how many random steps go between comparisons of everything.
	compareEvery = 40
	// restartEvery is how many go between restarts, on the average.
	restartEvery = 50
)

// A player does random things to a store and its model.
type player struct {
	*env
	*generator
	watcher   kv.Watcher
	sessions  []*actor
	snapshots []kept
	crashed   int
	met       met
}

// met counts what became of the transactions that crashes met.
type met struct{ answered, unanswered, gone int }

// A kept snapshot, and what there was when it was taken.
type kept struct {
	kv.Snapshot
	was []kv.Pair
}

func newPlayer(e *env, prefix string, seed uint64) *player {
	p := &player{env: e, generator: newGenerator(rand.New(rand.NewPCG(seed, 1)), prefix, e.lacks)}
	p.generator.model = e.oracle.model
	p.begin()
	return p
}

// begin opens what ends when the store is opened again.
func (p *player) begin() {
	p.generator.model = p.oracle.model
	p.sessions, p.snapshots, p.watcher = nil, nil, nil
	if p.env.has(Sessions | Spaces) {
		p.sessions = []*actor{newActor(p.env), newActor(p.env)}
	}
	if p.env.has(Watches|Stamps) && p.env.prefix == "" {
		p.watcher = p.watch(kv.WatchRequest{})
	}
}

// randomOperations plays, and now and then has the store opened again.
func randomOperations(e *env, ops int, again func(*player)) {
	e.Logf("kvtest.seed %d", e.seed)
	p := newPlayer(e, "", e.seed)
	for i := range ops {
		p.step()
		if i%compareEvery == 0 {
			p.compare()
		}
		if again != nil && p.IntN(restartEvery) == 0 {
			again(p)
			p.begin()
			p.compare()
		}
	}
	p.compare()
	if p.crashed > 0 {
		e.Logf("%d crashes met transactions: %+v", p.crashed, p.met)
	}
}

func (p *player) step() {
	p.Helper()
	switch n := p.IntN(100); {
	case n < 70:
		p.commitRandom()
	case n < 80:
		p.getRandom()
	case n < 88:
		p.scanRandom(p.store)
	case n < 94 && len(p.sessions) > 0:
		pick(p.Rand, p.sessions...).act(p)
	case n < 97 && p.env.has(Snapshots):
		p.snapshotRandom()
	default:
		p.commitRandom()
	}
}

func (p *player) commitRandom() {
	p.Helper()
	txn := p.txn()
	before := p.oracle.model.state
	defer p.explain(describe(&txn))()
	if _, err := p.commit(txn); err == nil && p.watcher != nil {
		p.seen(before, p.oracle.model.state)
	}
}

// explain answers what is to be deferred: it logs what was under way, if the test
// has failed in the meantime.
func (e *env) explain(what string) (end func()) {
	failed := e.Failed()
	return func() {
		if !failed && e.Failed() {
			e.Helper()
			e.Logf("in %s", what)
		}
	}
}

// seen says that the watcher is told of every key that a transaction changed.
func (p *player) seen(before, after state) {
	p.Helper()
	changed := differing(before, after)
	var told []kv.Change
	for len(changed) > 0 && (len(told) == 0 || told[len(told)-1].Version < p.oracle.model.version-kv.TxnEffectsMax) {
		told = append(told, p.changes(p.watcher, 0)...)
	}
	for _, key := range changed {
		if !anyCovers(told, key) {
			p.Fatalf("the watcher saw %v, and not that %s has changed", told, short(key))
		}
	}
}

func anyCovers(changes []kv.Change, key string) bool {
	for i := range changes {
		if covers(&changes[i], key) {
			return true
		}
	}
	return false
}

// differing lists the keys that lead to something else than before.
func differing(before, after state) (keys []string) {
	for key, b := range after.spaces[kv.User].up("") {
		if was := before.find(name{kv.User, key}); was != b {
			keys = append(keys, key)
		}
	}
	for key := range before.spaces[kv.User].up("") {
		if after.find(name{kv.User, key}) == nil {
			keys = append(keys, key)
		}
	}
	return keys
}

func (p *player) getRandom() {
	p.Helper()
	key := p.generator.key()
	req := kv.GetRequest{Key: []byte(key), Want: p.want(), Offset: p.offset(key), Length: int64(p.size())}
	if !p.env.has(Parts) {
		req.Offset, req.Length = 0, 0
	}
	got, err := p.store.Get(p.ctx, req)
	want, wantErr := p.oracle.model.Get(p.ctx, req)
	p.sameError(err, wantErr)
	p.samePair(&got, &want)
}

func (p *player) scanRandom(r kv.Reader) {
	p.Helper()
	p.scans(r, p.all(p.oracle.model), p.scan())
}

// snapshotRandom takes one, or looks at one that was taken before.
func (p *player) snapshotRandom() {
	p.Helper()
	if len(p.snapshots) < 3 {
		p.snapshots = append(p.snapshots, kept{p.snapshot(), p.all(p.oracle.model)})
		return
	}
	i := p.IntN(len(p.snapshots))
	s := p.snapshots[i]
	p.still(s, s.was)
	p.scans(s, s.was, p.scan())
	p.check(s.Release())
	p.snapshots = append(p.snapshots[:i], p.snapshots[i+1:]...)
}

// compare looks at everything.
func (p *player) compare() {
	p.Helper()
	p.same()
	for _, a := range p.sessions {
		a.compare(p)
	}
}

func (p *player) reopens() { p.reopen() }

// crashes cuts the power while transactions are under way. Those that were not
// answered are there whole, or not at all: the last effect of each is a marker
// that tells, with the version.
func (p *player) crashes() {
	p.Helper()
	p.crashed++
	flights := p.takeOff()
	store, err := p.subject.Crash()
	if err != nil {
		p.Fatalf("opening after a crash: %v", err)
	}
	p.store = store
	for _, f := range landed(p, flights) {
		p.oracle.commit(p.env, &f.txn, f.result, nil)
	}
	p.oracle.model = p.oracle.model.Reopen()
	if len(flights) > 0 {
		p.do(delPrefix(markers))
	}
}

// markers begin with what no key of a generator does.
const markers = "\x01"

// A flight is a transaction that a crash may meet.
type flight struct {
	txn    kv.Txn
	marker string
	done   chan struct{}
	result kv.Result
	err    error
}

const (
	// pilotsMax and flightsMax are how many commit beside each other, and how many
	// transactions one after another: more than there is time for.
	pilotsMax  = 3
	flightsMax = 25
	// cutCallsMax is about how many calls of the disk these are.
	cutCallsMax = 100
	// flightMax is about what the commits of a store in memory take: a crash
	// should meet them at every stage.
	flightMax = 300 * time.Microsecond
)

// takeOff begins to commit, and does not wait.
func (p *player) takeOff() (all []*flight) {
	if !p.env.has(Txns | Stamps | Names) {
		return nil
	}
	if p.subject.CutAt != nil {
		p.subject.CutAt(1 + p.IntN(cutCallsMax))
	}
	for pilot := range 1 + p.IntN(pilotsMax) {
		var flights []*flight
		for i := range flightsMax {
			f := &flight{txn: p.txn(), done: make(chan struct{})}
			f.marker = fmt.Sprintf("%s%d/%d", markers, pilot, i)
			f.txn.Effects = append(sparing(f.txn.Effects), put(f.marker, ""))
			flights = append(flights, f)
		}
		go fly(p.ctx, p.beside(), flights)
		all = append(all, flights...)
	}
	if p.subject.CutAt == nil {
		time.Sleep(time.Duration(p.IntN(int(flightMax))))
		return all
	}
	for _, f := range all {
		<-f.done // soon: after the cut they all fail
	}
	return all
}

// fly commits one transaction after another, until the crash.
func fly(ctx context.Context, store kv.Store, flights []*flight) {
	down := false
	for _, f := range flights {
		if f.err = errNotFlown; !down {
			f.result, f.err = store.Commit(ctx, &f.txn)
			down = f.err != nil && !errors.Is(f.err, kv.ErrCondition)
		}
		close(f.done)
	}
}

var errNotFlown = errors.New("never committed")

// sparing leaves out what would take away the markers of others.
func sparing(effects []kv.Effect) (spared []kv.Effect) {
	for _, e := range effects {
		if e.Op != kv.DeletePrefix || len(e.Key) > 0 {
			spared = append(spared, e)
		}
	}
	return spared
}

// landed lists what has been carried out, in its order.
func landed(p *player, flights []*flight) (all []*flight) {
	p.Helper()
	for _, f := range flights {
		<-f.done
		pair, err := p.store.Get(p.ctx, kv.GetRequest{Key: []byte(f.marker), Want: kv.WantAll})
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			p.Fatalf("after a crash: %v", err)
		}
		there := err == nil
		p.met.count(f.err == nil, there)
		if f.err == nil && (!there || pair.Version != f.result.Version) {
			p.Fatalf("a transaction was answered with version %d before the crash; now its marker has %d, %v", f.result.Version, pair.Version, err)
		}
		if there && (errors.Is(f.err, kv.ErrCondition) || f.err == errNotFlown) {
			p.Fatalf("a transaction is there after the crash, though before it was: %v", f.err)
		}
		if there && f.err != nil {
			f.result = kv.Result{Version: pair.Version, Offset: unknown}
		}
		if there {
			all = insert(all, f)
		}
	}
	return all
}

func (m *met) count(answered, there bool) {
	switch {
	case answered:
		m.answered++
	case there:
		m.unanswered++
	default:
		m.gone++
	}
}

// insert keeps flights in the order of their versions.
func insert(all []*flight, f *flight) []*flight {
	i := len(all)
	for i > 0 && all[i-1].result.Version > f.result.Version {
		i--
	}
	return append(all[:i], append([]*flight{f}, all[i:]...)...)
}
