package kvtest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"kivaloo/kvstore/kv"
)

func limitTests() []test {
	return []test{
		{"limit/keys up to 255 bytes", 0, func(e *env) { keysOf(e, 0, 1, 2, 254, 255) }},
		{"limit/keys up to the longest", Large, func(e *env) { keysOf(e, 0, 1, 255, 256, kv.KeyBytesMax-1, kv.KeyBytesMax) }},
		{"limit/key too long", Large, keyTooLong},
		{"limit/key too long by a move", Large | Names, keyTooLongByMove},
		{"limit/metadata", Metadata, metadataLimit},
		{"limit/value too long", Large | Parts, valueTooLong},
		{"limit/too many guards and effects", Txns, transactionTooLarge},
		{"limit/no meaning", Txns, noMeaning},
		{"limit/names outside space user", Spaces | Names, namesOutsideUser},
		{"limit/get out of range", Stamps, getOutOfRange},
		{"limit/parts of a value", Large | Parts, partsOfValue},
		{"limit/buffers belong to the caller", 0, buffersBelongToCaller},
	}
}

// keysOf tells keys apart that are as long as they may be.
func keysOf(e *env, lengths ...int) {
	want := pairs{}
	for i, n := range lengths {
		for _, fill := range []string{"k", "\x00", "\xff"} {
			key := strings.Repeat(fill, n)
			want[key] = fmt.Sprint(i, n)
			e.do(put(key, want[key]))
		}
	}
	e.holds(want)
	e.same()
	longest := strings.Repeat("k", lengths[len(lengths)-1])
	e.do(del(longest))
	delete(want, longest)
	e.holds(want)
}

func keyTooLong(e *env) {
	long := strings.Repeat("k", kv.KeyBytesMax+1)
	e.do(put("k", "v"))
	txns := []kv.Txn{
		guarded(effects(put(long, ""))),
		guarded(effects(del(long))),
		guarded(effects(put("k", "")), guard(kv.Absent, long)),
	}
	if e.has(Names) {
		txns = append(txns, guarded(effects(move("k", long))), guarded(effects(movePrefix("k", long))))
	}
	for _, txn := range txns {
		e.refuse(kv.ErrTooLarge, txn)
	}
	if _, err := e.store.Get(e.ctx, kv.GetRequest{Key: []byte(long)}); !errors.Is(err, kv.ErrTooLarge) {
		e.Fatalf("get: %v, want ErrTooLarge", err)
	}
	e.holds(pairs{"k": "v"})
}

func keyTooLongByMove(e *env) {
	below := strings.Repeat("k", kv.KeyBytesMax-2)
	e.do(put("a/"+below, "v"))
	e.do(put("a/b", "w"))
	e.refuse(kv.ErrTooLarge, guarded(effects(movePrefix("a/", "bb/"))))
	e.do(movePrefix("a/", "b/"))
	e.holds(pairs{"b/" + below: "v", "b/b": "w"})
	e.same()
}

func metadataLimit(e *env) {
	longest := text(kv.MetaBytesMax)
	e.do(withMeta(put("k", "v"), longest))
	if e.has(Parts) {
		e.do(patch("k", 1, "w"))
	}
	e.same()
	e.refuse(kv.ErrTooLarge, guarded(effects(withMeta(put("k", "w"), longest+"x"))))
	e.refuse(kv.ErrTooLarge, guarded(effects(setMeta("k", longest+"x"))))
	if got := string(e.get("k").Meta); got != longest {
		e.Fatalf("metadata: %s", difference([]byte(got), []byte(longest)))
	}
}

func valueTooLong(e *env) {
	e.do(put("k", "v"))
	for _, effect := range []kv.Effect{
		truncate("k", kv.ValueBytesMax+1),
		patch("k", kv.ValueBytesMax, "x"),
		copyRange("k", 0, 1, "l", kv.ValueBytesMax),
	} {
		e.refuse(kv.ErrTooLarge, guarded(effects(effect)))
	}
	e.holds(pairs{"k": "v"})
}

func transactionTooLarge(e *env) {
	e.do(put("k", "v"))
	e.refuse(kv.ErrTooLarge, kv.Txn{Effects: make([]kv.Effect, kv.TxnEffectsMax+1)})
	e.refuse(kv.ErrTooLarge, kv.Txn{Guards: make([]kv.Guard, kv.TxnGuardsMax+1)})
}

func noMeaning(e *env) {
	e.do(put("k", "v"))
	e.do(put("kk", "v"))
	staged := put("k", "")
	staged.Staged = []kv.Staged{{ID: 12345, Bytes: 1}}
	for _, txn := range []kv.Txn{
		guarded(effects(kv.Effect{})),
		guarded(effects(kv.Effect{Op: kv.Link + 1})),
		guarded(effects(put("k", "")), kv.Guard{}),
		guarded(effects(put("k", "")), kv.Guard{Op: kv.PrefixEmpty + 1}),
		guarded(effects(patch("k", -1, "x"))),
		guarded(effects(truncate("k", -1))),
		guarded(effects(punch("k", 0, -1))),
		guarded(effects(copyRange("k", 0, 1, "l", -1))),
		guarded(effects(bringing(put("k", ""), kv.StampMin-1, 0))),
		guarded(effects(bringing(put("k", ""), 0, kv.StampMax+1))),
		guarded(effects(movePrefix("k", "k"))),
		guarded(effects(movePrefix("k", "kk"))),
		guarded(effects(movePrefix("kk", "k"))),
		guarded(effects(movePrefix("", "x"))),
		guarded(effects(in(kv.Root+1, put("", "")))),
		guarded(effects(in(kv.Root, put("k", "")))),
		guarded(effects(in(kv.Orphan, put("k", "")))),
		guarded(effects(staged)),
	} {
		e.refuse(kv.ErrInvalid, txn)
	}
}

func namesOutsideUser(e *env) {
	key := string(kv.OrphanKey(someBirth))
	e.do(in(kv.Root, put("", "v")))
	for _, effect := range []kv.Effect{
		in(kv.Root, move("", "k")),
		in(kv.Root, delPrefix("")),
		in(kv.Orphan, delPrefix(key)),
		in(kv.Orphan, link(key, "k")),
		in(kv.Orphan, fresh(put(key, "v"))),
		{Op: kv.Move, Key: []byte("k"), To: []byte(key), ToSpace: kv.Orphan},
	} {
		e.refuse(kv.ErrInvalid, guarded(effects(effect)))
	}
}

func getOutOfRange(e *env) {
	e.do(put("k", "v"))
	for _, req := range []kv.GetRequest{
		{Key: []byte("k"), Offset: -1},
		{Key: []byte("k"), Length: -1},
		{Space: kv.Root + 1},
	} {
		if _, err := e.store.Get(e.ctx, req); !errors.Is(err, kv.ErrInvalid) {
			e.Fatalf("%+v: %v, want ErrInvalid", req, err)
		}
	}
}

// partsOfValue reads ranges about each place where a value may be divided.
func partsOfValue(e *env) {
	value := []byte(text(2*kv.ChunkBytes + 100))
	e.do(put("k", string(value)))
	e.do(truncate("k", 3*kv.ChunkBytes+5))
	value = append(value, make([]byte, kv.ChunkBytes-95)...)
	edges := []int64{0, 1, kv.InlineBytesMax, kv.ChunkBytes - 1, kv.ChunkBytes, 2 * kv.ChunkBytes, int64(len(value)) - 1, int64(len(value)), int64(len(value)) + 9}
	for _, offset := range edges {
		for _, length := range edges {
			wantPart(e, value, offset, length)
		}
	}
	wantPart(e, value, kv.ValueBytesMax, 1)
}

func wantPart(e *env, value []byte, offset, length int64) {
	e.Helper()
	p, err := e.store.Get(e.ctx, kv.GetRequest{Key: []byte("k"), Want: kv.WantValue, Offset: offset, Length: length})
	e.check(err)
	if length == 0 {
		length = int64(len(value))
	}
	if want := part(value, offset, length); !bytes.Equal(p.Value, want) || p.Size != int64(len(value)) {
		e.Fatalf("%d bytes at %d: size %d, %s", length, offset, p.Size, difference(p.Value, want))
	}
}

// buffersBelongToCaller changes what was handed in, after the store has answered.
func buffersBelongToCaller(e *env) {
	for _, size := range []int{3, 200, kv.InlineBytesMax + 1, kv.ChunkBytes + 1} {
		if size > 255 && !e.has(Large) {
			continue
		}
		txn := kv.Txn{Effects: effects(put("key", text(size)))}
		_, err := e.commit(txn)
		e.check(err)
		for _, b := range [][]byte{txn.Effects[0].Key, txn.Effects[0].Value} {
			for i := range b {
				b[i] = '!'
			}
		}
		e.holds(pairs{"key": text(size)})
	}
}
