package kvtest

import (
	"errors"
	"strings"

	"kivaloo/kvstore/kv"
)

// An effectCase is what a transaction makes of a few pairs.
type effectCase struct {
	name  string
	setup []kv.Effect // each a transaction of its own
	txn   []kv.Effect
	want  map[string]string // all pairs afterwards
	fails *kv.ConditionError
}

type pairs = map[string]string

// missing and taken are how effect i of a transaction fails.
func missing(i int) *kv.ConditionError { return &kv.ConditionError{Guard: -1, Effect: i} }
func taken(i int) *kv.ConditionError   { return &kv.ConditionError{Guard: -1, Effect: i, Exists: true} }

var valueCases = []effectCase{
	{"put/new", nil, effects(put("k", "v")), pairs{"k": "v"}, nil},
	{"put/over", effects(put("k", "longer")), effects(put("k", "v")), pairs{"k": "v"}, nil},
	{"put/empty value", effects(put("k", "v")), effects(put("k", "")), pairs{"k": ""}, nil},
	{"put/empty key", nil, effects(put("", "v")), pairs{"": "v"}, nil},
	{"put/fresh", effects(withMeta(put("k", "v"), "m")), effects(fresh(put("k", "w"))), pairs{"k": "w"}, nil},
	{"patch/inside", effects(put("k", "abcdef")), effects(patch("k", 2, "XY")), pairs{"k": "abXYef"}, nil},
	{"patch/over the end", effects(put("k", "abc")), effects(patch("k", 2, "XYZ")), pairs{"k": "abXYZ"}, nil},
	{"patch/at the end", effects(put("k", "abc")), effects(patch("k", 3, "X")), pairs{"k": "abcX"}, nil},
	{"patch/beyond the end", effects(put("k", "abc")), effects(patch("k", 5, "X")), pairs{"k": "abc\x00\x00X"}, nil},
	{"patch/no pair", nil, effects(patch("k", 2, "X")), pairs{"k": "\x00\x00X"}, nil},
	{"patch/empty grows nothing", effects(put("k", "abc")), effects(patch("k", 9, "")), pairs{"k": "abc"}, nil},
	{"patch/empty makes a pair", nil, effects(patch("k", 9, "")), pairs{"k": ""}, nil},
	{"append/to a value", effects(put("k", "abc")), effects(appendTo("k", "de")), pairs{"k": "abcde"}, nil},
	{"append/no pair", nil, effects(appendTo("k", "de")), pairs{"k": "de"}, nil},
	{"append/twice", nil, effects(appendTo("k", "ab"), appendTo("k", "cd")), pairs{"k": "abcd"}, nil},
	{"truncate/shorter", effects(put("k", "abc")), effects(truncate("k", 1)), pairs{"k": "a"}, nil},
	{"truncate/longer", effects(put("k", "abc")), effects(truncate("k", 5)), pairs{"k": "abc\x00\x00"}, nil},
	{"truncate/to nothing", effects(put("k", "abc")), effects(truncate("k", 0)), pairs{"k": ""}, nil},
	{"truncate/no pair", nil, effects(truncate("k", 2)), pairs{"k": "\x00\x00"}, nil},
	{"truncate/both ways", effects(put("k", "abcdef")), effects(truncate("k", 2), truncate("k", 4)), pairs{"k": "ab\x00\x00"}, nil},
	{"truncate/then patch beyond", effects(put("k", "abcdef")), effects(truncate("k", 1), patch("k", 3, "X")), pairs{"k": "a\x00\x00X"}, nil},
	{"punch/inside", effects(put("k", "abcdef")), effects(punch("k", 1, 3)), pairs{"k": "a\x00\x00\x00ef"}, nil},
	{"punch/over the end", effects(put("k", "abc")), effects(punch("k", 1, 9)), pairs{"k": "a\x00\x00"}, nil},
	{"punch/beyond the end", effects(put("k", "abc")), effects(punch("k", 9, 9)), pairs{"k": "abc"}, nil},
	{"punch/nothing", effects(put("k", "abc")), effects(punch("k", 1, 0)), pairs{"k": "abc"}, nil},
	{"punch/no pair", nil, effects(put("l", ""), punch("k", 0, 1)), pairs{}, missing(1)},
	{"copy/to a pair", effects(put("k", "abcdef"), put("l", "123456")), effects(copyRange("k", 1, 2, "l", 3)), pairs{"k": "abcdef", "l": "123bc6"}, nil},
	{"copy/to none", effects(put("k", "abcdef")), effects(copyRange("k", 4, 2, "l", 2)), pairs{"k": "abcdef", "l": "\x00\x00ef"}, nil},
	{"copy/growing", effects(put("k", "abcdef"), put("l", "1")), effects(copyRange("k", 0, 3, "l", 1)), pairs{"k": "abcdef", "l": "1abc"}, nil},
	{"copy/over the end", effects(put("k", "abc"), put("l", "123456")), effects(copyRange("k", 2, 9, "l", 0)), pairs{"k": "abc", "l": "c23456"}, nil},
	{"copy/beyond the end", effects(put("k", "abc"), put("l", "1")), effects(copyRange("k", 5, 2, "l", 7)), pairs{"k": "abc", "l": "1"}, nil},
	{"copy/nothing to none", effects(put("k", "abc")), effects(copyRange("k", 0, 0, "l", 3)), pairs{"k": "abc", "l": ""}, nil},
	{"copy/onto itself", effects(put("k", "abcdef")), effects(copyRange("k", 0, 4, "k", 1)), pairs{"k": "aabcdf"}, nil},
	{"copy/no source", effects(put("l", "1")), effects(copyRange("k", 0, 1, "l", 0)), pairs{"l": "1"}, missing(0)},
	{"meta/of no pair", nil, effects(setMeta("k", "m")), pairs{}, missing(0)},
	{"delete/pair", effects(put("k", "v"), put("l", "v")), effects(del("k")), pairs{"l": "v"}, nil},
	{"delete/no pair", effects(put("l", "v")), effects(del("k")), pairs{"l": "v"}, nil},
	{"txn/later effects see earlier ones", effects(put("k", "v")),
		effects(move("k", "l"), appendTo("l", "w"), put("k", "new"), copyRange("k", 0, 3, "l", 2), del("k")),
		pairs{"l": "vwnew"}, nil},
	{"txn/put, delete, put", nil, effects(put("k", "1"), del("k"), put("k", "2")), pairs{"k": "2"}, nil},
	{"txn/failed effect changes nothing", effects(put("k", "v")),
		effects(put("k", "w"), del("k"), put("l", "x"), move("none", "m")), pairs{"k": "v"}, missing(3)},
}

func effectTests() []test {
	tests := []test{
		{"txn/empty", Txns, emptyTransaction},
		{"txn/offset of the last append", Parts | Txns, offsetOfAppend},
		{"txn/thousands of effects", Txns, thousandsOfEffects},
		{"space/root", Spaces, rootSpace},
	}
	for _, c := range append(append(valueCases, nameCases...), boundaryCases()...) {
		needs := needsOf(c.setup) | needsOf(c.txn)
		if len(c.txn) > 1 {
			needs |= Txns
		}
		tests = append(tests, test{"effect/" + c.name, needs, c.run})
	}
	return tests
}

func (c *effectCase) run(e *env) {
	for _, s := range c.setup {
		e.do(s)
	}
	_, err := e.commit(kv.Txn{Effects: c.txn})
	if c.fails != nil {
		wantCondition(e, err, *c.fails)
	} else {
		e.check(err)
	}
	e.holds(c.want)
	e.same()
	if e.has(Reopening) {
		e.reopen()
		e.same()
	}
}

// wantCondition says that an error is this one, and of the right kind.
func wantCondition(e *env, err error, want kv.ConditionError) {
	e.Helper()
	var got *kv.ConditionError
	if !errors.As(err, &got) || *got != want {
		e.Fatalf("got %v, want %+v", err, want)
	}
	notFound := want.Guard < 0 && !want.Exists
	if !errors.Is(err, kv.ErrCondition) || errors.Is(err, kv.ErrNotFound) != notFound {
		e.Fatalf("%v is of the wrong kind", err)
	}
}

// boundaryCases change values around each size at which a store may begin to
// keep them in another way.
func boundaryCases() (cases []effectCase) {
	sizes := []struct {
		name string
		size int
	}{{"inline", kv.InlineBytesMax}, {"chunk", kv.ChunkBytes}, {"two chunks", 2 * kv.ChunkBytes}}
	for _, s := range sizes {
		for _, d := range []int{-1, 0, 1} {
			name := s.name + [...]string{" less one", "", " and one"}[d+1]
			cases = append(cases, boundary(name, s.size+d)...)
		}
	}
	return cases
}

func boundary(name string, size int) []effectCase {
	v := text(size)
	had := effects(put("k", v))
	zeros := func(n int) string { return strings.Repeat("\x00", n) }
	n := int64(size)
	return []effectCase{
		{"put/" + name, nil, effects(put("k", v)), pairs{"k": v}, nil},
		{"put/shorter than " + name, had, effects(put("k", "v")), pairs{"k": "v"}, nil},
		{"patch/last byte of " + name, had, effects(patch("k", n-1, "X")), pairs{"k": v[:size-1] + "X"}, nil},
		{"patch/after " + name, had, effects(patch("k", n+3, "X")), pairs{"k": v + "\x00\x00\x00X"}, nil},
		{"patch/far after " + name, had, effects(patch("k", 5*kv.ChunkBytes-1, "XY")), pairs{"k": v + zeros(5*kv.ChunkBytes-1-size) + "XY"}, nil},
		{"append/to " + name, had, effects(appendTo("k", "XY")), pairs{"k": v + "XY"}, nil},
		{"append/up to " + name, effects(put("k", v[:size-1])), effects(appendTo("k", v[size-1:])), pairs{"k": v}, nil},
		{"truncate/to " + name, effects(put("k", v+text(3000))), effects(truncate("k", n)), pairs{"k": v}, nil},
		{"truncate/up to " + name, effects(put("k", "ab")), effects(truncate("k", n)), pairs{"k": "ab" + zeros(size-2)}, nil},
		{"truncate/down and up around " + name, had, effects(truncate("k", n-1), truncate("k", n+1)), pairs{"k": v[:size-1] + "\x00\x00"}, nil},
		{"punch/end of " + name, had, effects(punch("k", n-2, 9)), pairs{"k": v[:size-2] + "\x00\x00"}, nil},
		{"punch/all of " + name, had, effects(punch("k", 0, n)), pairs{"k": zeros(size)}, nil},
		{"copy/all of " + name, had, effects(copyRange("k", 0, n, "l", 1)), pairs{"k": v, "l": "\x00" + v}, nil},
		{"move/" + name, had, effects(move("k", "l")), pairs{"l": v}, nil},
		{"move/prefix with " + name, effects(put("a/k", v)), effects(movePrefix("a/", "b/")), pairs{"b/k": v}, nil},
		{"delete/" + name, had, effects(del("k")), pairs{}, nil},
	}
}

// text is a value in which every place looks different.
func text(size int) string { return sample[:size] }

// sample is longer than any value that the tests write but the huge ones.
var sample = func() string {
	b := make([]byte, 8*kv.ChunkBytes)
	for i := range b {
		b[i] = byte('a' + (i*31+i>>8)%26)
	}
	return string(b)
}()

func emptyTransaction(e *env) {
	last := e.do(put("k", "v"))
	result, err := e.store.Commit(e.ctx, &kv.Txn{})
	e.check(err)
	if e.has(Stamps) && result.Version != last.Version {
		e.Fatalf("version %d, want %d", result.Version, last.Version)
	}
	e.same()
}

func offsetOfAppend(e *env) {
	e.do(put("k", "abc"), put("l", ""))
	if r := e.do(appendTo("l", "xy"), appendTo("k", "d"), appendTo("k", ""), put("z", "")); r.Offset != 4 {
		e.Fatalf("offset %d, want 4", r.Offset)
	}
	if r := e.do(put("k", "v")); r.Offset != 0 {
		e.Fatalf("offset %d of no append", r.Offset)
	}
}

func thousandsOfEffects(e *env) {
	var txn []kv.Effect
	for i := range kv.TxnEffectsMax {
		txn = append(txn, put(string([]byte{'k', byte(i >> 8), byte(i)}), text(i%40)))
	}
	e.do(txn...)
	e.same()
	txn[kv.TxnEffectsMax-1] = punch("none", 0, 1)
	e.refuse(kv.ErrNotFound, kv.Txn{Effects: txn})
}

func rootSpace(e *env) {
	e.do(put("", "user"))
	e.do(in(kv.Root, withMeta(put("", "root"), "attributes")))
	e.same()
	e.do(in(kv.Root, setMeta("", "others")))
	if e.has(Reopening) {
		e.reopen()
		e.same()
	}
	e.do(delPrefix(""))
	e.holds(nil)
	p, err := e.store.Get(e.ctx, kv.GetRequest{Space: kv.Root, Want: kv.WantAll})
	if err != nil || string(p.Value) != "root" || string(p.Meta) != "others" {
		e.Fatalf("root is %q, %q, %v", p.Value, p.Meta, err)
	}
	e.do(in(kv.Root, del("")))
	e.same()
}
