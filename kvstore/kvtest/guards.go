package kvtest

import (
	"strings"

	"kivaloo/kvstore/kv"
)

// A guardCase is a guard that holds, or does not, over a few pairs.
type guardCase struct {
	name  string
	guard kv.Guard
	holds bool
}

var guardPairs = []kv.Effect{put("a", "1"), put("a/b", ""), put("", "root"), put("\xff", "last")}

var guardCases = []guardCase{
	{"absent of no pair", guard(kv.Absent, "b"), true},
	{"absent of a pair", guard(kv.Absent, "a"), false},
	{"absent of an empty value", guard(kv.Absent, "a/b"), false},
	{"absent of the empty key", guard(kv.Absent, ""), false},
	{"present of a pair", guard(kv.Present, "a"), true},
	{"present of an empty value", guard(kv.Present, "a/b"), true},
	{"present of no pair", guard(kv.Present, "a/"), false},
	{"value equals", equals("a", "1"), true},
	{"value equals an empty one", equals("a/b", ""), true},
	{"value is longer", equals("a", "12"), false},
	{"value is shorter", equals("", "roo"), false},
	{"value is another", equals("a", "2"), false},
	{"value of no pair", equals("b", ""), false},
	{"prefix of nothing", guard(kv.PrefixEmpty, "b"), true},
	{"prefix that is a key alone", guard(kv.PrefixEmpty, "a/b"), true},
	{"prefix that is the last key", guard(kv.PrefixEmpty, "\xff"), true},
	{"prefix with a key below", guard(kv.PrefixEmpty, "a"), false},
	{"prefix that is no key, with one below", guard(kv.PrefixEmpty, "a/"), false},
	{"prefix of everything", guard(kv.PrefixEmpty, ""), false},
}

func guardTests() []test {
	tests := []test{
		{"guard/stamps", Stamps, guardsOfStamps},
		{"guard/the first that fails is reported", Txns, firstGuardIsReported},
		{"guard/judged before the effects", Txns, guardsComeFirst},
		{"guard/long value", Large | Parts, guardOfLongValue},
		{"guard/without effects", Txns, guardsAlone},
		{"guard/version grows with every effect", Stamps, versionsGrow},
	}
	for _, c := range guardCases {
		needs := Feature(0)
		if c.guard.Op == kv.PrefixEmpty {
			needs = Names
		}
		tests = append(tests, test{"guard/" + c.name, needs, c.run})
	}
	return tests
}

// run guards a put of the guard's own key, the most that any store can do.
func (c *guardCase) run(e *env) {
	for _, p := range guardPairs {
		e.do(p)
	}
	txn := guarded(effects(put(string(c.guard.Key), "new")), c.guard)
	if !c.holds {
		e.refuse(kv.ErrCondition, txn)
		return
	}
	_, err := e.commit(txn)
	e.check(err)
	e.valueIs(string(c.guard.Key), []byte("new"))
	e.same()
}

func guardsOfStamps(e *env) {
	e.do(put("k", "1"))
	born := e.get("k")
	e.do(put("k", "2"))
	now := e.get("k")
	change := effects(put("k", "3"))
	e.refuse(kv.ErrCondition, guarded(change, stamped(kv.VersionEquals, "k", born.Version)))
	e.refuse(kv.ErrCondition, guarded(change, stamped(kv.VersionEquals, "k", now.Version+1)))
	e.refuse(kv.ErrCondition, guarded(change, stamped(kv.VersionEquals, "none", now.Version)))
	e.refuse(kv.ErrCondition, guarded(change, stamped(kv.BirthEquals, "k", now.Version)))
	e.refuse(kv.ErrCondition, guarded(change, stamped(kv.BirthEquals, "none", born.Birth)))
	for _, g := range []kv.Guard{stamped(kv.VersionEquals, "k", now.Version), stamped(kv.BirthEquals, "k", born.Birth)} {
		_, err := e.commit(guarded(change, g))
		e.check(err)
	}
	e.same()
}

func firstGuardIsReported(e *env) {
	e.do(put("k", "1"))
	txn := guarded(effects(put("k", "2"), put("l", "2")),
		equals("k", "1"), guard(kv.Absent, "x"), guard(kv.Absent, "k"), guard(kv.Present, "x"))
	err := e.refuse(kv.ErrCondition, txn)
	wantCondition(e, err, kv.ConditionError{Guard: 2, Effect: -1})
	e.holds(map[string]string{"k": "1"})
}

func guardsComeFirst(e *env) {
	_, err := e.commit(guarded(effects(put("k", "1"), del("k"), put("k", "2")), guard(kv.Absent, "k")))
	e.check(err)
	e.refuse(kv.ErrCondition, guarded(effects(put("l", "1")), guard(kv.Present, "l")))
	e.holds(map[string]string{"k": "2"})
}

func guardOfLongValue(e *env) {
	long := strings.Repeat("0123456789abcdef", kv.ChunkBytes/16+1)
	e.do(put("k", long))
	e.refuse(kv.ErrCondition, guarded(effects(put("k", "")), equals("k", long[1:]+"0")))
	e.refuse(kv.ErrCondition, guarded(effects(put("k", "")), equals("k", long[:len(long)-1]+"x")))
	_, err := e.commit(guarded(effects(patch("k", kv.ChunkBytes, "!")), equals("k", long)))
	e.check(err)
	e.refuse(kv.ErrCondition, guarded(effects(put("k", "")), equals("k", long)))
}

func guardsAlone(e *env) {
	last := e.do(put("k", "1"))
	result, err := e.commit(guarded(nil, equals("k", "1"), guard(kv.Absent, "l")))
	e.check(err)
	if e.has(Stamps) && result.Version != last.Version {
		e.Fatalf("version %d, want that of the last change, %d", result.Version, last.Version)
	}
	e.refuse(kv.ErrCondition, guarded(nil, guard(kv.Present, "l")))
}

func versionsGrow(e *env) {
	last := kv.Stamp(kv.StampMin)
	for range 20 {
		first := e.stamp()
		result := e.do(put("k", "1"))
		if first <= last || result.Version <= first || e.get("k").Version != result.Version {
			e.Fatalf("after %d stamp %d, then version %d", last, first, result.Version)
		}
		last = result.Version
	}
}
