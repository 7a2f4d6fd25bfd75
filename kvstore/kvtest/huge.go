package kvtest

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"kivaloo/kvstore/kv"
)

func hugeTests() []test {
	return []test{
		{"huge/value", Huge | Large | Parts, hugeValue},
		{"huge/hole", Huge | Longest | Large | Parts, hugeHole},
		{"huge/staged", Huge | Longest | Large | Parts | Sessions, hugeStaged},
	}
}

// hugeValue is as long as one transaction brings and one Get answers.
func hugeValue(e *env) {
	e.do(put("k", strings.Repeat(text(1<<16), kv.GetBytesMax>>16)))
	e.refuse(kv.ErrTooLarge, guarded(effects(put("l", strings.Repeat("x", kv.TxnBytesMax)))))
	e.do(patch("k", kv.GetBytesMax-3, "end"))
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

// A large is a value too long for the model, known by a function of its own.
type large struct {
	e    *env
	key  string
	size int64
	// at answers what is at an offset.
	at func(offset int64) byte
}

// try commits what the model must not see: it would hold it in memory.
func (l *large) try(effect kv.Effect) error {
	effect.Key = []byte(l.key)
	_, err := l.e.store.Commit(l.e.ctx, &kv.Txn{Effects: effects(effect)})
	return err
}

func (l *large) refuse(effect kv.Effect) {
	l.e.Helper()
	if err := l.try(effect); !errors.Is(err, kv.ErrTooLarge) {
		l.e.Fatalf("effect %d: %v, want ErrTooLarge", effect.Op, err)
	}
}

// holds compares pieces of the value, about edges and some others.
func (l *large) holds(edges ...int64) {
	l.e.Helper()
	for _, edge := range append(edges, 0, l.size) {
		from, to := max(0, edge-1000), min(l.size, edge+1000)
		p, err := l.e.store.Get(l.e.ctx, kv.GetRequest{Key: []byte(l.key), Want: kv.WantValue, Offset: from, Length: max(1, to-from)})
		l.e.check(err)
		want := make([]byte, to-from)
		for i := range want {
			want[i] = l.at(from + int64(i))
		}
		if p.Size != l.size || !bytes.Equal(p.Value, want) {
			l.e.Fatalf("size %d, want %d; at %d: %s", p.Size, l.size, from, difference(p.Value, want))
		}
	}
}

// hugeHole: a value that was never written takes no time to make, and is as long
// as any may be.
func hugeHole(e *env) {
	const middle = kv.ValueBytesMax/2 + 5
	bang := int64(middle)
	l := &large{e, "hole", kv.ValueBytesMax, func(offset int64) byte { return map[bool]byte{true: '!'}[offset == bang] }}
	e.check(l.try(truncate("", kv.ValueBytesMax)))
	e.check(l.try(patch("", middle, "!")))
	l.holds(middle)
	l.refuse(appendTo("", "x"))
	l.refuse(copyRange("", 1, kv.CopyBytesMax+1, "copy", 0))
	for _, req := range []kv.GetRequest{{}, {Offset: 7}, {Offset: 7, Length: kv.GetBytesMax + 1}} {
		req.Key, req.Want = []byte(l.key), kv.WantValue
		if _, err := e.store.Get(e.ctx, req); !errors.Is(err, kv.ErrTooLarge) {
			e.Fatalf("get at %d, of %d: %v, want ErrTooLarge", req.Offset, req.Length, err)
		}
	}
	page, err := e.store.Scan(e.ctx, kv.ScanRequest{Want: kv.WantValue, ValueBytes: kv.ValueBytesMax})
	if err != nil || len(page.Entries) != 1 || len(page.Entries[0].Value) != kv.GetBytesMax {
		e.Fatalf("a scan answers %d entries, %v", len(page.Entries), err)
	}
	e.check(l.try(punch("", 0, kv.ValueBytesMax)))
	bang = -1
	l.holds(middle)
	bang = kv.ValueBytesMax - 1
	e.check(l.try(patch("", bang, "!")))
	l.holds(middle)
	e.check(l.try(truncate("", 1)))
	e.valueIs("hole", []byte{0})
	e.check(l.try(del("")))
}

// hugeStaged puts, appends and patches more than a transaction brings.
func hugeStaged(e *env) {
	if testing.Short() {
		e.Skip("it writes half a gigabyte")
	}
	const pieces = kv.TxnBytesMax/kv.ChunkBytes + 40 // more than is held in memory
	s := e.session()
	stage := func(n int, last string) (staged []kv.Staged) {
		piece := strings.Repeat(text(1<<12), kv.ChunkBytes>>12)
		for range n {
			staged = append(staged, e.stage(s, piece)...)
		}
		return append(staged, e.stage(s, last)...)
	}
	value := func(from int64) func(int64) byte {
		return func(offset int64) byte { return text(1 << 12)[(offset-from)%(1<<12)] }
	}
	by := func(effect kv.Effect, staged []kv.Staged) {
		e.Helper()
		effect = using(effect, staged...)
		_, err := s.Commit(e.ctx, &kv.Txn{Effects: effects(effect)})
		e.check(err)
	}
	const one = int64(pieces * kv.ChunkBytes)
	l := &large{e, "put", one + 5, value(0)}
	by(put("put", ""), stage(pieces, text(5)))
	l.holds(one, kv.ChunkBytes, one/2)

	// Not whole chunks of one blob: written once more.
	staged := append(stage(0, text(1<<12)), stage(pieces, text(7))...)
	l = &large{e, "put", one + 1<<12 + 7, value(0)}
	by(put("put", ""), staged)
	l.holds(one, kv.ChunkBytes, one/2)

	for before, op := range map[int64]kv.EffectOp{5: kv.Append, kv.ChunkBytes: kv.Append, 3*kv.ChunkBytes - 1: kv.Patch} {
		e.check((&large{e: e, key: "k"}).try(put("", strings.Repeat("-", int(before)))))
		effect, at := kv.Effect{Op: op, Key: []byte("k")}, before
		if op == kv.Patch {
			at = before / 2
			effect.Offset = at
		}
		by(effect, stage(pieces, text(7)))
		l := &large{e, "k", at + one + 7, func(offset int64) byte {
			if offset < at {
				return '-'
			}
			return value(at)(offset)
		}}
		l.holds(at, at+kv.ChunkBytes, one/2)
	}
	e.check((&large{e: e, key: "put"}).try(del("")))
	e.check((&large{e: e, key: "k"}).try(del("")))
}
