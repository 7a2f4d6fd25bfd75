package kvstore

import (
	"bytes"
	"cmp"
	"slices"

	"kivaloo/kvstore/delta"
	"kivaloo/kvstore/item"
	"kivaloo/lbs"
)

// Records that a restart has found are carried out again. Most operations are
// about one key of the user keyspace and nothing else: they are plain. A run of
// plain ones may be carried out in any order, as long as each key keeps its own:
// in the order of keys, since then each finds in the processor's cache what the
// one before has used. What may touch other keys (ranges, blobs and their chunks,
// links) stays where it is, between two runs. Reading and sorting go on in one
// goroutine while another carries out what was sorted before.

// runOpsMax is how many operations are sorted together.
const runOpsMax = 64 << 10

// A replayStep is a run of plain operations in the order of keys, and what comes
// after them.
type replayStep struct {
	run  []runOp
	rest []restOp
}

// A runOp is a plain operation of a run.
type runOp struct {
	head  uint64 // of its key, after what all keys of a row share
	entry *delta.Entry
	index uint32 // in the order of the log, which breaks ties
	moved bool   // a deletion whose pair goes on under another key
}

// A restOp is an operation that is not plain, of an append that begins at a block.
type restOp struct {
	op    item.Op
	first uint64
}

// replay carries out the records since the redo point, oldest first.
func (r *recovery) replay(w *writer) error {
	steps := make(chan *replayStep, 2)
	failed := make(chan error, 1)
	go func() {
		failed <- r.readSteps(steps)
		close(steps)
	}()
	for s := range steps {
		r.db.replayed += len(s.run) + len(s.rest)
		w.again(s)
	}
	return <-failed
}

// again applies a step to the writer's delta.
func (w *writer) again(s *replayStep) {
	for _, o := range s.run {
		if o.entry.Has(delta.Deleted) {
			w.applier.delta.Delete(o.entry.Key, o.entry.Version, o.moved)
		} else {
			w.applier.delta.Put(o.entry)
		}
	}
	for i := range s.rest {
		w.written = s.rest[i].first
		w.applier.apply(&s.rest[i].op)
	}
}

// readSteps reads the records and parts them into steps.
func (r *recovery) readSteps(steps chan<- *replayStep) error {
	s, entries := new(replayStep), new(arena)
	send := func() {
		sortRun(s.run, 0)
		steps <- s
		s = &replayStep{run: make([]runOp, 0, cap(s.run))}
	}
	for i := len(r.appends) - 1; i >= 0; i-- {
		t := r.appends[i]
		if !t.HasRecord() {
			continue
		}
		r.bytes += int64(t.Bytes) + lbs.SealBytes
		err := r.record(t, func(op *item.Op) error {
			plain := isPlain(op)
			if plain && (len(s.rest) > 0 || len(s.run) == runOpsMax) {
				send()
			}
			if plain {
				s.add(op, entries.entry())
			} else {
				s.rest = append(s.rest, restOp{*op, t.First})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	send()
	return nil
}

// isPlain says that an operation touches its own key only.
func isPlain(op *item.Op) bool {
	switch op.Kind {
	case item.OpPut:
		return op.Key[0] == userSpace && op.Flags&(item.FlagBlob|item.FlagLink) == 0
	case item.OpDelete:
		return op.Key[0] == userSpace
	}
	return false
}

// add adds a plain operation to the run. Its bytes are the record's, which nobody
// else has.
func (s *replayStep) add(op *item.Op, e *delta.Entry) {
	*e = delta.Entry{Key: op.Key, Version: op.Version, Flags: delta.Deleted}
	o := runOp{entry: e, index: uint32(len(s.run))}
	if op.Kind == item.OpDelete {
		o.moved = op.Flags&item.FlagMoved != 0
	} else {
		e.Value, e.Birth, e.Modified, e.Flags = op.Value, op.Birth, op.Modified, deltaFlags(op.Flags)
		if op.Flags&item.FlagMeta != 0 {
			e.Meta = op.Meta
		}
	}
	s.run = append(s.run, o)
}

// sortRun orders operations whose keys share their first bytes.
func sortRun(row []runOp, shared int) {
	if len(row) < 2 {
		return
	}
	shared = sharedBytes(row, shared)
	for i := range row {
		row[i].head = delta.Head(row[i].entry.Key[shared:])
	}
	slices.SortFunc(row, func(a, b runOp) int {
		if a.head != b.head {
			return cmp.Compare(a.head, b.head)
		}
		return cmp.Compare(a.index, b.index)
	})
	for len(row) > 0 {
		n := 1
		for n < len(row) && row[n].head == row[0].head {
			n++
		}
		sortTies(row[:n], shared)
		row = row[n:]
	}
}

// sortTies orders operations whose keys have the same head, if they are not all of
// one key.
func sortTies(row []runOp, shared int) {
	first := row[0].entry.Key
	for _, o := range row[1:] {
		if !bytes.Equal(o.entry.Key, first) {
			sortTails(row, shared)
			return
		}
	}
}

// sortTails orders them by what comes behind the head. Keys that end within it look
// longer than they are, for their padding, and so are compared whole.
func sortTails(row []runOp, shared int) {
	const fewMax = 16
	short := slices.ContainsFunc(row, func(o runOp) bool { return len(o.entry.Key) < shared+delta.HeadBytes })
	if !short && len(row) > fewMax {
		sortRun(row, shared+delta.HeadBytes)
		return
	}
	slices.SortFunc(row, func(a, b runOp) int {
		return cmp.Or(bytes.Compare(a.entry.Key, b.entry.Key), cmp.Compare(a.index, b.index))
	})
}

// sharedBytes is how many bytes all keys of a row share, at least shared.
func sharedBytes(row []runOp, shared int) int {
	first := row[0].entry.Key
	n := len(first)
	for _, o := range row[1:] {
		key := o.entry.Key
		n = min(n, len(key))
		for i := shared; i < n; i++ {
			if key[i] != first[i] {
				n = i
			}
		}
	}
	return max(n, shared)
}
