package kvtest

import (
	"strings"

	"kivaloo/kvstore/kv"
)

func hugeTests() []test {
	return []test{
		{"huge/value", Huge | Large | Parts, hugeValue},
		{"huge/hole", Huge | Large | Parts, hugeHole},
	}
}

func hugeValue(e *env) {
	e.do(put("k", strings.Repeat(text(1<<16), kv.ValueBytesMax>>16)))
	e.refuse(kv.ErrTooLarge, guarded(effects(appendTo("k", "x"))))
	e.do(patch("k", kv.ValueBytesMax-3, "end"))
	if e.has(Names) {
		e.do(move("k", "l"))
		e.do(move("l", "k"))
	}
	e.same()
	if e.has(Reopening) {
		e.reopen()
		e.same()
	}
	e.do(truncate("k", 1))
	e.holds(pairs{"k": "a"})
}

// hugeHole: a value that was never written takes no time to make.
func hugeHole(e *env) {
	e.do(truncate("k", kv.ValueBytesMax))
	e.do(patch("k", kv.ValueBytesMax/2, "middle"))
	e.do(punch("k", 0, kv.ValueBytesMax))
	e.do(patch("k", kv.ValueBytesMax-1, "!"))
	e.same()
}
