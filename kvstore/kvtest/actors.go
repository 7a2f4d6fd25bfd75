package kvtest

import (
	"errors"

	"kivaloo/kvstore/kv"
)

// An actor is a session of the store beside one of the model.
type actor struct {
	store, model kv.Session
	pins         []kv.Stamp // one for each pin
	pinned       map[kv.Stamp]bool
}

func newActor(e *env) *actor {
	e.Helper()
	a := &actor{store: e.session(), pinned: map[kv.Stamp]bool{}}
	model, err := e.oracle.model.Session(e.ctx)
	e.check(err)
	a.model = model
	return a
}

// act does one of the things that a session is for.
func (a *actor) act(p *player) {
	p.Helper()
	switch n := p.IntN(10); {
	case n < 4:
		a.pin(p)
	case n < 6:
		a.unpin(p)
	case n < 8:
		a.commitStaged(p)
	case n < 9:
		a.writeOrphan(p)
	case p.IntN(5) == 0:
		a.compare(p)
		p.check(a.store.Close())
		p.check(a.model.Close())
		fresh := newActor(p.env)
		fresh.pinned, *a = a.pinned, *fresh
		a.pinned = map[kv.Stamp]bool{}
	}
}

func (a *actor) pin(p *player) {
	p.Helper()
	key := p.generator.key()
	birth := someBirth
	if b := p.oracle.model.peek(key); b != nil {
		birth = b.birth
	}
	err := a.store.Pin(p.ctx, []byte(key), birth)
	p.sameError(err, a.model.Pin(p.ctx, []byte(key), birth))
	if err == nil {
		a.pins = append(a.pins, birth)
		a.pinned[birth] = true
	}
}

func (a *actor) unpin(p *player) {
	p.Helper()
	if len(a.pins) == 0 {
		return
	}
	i := p.IntN(len(a.pins))
	birth := a.pins[i]
	a.pins = append(a.pins[:i], a.pins[i+1:]...)
	p.check(a.store.Unpin(p.ctx, birth))
	p.check(a.model.Unpin(p.ctx, birth))
}

// commitStaged writes a value ahead in pieces, to both, and names it.
func (a *actor) commitStaged(p *player) {
	p.Helper()
	var of, modelOf []kv.Staged
	for range 1 + p.IntN(3) {
		value := p.value()
		if !p.env.has(Large) || len(value) > kv.ChunkBytes {
			value = value[:min(len(value), 100)]
		}
		of = append(of, p.stage(a.store, value)...)
		modelOf = append(modelOf, p.stage(a.model, value)...)
	}
	effect := put(p.generator.key(), "")
	if p.env.has(Parts) && p.IntN(2) == 0 {
		effect = patch(p.generator.key(), int64(p.size()), "")
	}
	txn := guarded(effects(using(effect, of...)), p.guard(string(effect.Key)))
	result, err := a.store.Commit(p.ctx, &txn)
	txn.Effects[0].Staged = modelOf
	p.oracle.by(p.env, a.model.Commit, &txn, result, err)
	if err != nil {
		a.store.Unstage(of)
		a.model.Unstage(modelOf)
	}
	p.drain()
}

// drain takes what the watcher is told of a change that it was not asked about.
func (p *player) drain() {
	if p.watcher != nil {
		p.check(p.watcher.Close())
		p.watcher = p.watch(kv.WatchRequest{})
	}
}

// writeOrphan changes a pinned pair that may be an orphan by now, or gone.
func (a *actor) writeOrphan(p *player) {
	p.Helper()
	if len(a.pins) == 0 || !p.env.has(Parts) {
		return
	}
	key := string(kv.OrphanKey(pick(p.Rand, a.pins...)))
	txn := guarded(effects(in(kv.Orphan, patch(key, int64(p.size()), p.value()))))
	result, err := a.store.Commit(p.ctx, &txn)
	p.oracle.by(p.env, a.model.Commit, &txn, result, err)
}

// compare looks at what has become of everything that was ever pinned.
func (a *actor) compare(p *player) {
	p.Helper()
	for birth := range a.pinned {
		req := kv.GetRequest{Space: kv.Orphan, Key: kv.OrphanKey(birth), Want: kv.WantAll}
		got, err := p.store.Get(p.ctx, req)
		want, wantErr := p.oracle.model.Get(p.ctx, req)
		p.sameError(err, wantErr)
		p.samePair(&got, &want)
		if errors.Is(err, kv.ErrNotFound) {
			delete(a.pinned, birth)
		}
	}
}
