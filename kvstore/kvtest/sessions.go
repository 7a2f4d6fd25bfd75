package kvtest

import (
	"errors"
	"strings"

	"kivaloo/kvstore/kv"
)

// A lossCase is a way in which a pinned pair loses its key. Each step is a
// transaction of its own; the last one takes the key away.
type lossCase struct {
	name  string
	steps []kv.Effect
}

var lossCases = []lossCase{
	{"delete", effects(del("a/k"))},
	{"delete prefix", effects(delPrefix("a/"))},
	{"fresh put", effects(fresh(put("a/k", "new")))},
	{"move over it", effects(put("l", "new"), move("l", "a/k"))},
	{"move, then delete", effects(move("a/k", "l"), del("l"))},
	{"move prefix, then delete", effects(movePrefix("a/", "b/"), del("b/k"))},
	{"move prefix twice, then delete prefix", effects(movePrefix("a/", "b/"), movePrefix("b/k", "c"), delPrefix("c"))},
	{"move, put where it was, delete", effects(move("a/k", "l"), put("a/k", "new"), del("l"))},
	{"link, then delete both", effects(link("a/k", "l"), del("a/k"), del("l"))},
	{"link, then delete prefixes of both", effects(link("a/k", "a/l"), delPrefix("a/"))},
}

func sessionTests() []test {
	tests := []test{
		{"pin/no such pair", Sessions, pinNoSuchPair},
		{"pin/taken back", Sessions, pinTakenBack},
		{"pin/counts", Sessions | Spaces, pinsCount},
		{"pin/put over keeps the pair", Sessions | Spaces, pinPutOver},
		{"pin/one of several names", Sessions | Spaces | Links, pinOneOfSeveralNames},
		{"pin/failed transaction", Sessions | Spaces | Txns, pinFailedTransaction},
		{"orphan/writing", Sessions | Spaces | Parts, orphanWriting},
		{"orphan/nothing is created", Spaces | Parts, orphanNothingIsCreated},
		{"orphan/ends with its session", Sessions | Spaces, orphanEndsWithSession},
		{"orphan/ends with the store", Sessions | Spaces | Reopening, func(e *env) { orphanEndsWithStore(e, e.reopen) }},
		{"orphan/ends with a crash", Sessions | Spaces | Crashing, func(e *env) { orphanEndsWithStore(e, e.crash) }},
		{"session/closed", Sessions, sessionClosed},
		{"session/reserve", Sessions, sessionReserves},
		{"usage/figures", Usage, usageFigures},
	}
	for _, c := range lossCases {
		for _, size := range []int{10, kv.InlineBytesMax + 1, 2*kv.ChunkBytes + 1} {
			needs := Sessions | Spaces | Metadata | Large | needsOf(c.steps)
			name := "orphan/" + c.name + "/" + sizeName(size)
			tests = append(tests, test{name, needs, func(e *env) { c.run(e, size) }})
		}
	}
	return append(tests, stagingTests()...)
}

func sizeName(size int) string {
	switch {
	case size <= kv.InlineBytesMax:
		return "inline"
	case size <= kv.ChunkBytes:
		return "one chunk"
	default:
		return "chunks"
	}
}

func (e *env) session() kv.Session {
	e.Helper()
	s, err := e.store.Session(e.ctx)
	e.check(err)
	e.Cleanup(func() { s.Close() })
	return s
}

// pin puts a pair and pins it.
func (e *env) pin(s kv.Session, key, value string) (birth kv.Stamp) {
	e.Helper()
	e.do(put(key, value))
	birth = e.get(key).Birth
	e.check(s.Pin(e.ctx, []byte(key), birth))
	return birth
}

func (e *env) noOrphan(birth kv.Stamp) {
	e.Helper()
	if _, err := e.orphan(birth); !errors.Is(err, kv.ErrNotFound) {
		e.Fatalf("orphan: %v, want ErrNotFound", err)
	}
}

func (e *env) orphanIs(birth kv.Stamp, value string) kv.Pair {
	e.Helper()
	p, err := e.orphan(birth)
	if err != nil || string(p.Value) != value || p.Birth != birth {
		e.Fatalf("orphan: birth %d, want %d, %v; %s", p.Birth, birth, err, difference(p.Value, []byte(value)))
	}
	return p
}

func (c *lossCase) run(e *env, size int) {
	s := e.session()
	e.do(withMeta(bringing(put("a/k", text(size)), 0, someModified), "meta"))
	before := e.get("a/k")
	e.check(s.Pin(e.ctx, []byte("a/k"), before.Birth))
	var last kv.Result
	for _, step := range c.steps {
		e.noOrphan(before.Birth)
		last = e.do(step)
	}
	e.same()
	p := e.orphanIs(before.Birth, text(size))
	want := stamps{before.Birth, someModified, last.Version, false, 1}
	if got := stampsOf(&p); string(p.Meta) != "meta" || got != want {
		e.Fatalf("orphan %+v, metadata %q, want %+v", got, p.Meta, want)
	}
	e.check(s.Unpin(e.ctx, before.Birth))
	e.noOrphan(before.Birth)
	e.same()
}

func pinNoSuchPair(e *env) {
	s := e.session()
	birth := e.pin(s, "k", "v")
	for key, b := range map[string]kv.Stamp{"k": birth + 1, "l": birth} {
		if err := s.Pin(e.ctx, []byte(key), b); !errors.Is(err, kv.ErrNotFound) {
			e.Fatalf("pin of %s: %v, want ErrNotFound", key, err)
		}
	}
	if err := s.Unpin(e.ctx, birth+1); !errors.Is(err, kv.ErrInvalid) {
		e.Fatalf("unpin: %v, want ErrInvalid", err)
	}
}

func pinTakenBack(e *env) {
	s := e.session()
	birth := e.pin(s, "k", "v")
	e.check(s.Unpin(e.ctx, birth))
	e.holds(pairs{"k": "v"})
	e.do(del("k"))
	e.holds(nil)
	if e.has(Spaces) {
		e.noOrphan(birth)
	}
}

func pinsCount(e *env) {
	s, other := e.session(), e.session()
	birth := e.pin(s, "k", "v")
	e.check(s.Pin(e.ctx, []byte("k"), birth))
	e.check(other.Pin(e.ctx, []byte("k"), birth))
	e.do(del("k"))
	for _, unpin := range []kv.Session{s, other, s} {
		e.orphanIs(birth, "v")
		e.check(unpin.Unpin(e.ctx, birth))
	}
	e.noOrphan(birth)
}

func pinPutOver(e *env) {
	s := e.session()
	birth := e.pin(s, "k", "v")
	e.do(put("k", "w"))
	e.noOrphan(birth)
	_, err := s.Commit(e.ctx, &kv.Txn{Effects: effects(del("k"))})
	e.check(err)
	e.orphanIs(birth, "w") // also by the session that has it pinned
	e.do(put("k", "another"))
	e.orphanIs(birth, "w")
	if e.get("k").Birth == birth {
		e.Fatalf("the new pair has the orphan's birth")
	}
}

func pinOneOfSeveralNames(e *env) {
	s := e.session()
	birth := e.pin(s, "k", "v")
	e.do(link("k", "l"))
	e.do(del("k"))
	e.noOrphan(birth)
	e.do(link("l", "m"))
	e.do(del("l"))
	e.do(del("m"))
	e.orphanIs(birth, "v")
}

func pinFailedTransaction(e *env) {
	s := e.session()
	birth := e.pin(s, "k", "v")
	e.refuse(kv.ErrNotFound, guarded(effects(del("k"), punch("none", 0, 1))))
	e.noOrphan(birth)
	e.refuse(kv.ErrNotFound, guarded(effects(move("k", "l"), punch("none", 0, 1))))
	e.do(del("k"))
	e.orphanIs(birth, "v")
}

func orphanWriting(e *env) {
	s := e.session()
	birth := e.pin(s, "k", "abcdef")
	e.do(del("k"))
	key := string(kv.OrphanKey(birth))
	g := kv.Guard{Op: kv.BirthEquals, Space: kv.Orphan, Key: []byte(key), Stamp: birth}
	write := guarded(effects(in(kv.Orphan, patch(key, 2, "XY")), in(kv.Orphan, appendTo(key, text(5000))),
		in(kv.Orphan, truncate(key, 10)), in(kv.Orphan, setMeta(key, "m"))), g)
	result, err := s.Commit(e.ctx, &write)
	e.check(err)
	p := e.orphanIs(birth, "abXYef"+text(4))
	if string(p.Meta) != "m" || p.Version != result.Version {
		e.Fatalf("metadata %q, version %d, want %d", p.Meta, p.Version, result.Version)
	}
	copied := copyRange(key, 0, 4, "l", 0)
	copied.Space = kv.Orphan
	_, err = s.Commit(e.ctx, &kv.Txn{Effects: effects(copied, in(kv.Orphan, del(key)))})
	e.check(err)
	e.noOrphan(birth)
	e.holds(pairs{"l": "abXY"})
	e.check(s.Unpin(e.ctx, birth))
}

func orphanNothingIsCreated(e *env) {
	key := string(kv.OrphanKey(someBirth))
	e.do(put("k", "v"))
	copied := copyRange("k", 0, 1, key, 0)
	copied.ToSpace = kv.Orphan
	for _, effect := range []kv.Effect{put(key, "v"), patch(key, 0, "v"), appendTo(key, "v"), truncate(key, 1), setMeta(key, "m")} {
		e.refuse(kv.ErrNotFound, guarded(effects(in(kv.Orphan, effect))))
		e.noOrphan(someBirth)
	}
	e.refuse(kv.ErrNotFound, guarded(effects(copied)))
	e.do(in(kv.Orphan, del(key)))
}

func orphanEndsWithSession(e *env) {
	s, other := e.session(), e.session()
	birth := e.pin(s, "k", "v")
	e.check(other.Pin(e.ctx, []byte("k"), birth))
	e.do(del("k"))
	e.check(other.Close())
	e.orphanIs(birth, "v")
	e.check(s.Close())
	e.noOrphan(birth)
}

func orphanEndsWithStore(e *env, restart func()) {
	s := e.session()
	birth, large := e.pin(s, "k", "v"), e.pin(s, "l", text(2*kv.ChunkBytes))
	kept := e.pin(s, "m", "v")
	e.do(del("k"))
	e.do(del("l"))
	restart()
	e.noOrphan(birth)
	e.noOrphan(large)
	e.holds(pairs{"m": "v"})
	e.do(del("m"))
	e.noOrphan(kept) // its pin has ended too
}

func sessionClosed(e *env) {
	s := e.session()
	birth := e.pin(s, "k", "v")
	e.check(s.Close())
	_, err := s.Commit(e.ctx, &kv.Txn{Effects: effects(put("k", "w"))})
	_, stageErr := s.Stage(e.ctx, []byte("x"))
	for _, err := range []error{err, stageErr, s.Pin(e.ctx, []byte("k"), birth), s.Reserve(e.ctx, 1)} {
		if !errors.Is(err, kv.ErrClosed) {
			e.Fatalf("%v, want ErrClosed", err)
		}
	}
	e.holds(pairs{"k": "v"})
}

func sessionReserves(e *env) {
	s := e.session()
	e.check(s.Reserve(e.ctx, 1<<16))
	e.check(s.Reserve(e.ctx, -1<<15))
	if err := s.Reserve(e.ctx, 1<<60); !errors.Is(err, kv.ErrNoSpace) {
		e.Fatalf("%v, want ErrNoSpace", err)
	}
	_, err := s.Commit(e.ctx, &kv.Txn{Effects: effects(put("k", strings.Repeat("v", 200)))})
	e.check(err)
	e.check(s.Reserve(e.ctx, -1<<15))
}

func usageFigures(e *env) {
	for i := range 10 {
		e.do(put(string(rune('a'+i)), text(200)))
	}
	u, err := e.store.Space(e.ctx)
	e.check(err)
	if u.Pairs < 10 || u.LiveBytes < 0 || u.UsedBytes < 0 || u.FreeBytes <= 0 || u.FileBytes <= 0 {
		e.Fatalf("%+v after 10 pairs of 200 bytes", u)
	}
}
