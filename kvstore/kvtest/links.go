package kvtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kivaloo/kvstore/kv"
)

// linked are three names of one value, two of them below a/, and a pair with links
// of its own.
var linked = effects(put("a/k", "v"), link("a/k", "a/l"), link("a/l", "m"), put("x", "w"), link("x", "y"))

// linkCases are what effects make of values with several names.
func linkCases() (cases []effectCase) {
	add := func(name string, want pairs, txn ...kv.Effect) {
		cases = append(cases, effectCase{"link/several/" + name, linked, txn, want, nil})
	}
	all := func(v, w string) pairs { return pairs{"a/k": v, "a/l": v, "m": v, "x": w, "y": w} }
	add("patch by the third", all("vX", "w"), patch("m", 1, "X"))
	add("put grows to a blob", all(text(5000), "w"), put("a/l", text(5000)))
	add("blob and back", all(text(3), "w"), put("a/l", text(200000)), truncate("m", 3))
	add("punch", all("\x00", "w"), punch("a/l", 0, 1))
	add("copy from one to one of another", all("v", "wv"), copyRange("m", 0, 1, "y", 1))
	add("delete two of three", pairs{"a/l": "v", "x": "w", "y": "w"}, del("a/k"), del("m"))
	add("delete two, write the third", pairs{"a/l": "new", "x": "w", "y": "w"}, del("a/k"), del("m"), put("a/l", "new"))
	add("delete all three", pairs{"x": "w", "y": "w"}, del("a/k"), del("m"), del("a/l"))
	add("delete the prefix of two of three", pairs{"m": "v", "x": "w", "y": "w"}, delPrefix("a/"))
	add("delete the prefix of all", pairs{}, delPrefix(""))
	add("delete the prefix, then put", pairs{"a/k": "new", "m": "v", "x": "w", "y": "w"}, delPrefix("a/"), put("a/k", "new"))
	add("delete the prefix, then link again", pairs{"a/k": "new", "m": "new", "x": "w", "y": "w"}, delPrefix("a/"), link("m", "a/k"), put("a/k", "new"))
	add("move one to itself", all("v", "w"), move("m", "m"))
	add("move one over one of another", pairs{"a/k": "v", "a/l": "v", "x": "v", "y": "w"}, move("m", "x"))
	add("move both over the others", pairs{"m": "w", "a/k": "w", "a/l": "v"}, move("x", "m"), move("y", "a/k"))
	add("move one over another of it", pairs{"a/l": "v", "m": "v", "x": "w", "y": "w"}, move("a/k", "a/l"))
	add("move a plain pair over one", pairs{"a/k": "p", "a/l": "v", "m": "v", "x": "w", "y": "w"}, put("p", "p"), move("p", "a/k"))
	add("move one over a large pair", pairs{"p": "v", "a/l": "v", "m": "v", "x": "w", "y": "w"}, put("p", text(5000)), move("a/k", "p"))
	add("move the prefix of two of three", pairs{"b/k": "n", "b/l": "n", "m": "n", "x": "w", "y": "w"}, movePrefix("a/", "b/"), put("b/k", "n"))
	add("exchange names", pairs{"a/k": "v", "a/l": "v", "x": "v", "m": "n", "y": "n"}, move("m", "t"), move("x", "m"), move("t", "x"), put("y", "n"))
	add("fresh put on each", pairs{"a/k": "1", "a/l": "2", "m": "v", "x": "w", "y": "w"}, fresh(put("a/k", "1")), fresh(put("a/l", "2")))
	add("put, link and delete", pairs{"a/k": "v", "a/l": "v", "m": "v", "x": "w", "y": "w", "to": "n"}, put("from", "n"), link("from", "to"), del("from"))
	return append(cases,
		effectCase{"link/several/taken by another name", linked, effects(link("a/k", "m")), all("v", "w"), taken(0)},
		effectCase{"link/several/taken back as a whole", linked, effects(del("a/k"), delPrefix("a/"), put("m", "n"), link("none", "z")), all("v", "w"), missing(3)},
		effectCase{"link/several/prefix taken back", linked, effects(movePrefix("a/", "b/"), put("m", "n"), move("x", "m"), move("none", "z")), all("v", "w"), missing(3)},
	)
}

func linkTests() []test {
	tests := []test{
		{"links/guards", Links | Txns | Stamps, guardsOfLinks},
		{"links/scans and snapshots", Links | Listings | Snapshots | Stamps | Metadata, scansOfLinks},
		{"links/at the limits", Links | Large | Metadata | Stamps, linksAtTheLimits},
		{"links/many names", Links | Names | Txns, manyNames},
		{"links/a prefix with too many", Links | Names | Metadata | Large, tooManyLinksBelow},
		{"links/pinned", Links | Sessions | Spaces | Names, pinnedLinks},
		{"links/every name is told", Links | Observers | Names, everyNameIsTold},
		{"links/of no other space", Links | Spaces, linksOfNoOtherSpace},
		{"links/watch over a restart", Links | Watches | Stamps | Reopening | Names, func(e *env) { watchLinksOverRestart(e, e.reopen) }},
		{"links/watch over a crash", Links | Watches | Stamps | Crashing | Names, func(e *env) { watchLinksOverRestart(e, e.crash) }},
	}
	for _, c := range linkCases() {
		tests = append(tests, test{"effect/" + c.name, Txns | needsOf(c.setup) | needsOf(c.txn), c.run})
	}
	return tests
}

// guardsOfLinks: what a guard says of a value it says by any name, and Absent and
// Present are of the name.
func guardsOfLinks(e *env) {
	e.do(put("k", "1"))
	born := e.get("k")
	e.do(link("k", "l"))
	e.do(put("l", "2"))
	now := e.get("k")
	change := effects(put("x", ""))
	for _, g := range []kv.Guard{
		stamped(kv.BirthEquals, "l", born.Birth), stamped(kv.VersionEquals, "l", now.Version),
		equals("k", "2"), equals("l", "2"), guard(kv.Present, "l"), guard(kv.PrefixEmpty, "l"),
	} {
		_, err := e.commit(guarded(change, g))
		e.check(err)
	}
	for _, g := range []kv.Guard{
		stamped(kv.VersionEquals, "k", born.Version), equals("k", "1"), guard(kv.Absent, "l"), guard(kv.PrefixEmpty, ""),
	} {
		e.refuse(kv.ErrCondition, guarded(change, g))
	}
	_, err := e.commit(guarded(effects(del("k")), stamped(kv.VersionEquals, "k", now.Version)))
	e.check(err)
	e.refuse(kv.ErrCondition, guarded(change, stamped(kv.VersionEquals, "l", now.Version))) // a name was taken
	e.refuse(kv.ErrCondition, guarded(change, guard(kv.Present, "k")))
	_, err = e.commit(guarded(change, guard(kv.Absent, "k"), stamped(kv.BirthEquals, "l", born.Birth)))
	e.check(err)
	e.same()
}

// scansOfLinks reads names in listings, with all that may be asked for, in a
// snapshot too while its names go.
func scansOfLinks(e *env) {
	for i := range 30 {
		from := fmt.Sprintf("d%d/%02d", i%3, i)
		e.do(withMeta(put(from, text(i*200)), fmt.Sprint("meta", i)))
		e.do(link(from, fmt.Sprintf("d%d/%02d", (i+1)%3, i)))
	}
	was := e.all(e.store)
	s := e.snapshot()
	check := func(r kv.Reader, want []kv.Pair) {
		for _, req := range []kv.ScanRequest{
			{}, {Want: kv.WantStamps}, {Want: kv.WantValue, ValueBytes: 10}, {Want: kv.WantAll, Limit: 7},
			{Want: kv.WantAll, Reverse: true, Limit: 4}, {Want: kv.WantAll, Delimiter: []byte("/")}, {Want: kv.WantAll, Bytes: 1000},
		} {
			e.scans(r, want, req)
		}
	}
	check(e.store, was)
	for i := range 30 {
		switch i % 4 {
		case 0:
			e.do(put(fmt.Sprintf("d%d/%02d", i%3, i), "new"))
		case 1:
			e.do(del(fmt.Sprintf("d%d/%02d", i%3, i)))
		}
	}
	e.do(delPrefix("d0/"))
	check(s, was)
	check(e.store, e.all(e.oracle.model))
	e.same()
}

// linksAtTheLimits: the longest keys, metadata and inline values may have links.
func linksAtTheLimits(e *env) {
	long, other := strings.Repeat("k", kv.KeyBytesMax), strings.Repeat("l", kv.KeyBytesMax)
	for _, size := range []int{0, kv.InlineBytesMax, kv.InlineBytesMax + 1, 2*kv.ChunkBytes + 1} {
		e.do(withMeta(put(long, text(size)), text(kv.MetaBytesMax)))
		e.do(link(long, other))
		e.do(link(other, ""))
		e.same()
		if e.has(Reopening) {
			e.reopen()
		}
		e.do(appendTo(other, "end"))
		e.do(del(long))
		e.same()
		e.do(move("", long))
		e.do(del(other))
		e.same()
		e.do(del(long))
	}
	e.holds(nil)
}

// manyNames: each name counts, in what order they ever come and go.
func manyNames(e *env) {
	const n = 300
	name := func(i int) string { return fmt.Sprintf("%d/%03d", i%3, i*7%n) }
	e.do(put(name(0), "v"))
	for i := 1; i < n; i++ {
		e.do(link(name(i/2), name(i)))
	}
	if got := e.get(name(n / 2)).Names; e.has(Stamps) && got != n {
		e.Fatalf("%d names, want %d", got, n)
	}
	e.do(put(name(5), "w"))
	e.do(delPrefix("0/"))
	e.do(movePrefix("1/", "3/"))
	e.same()
	for i := range n - 1 {
		if i%3 == 2 {
			e.do(del(name(i)))
		}
	}
	e.same()
	e.do(delPrefix("3/"))
	e.holds(pairs{name(n - 1): "w"})
	e.same()
}

// tooManyLinksBelow: a prefix whose names' values with their metadata are more than
// one transaction carries is refused as a whole, and can be deleted in parts.
func tooManyLinksBelow(e *env) {
	const n = 600
	for i := range n {
		e.do(withMeta(put(fmt.Sprintf("a/%03d", i), "v"), text(kv.MetaBytesMax)))
		e.do(link(fmt.Sprintf("a/%03d", i), fmt.Sprintf("b/%03d", i)))
	}
	_, err := e.store.Commit(e.ctx, &kv.Txn{Effects: effects(delPrefix("a/"))})
	if err != nil {
		if !errors.Is(err, kv.ErrTooLarge) {
			e.Fatalf("%v, want ErrTooLarge", err)
		}
		e.same()
		for i := range 10 {
			e.do(delPrefix(fmt.Sprintf("a/%d", i)))
		}
		e.same()
	}
}

// pinnedLinks: a pin is of the value, by whatever name it was made, and comes to
// bear when the last name goes.
func pinnedLinks(e *env) {
	for name, last := range map[string][]kv.Effect{
		"deleted":          effects(del("a/l")),
		"deleted together": effects(delPrefix("a/")),
		"put over fresh":   effects(fresh(put("a/l", "n"))),
		"moved over":       effects(put("p", "n"), move("p", "a/l")),
	} {
		s := e.session()
		e.do(put("k", "v"))
		e.do(link("k", "a/l"))
		birth := e.get("k").Birth
		e.check(s.Pin(e.ctx, []byte("a/l"), birth))
		if err := s.Pin(e.ctx, []byte("a/l"), birth+1); !errors.Is(err, kv.ErrNotFound) {
			e.Fatalf("pin of another birth: %v", err)
		}
		e.do(move("k", "a/m"))
		e.do(put("a/m", name))
		if name != "deleted together" {
			e.do(del("a/m"))
		}
		e.noOrphan(birth)
		for _, step := range last {
			e.do(step)
		}
		e.orphanIs(birth, name)
		e.do(delPrefix(""))
		e.orphanIs(birth, name)
		e.check(s.Unpin(e.ctx, birth))
		e.noOrphan(birth)
		e.check(s.Close())
	}
	e.same()
}

// everyNameIsTold: what changes a value is told under all its names, and what takes
// or gives a name under the others.
func everyNameIsTold(e *env) {
	s, o := e.observe()
	e.do(put("b/k", "v"))
	e.do(link("b/k", "b/l"))
	e.do(link("b/k", "m"))
	for _, c := range []struct {
		effect kv.Effect
		told   map[string]kv.ChangeOp
	}{
		{put("m", "w"), toldOf(kv.Changed, "b/k", "b/l", "m")},
		{patch("b/l", 1, "w"), toldOf(kv.Changed, "b/k", "b/l", "m")},
		{setMeta("b/k", "meta"), toldOf(kv.MetaChanged, "b/k", "b/l", "m")},
		{link("m", "n"), toldOf(kv.MetaChanged, "b/k", "b/l", "m")},
		{del("n"), toldOf(kv.MetaChanged, "b/k", "b/l", "m")},
		{move("m", "n"), toldOf(kv.MetaChanged, "b/k", "b/l")},
		{movePrefix("b/", "c/"), toldOf(kv.MetaChanged, "n")},
		{fresh(put("n", "x")), toldOf(kv.MetaChanged, "c/k", "c/l")},
		{move("n", "c/k"), toldOf(kv.MetaChanged, "c/l")},
	} {
		for key := range c.told {
			s.Mark([]byte(key))
		}
		changes := e.tells(o, c.effect)
		for key, op := range c.told {
			if !hasChange(changes, key, op) {
				e.Fatalf("%s of %s: told of %v, want %d of %s", effectNames[c.effect.Op], c.effect.Key, changes, op, key)
			}
		}
	}
	e.same()
}

func toldOf(op kv.ChangeOp, keys ...string) map[string]kv.ChangeOp {
	all := map[string]kv.ChangeOp{}
	for _, key := range keys {
		all[key] = op
	}
	return all
}

// linksOfNoOtherSpace: neither an orphan nor the root gets a name, and no user's
// pair a key of theirs. Who wants a deleted pair back copies it.
func linksOfNoOtherSpace(e *env) {
	s := e.session()
	birth := e.pin(s, "k", "v")
	e.do(del("k"))
	e.do(put("l", "w"))
	orphan := string(kv.OrphanKey(birth))
	toOrphan, toRoot := link("l", orphan), link("l", "")
	toOrphan.ToSpace, toRoot.ToSpace = kv.Orphan, kv.Root
	for _, effect := range []kv.Effect{in(kv.Orphan, link(orphan, "k")), in(kv.Root, link("", "k")), toOrphan, toRoot} {
		e.refuse(kv.ErrInvalid, guarded(effects(effect)))
	}
	back := copyRange(orphan, 0, 1, "k", 0)
	back.Space = kv.Orphan
	_, err := s.Commit(e.ctx, &kv.Txn{Effects: effects(back)})
	e.check(err)
	e.holds(pairs{"k": "v", "l": "w"})
}

// watchLinksOverRestart: what is read back from the log tells of every key that each
// transaction has changed, whatever names its value has had since.
func watchLinksOverRestart(e *env, restart func()) {
	for _, step := range linked {
		e.do(step)
	}
	after := e.oracle.model.version
	var done []changed
	for _, txn := range [][]kv.Effect{
		effects(put("m", "1")), effects(move("m", "n")), effects(patch("a/k", 1, "2")), effects(del("n")),
		effects(put("p", text(5000)), move("x", "p")), effects(link("a/k", "q")), effects(movePrefix("a/", "b/")),
		effects(put("q", "3"), setMeta("b/k", "")), effects(fresh(put("y", "4"))), effects(move("b/k", "y")), effects(delPrefix("b/")),
	} {
		before := e.oracle.model.state
		e.do(txn...)
		last := e.oracle.model.version
		done = append(done, changed{last - kv.Stamp(len(txn)), last, differing(before, e.oracle.model.state)})
		checkAllTold(e, e.watch(kv.WatchRequest{After: after}), done)
	}
	restart()
	checkAllTold(e, e.watch(kv.WatchRequest{After: after}), done)
	restart()
	checkAllTold(e, e.watch(kv.WatchRequest{After: done[5].last}), done[6:])
}

// changed is what a transaction has changed, at versions above after and up to last.
type changed struct {
	after, last kv.Stamp
	keys        []string
}

// checkAllTold: a watcher is told of all that transactions have changed, of each by
// itself, unless it has fallen behind.
func checkAllTold(e *env, w kv.Watcher, done []changed) {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.ctx, e.wait)
	defer cancel()
	var told []kv.Change
	for len(told) == 0 || told[len(told)-1].Version < done[len(done)-1].last {
		changes, err := w.Next(ctx)
		if errors.Is(err, kv.ErrFellBehind) {
			return
		}
		e.check(err)
		inOrder(e, changes, 0)
		told = append(told, changes...)
	}
	for _, c := range done {
		of := slices.DeleteFunc(slices.Clone(told), func(ch kv.Change) bool { return ch.Version <= c.after || ch.Version > c.last })
		for _, key := range c.keys {
			if !anyCovers(of, key) {
				e.Fatalf("the watcher sees %v of versions %d to %d, and not that %s has changed", of, c.after+1, c.last, short(key))
			}
		}
	}
}
