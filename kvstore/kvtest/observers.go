package kvtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"kivaloo/kvstore/kv"
)

// An observeCase is a transaction of others that the observer of key k must be
// told of, as one of some kinds of change.
type observeCase struct {
	name  string
	setup []kv.Effect // each a transaction of its own, before the mark
	txn   []kv.Effect
	told  []kv.ChangeOp
}

// Without looking, a store cannot tell a birth from a change: Birth is 0 then.
var observeCases = []observeCase{
	{"birth", nil, effects(put("k", "v")), ops(kv.Created)},
	{"birth by a patch", nil, effects(patch("k", 1, "v")), ops(kv.Created)},
	{"put over", effects(put("k", "v")), effects(put("k", "w")), ops(kv.Changed)},
	{"fresh put", effects(put("k", "v")), effects(fresh(put("k", "w"))), ops(kv.Created)},
	{"patch", effects(put("k", "v")), effects(patch("k", 0, "w")), ops(kv.Changed)},
	{"append", effects(put("k", "v")), effects(appendTo("k", "w")), ops(kv.Changed)},
	{"truncate", effects(put("k", "v")), effects(truncate("k", 0)), ops(kv.Changed)},
	{"punch", effects(put("k", "v")), effects(punch("k", 0, 1)), ops(kv.Changed)},
	{"copy to it", effects(put("k", "v"), put("l", "w")), effects(copyRange("l", 0, 1, "k", 1)), ops(kv.Changed)},
	{"metadata", effects(put("k", "v")), effects(setMeta("k", "m")), ops(kv.MetaChanged)},
	{"delete", effects(put("k", "v")), effects(del("k")), ops(kv.Deleted)},
	{"delete prefix", effects(put("k", "v")), effects(delPrefix("")), ops(kv.PrefixDeleted)},
	{"move away", effects(put("k", "v")), effects(move("k", "l")), ops(kv.Moved)},
	{"move over it", effects(put("k", "v"), put("l", "w")), effects(move("l", "k")), ops(kv.Moved)},
	{"move to where nothing is", effects(put("l", "w")), effects(move("l", "k")), ops(kv.Moved)},
	{"move prefix away", effects(put("k", "v")), effects(movePrefix("k", "l")), ops(kv.PrefixMoved)},
	{"move prefix to it", effects(put("l", "v")), effects(movePrefix("l", "k")), ops(kv.PrefixMoved)},
	{"link of it", effects(put("k", "v")), effects(link("k", "l")), ops(kv.MetaChanged)},
	{"link to it", effects(put("l", "v")), effects(link("l", "k")), ops(kv.Created)},
	{"change by another name", effects(put("k", "v"), link("k", "l")), effects(put("l", "w")), ops(kv.Changed)},
	{"delete of another name", effects(put("k", "v"), link("k", "l")), effects(del("l")), ops(kv.MetaChanged)},
	{"several in a transaction", effects(put("k", "v")), effects(put("x", ""), patch("k", 1, "w"), setMeta("k", "m"), del("k")), ops(kv.Changed, kv.MetaChanged, kv.Deleted)},
}

func ops(all ...kv.ChangeOp) []kv.ChangeOp { return all }

func observeTests() []test {
	tests := []test{
		{"observe/mark is for one change", Observers, markIsForOneChange},
		{"observe/others' keys are not told", Observers, otherKeysAreNotTold},
		{"observe/own commits", Observers, ownCommitsAreNotTold},
		{"observe/commits of other sessions", Observers, commitsOfOtherSessions},
		{"observe/failed commits", Observers, failedCommitsAreNotTold},
		{"observe/closing answers the waiting", Observers, closingAnswersTheWaiting},
		{"observe/in order", Observers, observedInOrder},
		{"observe/prefix", Observers | Names, markedPrefix},
		{"observe/pinned below a prefix", Observers | Names | Spaces, pinnedBelowPrefix},
		{"observe/unmark", Observers, unmarkedPrefix},
		{"observe/twice", Observers, observedTwice},
	}
	for _, c := range observeCases {
		needs := Observers | Txns | needsOf(c.setup) | needsOf(c.txn)
		tests = append(tests, test{"observe/" + c.name, needs, c.run})
	}
	return tests
}

// A told is one call of Changed.
type told struct {
	changes []kv.Change
	done    func()
}

// toldMax bounds the calls that an observer has not looked at yet.
const toldMax = 1024

type observer chan told

func (o observer) Changed(changes []kv.Change, done func()) { o <- told{changes, done} }

func (e *env) observe() (kv.Session, observer) {
	e.Helper()
	s, o := e.session(), make(observer, toldMax)
	e.check(s.Observe(o))
	return s, o
}

// next waits for a call of Changed.
func (o observer) next(e *env) told {
	e.Helper()
	select {
	case t := <-o:
		return t
	case <-time.After(e.wait):
		e.Fatalf("the observer is told nothing")
	}
	panic("unreachable")
}

// settle is how long something that must not happen is waited for: most of what
// goes wrong goes wrong at once, and each test pays for this.
func (e *env) settle() time.Duration { return e.wait / 5000 }

// tells has the observer told by a transaction of others, and checks when: it is
// visible by then, and answered only after done.
func (e *env) tells(o observer, txn ...kv.Effect) []kv.Change {
	e.Helper()
	answered := make(chan error, 1)
	var result kv.Result
	go func() {
		var err error
		result, err = e.beside().Commit(e.ctx, &kv.Txn{Effects: txn})
		answered <- err
	}()
	t := o.next(e)
	select {
	case err := <-answered:
		e.Fatalf("answered before the observer is done: %v", err)
	case <-time.After(e.settle()):
	}
	t.done()
	select {
	case err := <-answered:
		e.oracle.commit(e, &kv.Txn{Effects: txn}, result, err)
		e.check(err)
	case <-time.After(e.wait):
		e.Fatalf("done, but the writer gets no answer")
	}
	return t.changes
}

// quiet commits what the observer must not be told of: nobody would confirm it.
func (e *env) quiet(o observer, txn ...kv.Effect) {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.ctx, e.wait)
	defer cancel()
	result, err := e.store.Commit(ctx, &kv.Txn{Effects: txn})
	e.oracle.commit(e, &kv.Txn{Effects: txn}, result, err)
	e.check(err)
	o.silent(e)
}

func (o observer) silent(e *env) {
	e.Helper()
	select {
	case t := <-o:
		e.Fatalf("told of %v", t.changes)
	case <-time.After(e.settle()):
	}
}

// hasChange says whether a change of a kind, or what stands for it where the store has
// not looked, is among those that concern the key.
func hasChange(changes []kv.Change, key string, op kv.ChangeOp) bool {
	return slices.ContainsFunc(changes, func(ch kv.Change) bool {
		same := ch.Op == op || ch.Op == kv.Changed && op == kv.Created && ch.Birth == 0
		return same && covers(&ch, key)
	})
}

// covers says whether a change is one of the key.
func covers(ch *kv.Change, key string) bool {
	switch ch.Op {
	case kv.Moved:
		return string(ch.Key) == key || string(ch.To) == key
	case kv.PrefixDeleted:
		return strings.HasPrefix(key, string(ch.Key))
	case kv.PrefixMoved:
		return strings.HasPrefix(key, string(ch.Key)) || strings.HasPrefix(key, string(ch.To))
	}
	return string(ch.Key) == key
}

func (c *observeCase) run(e *env) {
	s, o := e.observe()
	for _, step := range c.setup {
		e.do(step)
	}
	s.Mark([]byte("k"))
	changes := e.tells(o, c.txn...)
	for _, op := range c.told {
		if !hasChange(changes, "k", op) {
			e.Fatalf("told of %v, want %d of k", changes, op)
		}
	}
	for i := range changes {
		if v := changes[i].Version; v > e.oracle.model.version || v <= e.oracle.model.version-kv.Stamp(len(c.txn)) {
			e.Fatalf("%v has the version of another transaction than %d", changes[i], e.oracle.model.version)
		}
	}
	e.same()
}

func markIsForOneChange(e *env) {
	s, o := e.observe()
	s.Mark([]byte("k"))
	s.Mark([]byte("l"))
	e.tells(o, put("k", "1"))
	e.quiet(o, put("k", "2"))
	e.tells(o, put("l", "1"))
	s.Mark([]byte("k"))
	e.tells(o, put("k", "3"))
}

func otherKeysAreNotTold(e *env) {
	s, o := e.observe()
	s.Mark([]byte("k"))
	for _, key := range []string{"", "j", "kk", "k\x00", "l"} {
		e.quiet(o, put(key, "v"))
	}
	changes := e.tells(o, put("k", "v"))
	if len(changes) != 1 {
		e.Fatalf("told of %v, want one change", changes)
	}
}

func ownCommitsAreNotTold(e *env) {
	s, o := e.observe()
	s.Mark([]byte("k"))
	e.by(s, put("k", "mine"), "mine")
	o.silent(e)
	e.tells(o, put("k", "yours")) // the mark is still there
}

// commitsOfOtherSessions are told but wait for nobody: two mounts that waited for
// each other's kernels would hang.
func commitsOfOtherSessions(e *env) {
	s, o := e.observe()
	other := e.session()
	s.Mark([]byte("k"))
	e.by(other, put("k", "v"), "v")
	t := o.next(e)
	if !hasChange(t.changes, "k", kv.Created) {
		e.Fatalf("told of %v", t.changes)
	}
	t.done()
}

func failedCommitsAreNotTold(e *env) {
	s, o := e.observe()
	s.Mark([]byte("k"))
	e.refuse(kv.ErrCondition, guarded(effects(put("k", "v")), guard(kv.Present, "k")))
	o.silent(e)
	e.tells(o, put("k", "v"))
}

func closingAnswersTheWaiting(e *env) {
	s, o := e.observe()
	s.Mark([]byte("k"))
	answered := make(chan error, 1)
	go func() {
		_, err := e.beside().Commit(e.ctx, &kv.Txn{Effects: effects(put("k", "v"))})
		answered <- err
	}()
	o.next(e) // and never done
	e.check(s.Close())
	select {
	case err := <-answered:
		e.check(err)
	case <-time.After(e.wait):
		e.Fatalf("the session is closed, but the writer gets no answer")
	}
	e.valueIs("k", []byte("v"))
}

func observedInOrder(e *env) {
	s, o := e.observe()
	other := e.session()
	s.MarkPrefix(nil)
	for i := range 50 {
		_, err := other.Commit(e.ctx, &kv.Txn{Effects: effects(put(fmt.Sprint("k", i), "v"))})
		e.check(err)
	}
	last := kv.Stamp(0)
	for told := 0; told < 50; {
		t := o.next(e)
		for _, ch := range t.changes {
			if ch.Version < last {
				e.Fatalf("version %d after %d", ch.Version, last)
			}
			last = ch.Version
			told++
		}
		t.done()
	}
}

func markedPrefix(e *env) {
	s, o := e.observe()
	e.do(put("a/old", "v"))
	e.do(put("b/x", "v"))
	s.MarkPrefix([]byte("a/"))
	for _, c := range []struct {
		effect kv.Effect
		key    string
		op     kv.ChangeOp
	}{
		{put("a/", "marker"), "a/", kv.Created},
		{put("a/new", "v"), "a/new", kv.Created},
		{del("a/new"), "a/new", kv.Deleted},
		{move("a/old", "a/older"), "a/old", kv.Moved},
		{move("a/older", "c"), "a/older", kv.Moved},
		{move("c", "a/c"), "a/c", kv.Moved},
		{movePrefix("b/", "a/b/"), "a/b/x", kv.PrefixMoved},
		{movePrefix("a/b", "b"), "a/b/x", kv.PrefixMoved},
		{delPrefix("a"), "a/c", kv.PrefixDeleted},
		{put("a/c/d/e", "deep"), "a/c/d/e", kv.Created},
		{movePrefix("a", "z"), "a/c", kv.PrefixMoved},
	} {
		if changes := e.tells(o, c.effect); !hasChange(changes, c.key, c.op) {
			e.Fatalf("told of %v, want %d of %q", changes, c.op, c.key)
		}
	}
	e.quiet(o, put("a", "v"))
	e.quiet(o, put("a0", "v"))
	e.same()
}

func pinnedBelowPrefix(e *env) {
	s, o := e.observe()
	e.pin(s, "a/k", "v")
	s.MarkPrefix([]byte("a/"))
	for range 2 { // the mark of a prefix stays
		if changes := e.tells(o, patch("a/k", 1, "w")); !hasChange(changes, "a/k", kv.Changed) {
			e.Fatalf("told of %v", changes)
		}
	}
	if changes := e.tells(o, setMeta("a/k", "m")); !hasChange(changes, "a/k", kv.MetaChanged) {
		e.Fatalf("told of %v", changes)
	}
	e.tells(o, move("a/k", "a/l"))
	e.tells(o, put("a/l", "pinned still"))
}

func unmarkedPrefix(e *env) {
	s, o := e.observe()
	s.MarkPrefix([]byte("a/"))
	s.MarkPrefix([]byte("b/"))
	s.Unmark([]byte("a/"))
	s.Unmark([]byte("c/"))
	e.quiet(o, put("a/k", "v"))
	e.tells(o, put("b/k", "v"))
}

func observedTwice(e *env) {
	s, o := e.observe()
	if err := s.Observe(o); err == nil {
		e.Fatalf("observed twice")
	}
}
