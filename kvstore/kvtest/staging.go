package kvtest

import (
	"context"
	"errors"

	"kivaloo/kvstore/kv"
)

func stagingTests() []test {
	return []test{
		{"stage/pieces of any size", Sessions | Large | Parts, stagePieces},
		{"stage/put, patch and append", Sessions | Large | Parts | Txns, stageEffects},
		{"stage/used once", Sessions | Parts, stageUsedOnce},
		{"stage/used by others", Sessions, stageUsedByOthers},
		{"stage/dropped", Sessions, stageDropped},
		{"stage/survives a failed transaction", Sessions, stageSurvivesFailure},
		{"stage/too large", Sessions | Large, stageTooLarge},
	}
}

func (e *env) stage(s kv.Session, pieces ...string) (staged []kv.Staged) {
	e.Helper()
	for _, piece := range pieces {
		data := []byte(piece)
		d, err := s.Stage(e.ctx, data)
		e.check(err)
		if d.Bytes != int64(len(piece)) {
			e.Fatalf("staged %d bytes, told %d", len(piece), d.Bytes)
		}
		clear(data) // it is ours again
		staged = append(staged, d)
	}
	return staged
}

// using has an effect take its bytes from what is staged.
func using(e kv.Effect, staged ...kv.Staged) kv.Effect {
	e.Value, e.Staged = nil, staged
	return e
}

// by commits by a session what must succeed, and has the model follow with the
// bytes themselves.
func (e *env) by(s kv.Session, effect kv.Effect, value string) {
	e.Helper()
	result, err := s.Commit(e.ctx, &kv.Txn{Effects: effects(effect)})
	effect.Staged, effect.Value = nil, []byte(value)
	e.oracle.commit(e, &kv.Txn{Effects: effects(effect)}, result, err)
	e.check(err)
}

func stagePieces(e *env) {
	s := e.session()
	for _, sizes := range [][]int{
		{0}, {1}, {1, 0, 2}, {kv.InlineBytesMax, 1}, {1000, 1000},
		{kv.ChunkBytes}, {kv.ChunkBytes, kv.ChunkBytes, 1}, {kv.ChunkBytes - 1, kv.ChunkBytes, 7}, {5, kv.ChunkBytes, kv.ChunkBytes},
	} {
		value := ""
		var pieces []string
		for i, n := range sizes {
			pieces = append(pieces, text(n + i)[i:])
			value += pieces[i]
		}
		e.by(s, using(put("k", ""), e.stage(s, pieces...)...), value)
		e.valueIs("k", []byte(value))
		e.same()
		e.by(s, using(appendTo("l", ""), e.stage(s, pieces...)...), value)
		e.by(s, using(patch("m", 3, ""), e.stage(s, pieces...)...), value)
		e.same()
	}
	if e.has(Reopening) {
		e.reopen()
		e.same()
	}
}

func stageEffects(e *env) {
	s := e.session()
	a, b, c := text(3000), text(kv.ChunkBytes), "end"
	d := e.stage(s, a, b, c)
	txn := guarded(effects(using(put("k", ""), d[0]), using(appendTo("k", ""), d[1]), using(patch("k", 2, ""), d[2]), put("l", "plain")))
	_, err := s.Commit(e.ctx, &txn)
	e.check(err)
	e.holds(pairs{"k": a[:2] + c + a[2+len(c):] + b, "l": "plain"})
}

func stageUsedOnce(e *env) {
	s := e.session()
	d := e.stage(s, "data")
	refuseStaged(e, s, using(put("k", ""), d[0], d[0]))
	e.by(s, using(put("k", ""), d...), "data")
	refuseStaged(e, s, using(put("l", ""), d...))
	d = e.stage(s, "more")
	refuseStaged(e, s, using(put("k", ""), kv.Staged{ID: d[0].ID, Bytes: 3}))
	e.by(s, using(appendTo("k", ""), d...), "more")
	e.holds(pairs{"k": "datamore"})
}

// A committer is a store or a session.
type committer interface {
	Commit(ctx context.Context, txn *kv.Txn) (kv.Result, error)
}

// refuseStaged commits what names data that it must not.
func refuseStaged(e *env, s committer, effect kv.Effect) {
	e.Helper()
	if _, err := s.Commit(e.ctx, &kv.Txn{Effects: effects(effect)}); !errors.Is(err, kv.ErrInvalid) {
		e.Fatalf("%v, want ErrInvalid", err)
	}
	e.same()
}

func stageUsedByOthers(e *env) {
	s, other := e.session(), e.session()
	d := e.stage(s, "data")
	refuseStaged(e, other, using(put("k", ""), d...))
	refuseStaged(e, e.store, using(put("k", ""), d...))
	e.by(s, using(put("k", ""), d...), "data")
}

func stageDropped(e *env) {
	s := e.session()
	d := e.stage(s, "data", "kept")
	s.Unstage(d[:1])
	refuseStaged(e, s, using(put("k", ""), d...))
	e.by(s, using(put("k", ""), d[1:]...), "kept")
	s.Unstage(d) // what is gone already
	e.holds(pairs{"k": "kept"})
}

func stageSurvivesFailure(e *env) {
	s := e.session()
	d := e.stage(s, text(3000))
	txn := guarded(effects(using(put("k", ""), d...)), guard(kv.Present, "k"))
	if _, err := s.Commit(e.ctx, &txn); !errors.Is(err, kv.ErrCondition) {
		e.Fatalf("%v, want ErrCondition", err)
	}
	e.by(s, using(put("k", ""), d...), text(3000))
	e.holds(pairs{"k": text(3000)})
}

func stageTooLarge(e *env) {
	s := e.session()
	if _, err := s.Stage(e.ctx, make([]byte, kv.ChunkBytes+1)); !errors.Is(err, kv.ErrTooLarge) {
		e.Fatalf("%v, want ErrTooLarge", err)
	}
}
