package kvstore

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand"
	"slices"
	"testing"
	"time"

	"kivaloo/kvstore/delta"
	"kivaloo/kvstore/item"
	"kivaloo/kvstore/page"
)

// randomKey makes keys that share beginnings, end early, and come again.
func randomKey(rng *rand.Rand) []byte {
	key := []byte{userSpace}
	for range rng.Intn(4) {
		key = append(key, []string{"", "a", "users/alice/", "users/alice/mail/", "\x00", "\x00\x00\x00\x00\x00\x00\x00\x00", "b"}[rng.Intn(7)]...)
	}
	return append(key, fmt.Sprint(rng.Intn(30))[rng.Intn(2):]...)
}

func TestRunIsSorted(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewSource(seed))
	for range 300 {
		run := make([]runOp, rng.Intn(400))
		for i := range run {
			run[i] = runOp{entry: &delta.Entry{Key: randomKey(rng)}, index: uint32(i)}
		}
		want := slices.Clone(run)
		slices.SortFunc(want, func(a, b runOp) int {
			return cmp.Or(bytes.Compare(a.entry.Key, b.entry.Key), cmp.Compare(a.index, b.index))
		})
		sortRun(run, 0)
		for i := range run {
			if run[i].index != want[i].index {
				t.Fatalf("at %d of %d is %q (%d), want %q (%d)", i, len(run),
					run[i].entry.Key, run[i].index, want[i].entry.Key, want[i].index)
			}
		}
	}
}

// TestReplayIsApply carries random operations out one by one, and as a restart
// does, and compares the deltas.
func TestReplayIsApply(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewSource(seed))
	for range 100 {
		var ops []item.Op
		for v := uint64(1); len(ops) < 300; v++ {
			ops = append(ops, randomOp(rng, v))
		}
		want, got := newApplier(func(page.Ref) {}), newApplier(func(page.Ref) {})
		for i := range ops {
			want.apply(&ops[i])
		}
		replayOps(&writer{applier: got}, ops)
		a, b := describe(want.delta), describe(got.delta)
		for i := range max(len(a), len(b)) {
			if i >= len(a) || i >= len(b) || a[i] != b[i] {
				t.Fatalf("one by one %d lines, as a restart does %d; from line %d:\n%s\n%s", len(a), len(b), i, a[i:min(i+1, len(a))], b[i:min(i+1, len(b))])
			}
		}
	}
}

func randomOp(rng *rand.Rand, v uint64) item.Op {
	op := item.Op{Kind: item.OpPut, Key: randomKey(rng), Version: v, Birth: v, Modified: v, Value: fmt.Append(nil, v)}
	body := uint64(rng.Intn(5)) + 1
	switch rng.Intn(20) {
	case 0, 1:
		return item.Op{Kind: item.OpDelete, Key: op.Key, Version: v, Flags: uint8(rng.Intn(2)) * item.FlagMoved}
	case 2:
		return item.Op{Kind: item.OpDeleteRange, Key: op.Key, End: append(bytes.Clone(op.Key), 0xff), Version: v}
	case 3:
		op.Flags, op.Value = item.FlagBlob, item.AppendBlob(nil, item.Blob{ID: v, Size: 5000, ChunkBytes: 4096})
	case 4:
		op.Key, op.Flags = appendChunkKey(nil, uint64(rng.Int63n(int64(v)))+1, 0), item.FlagFresh
	case 5:
		op.Flags, op.Meta = item.FlagMeta, fmt.Append(nil, "meta", v)
	case 6:
		op.Flags = item.FlagFresh
	case 7:
		op.Flags, op.Value = item.FlagFresh|item.FlagLink, item.AppendLink(nil, body)
	case 8:
		// It may take the blob of a pair over, for a link that comes next.
		blob := item.Blob{ID: uint64(rng.Int63n(int64(v))) + 1, Size: 5000, ChunkBytes: 4096}
		op.Key, op.Flags, op.Value = appendBodyKey(nil, body), item.FlagBlob, item.AppendNames(item.AppendBlob(nil, blob), 2)
	}
	return op
}

// replayOps is what readSteps and replay do with the operations of a log.
func replayOps(w *writer, ops []item.Op) {
	s, entries := new(replayStep), new(arena)
	for i := range ops {
		if isPlain(&ops[i]) && len(s.rest) > 0 {
			sortRun(s.run, 0)
			w.again(s)
			s = new(replayStep)
		}
		if isPlain(&ops[i]) {
			s.add(&ops[i], entries.entry())
		} else {
			s.rest = append(s.rest, restOp{ops[i], 1})
		}
	}
	sortRun(s.run, 0)
	w.again(s)
}

func describe(d *delta.Delta) (lines []string) {
	lines = append(lines, fmt.Sprint("links: ", d.HasLinks()))
	it := d.Iterator()
	for ok := it.Seek(nil); ok; ok = it.Next() {
		lines = append(lines, fmt.Sprintf("%+v", *it.Entry()))
	}
	it = d.RangeIterator()
	for ok := it.Seek(nil); ok; ok = it.Next() {
		lines = append(lines, fmt.Sprintf("range %q to %q", it.Entry().Key, it.Entry().Value))
	}
	return lines
}
