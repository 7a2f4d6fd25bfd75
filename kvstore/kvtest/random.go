package kvtest

import (
	"math/rand/v2"

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
