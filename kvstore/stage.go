package kvstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
	"kivaloo/kvstore/page"
)

// stageValueBytes is the length from which a value is written to the log ahead of
// its transaction, in pieces, so that other commits need not wait for all of it.
const stageValueBytes = 1 << 20

// Commit carries a transaction out.
func (db *DB) Commit(ctx context.Context, txn *kv.Txn) (kv.Result, error) {
	return db.commitFor(nil, txn)
}

// CommitAsync is Commit for who must not wait: transactions take effect in the
// order of the calls, and done is called, on the store's own goroutine, when the
// outcome is durable. It must not block. Values above a megabyte are written
// along with the commit they are part of.
func (db *DB) CommitAsync(txn *kv.Txn, done func(kv.Result, error)) {
	r := &request{txn: txn, done: done}
	if err := db.admit(txn); err != nil {
		r.fail(err)
		return
	}
	db.queue.put(r)
}

// admit refuses what need not go through the queue to be refused.
func (db *DB) admit(txn *kv.Txn) error {
	if db.closed.Load() {
		return kv.ErrClosed
	}
	return txn.Check()
}

func (db *DB) commitFor(s *session, txn *kv.Txn) (kv.Result, error) {
	if err := db.admit(txn); err != nil {
		return kv.Result{}, err
	}
	r := &request{txn: txn, session: s}
	taken, err := r.takeStaged()
	var result kv.Result
	if err == nil {
		result, err = db.commitStaged(r)
	}
	if err != nil && len(taken) > 0 {
		s.giveStaged(taken)
		return result, err
	}
	for _, c := range taken {
		db.space.releaseStaged(&c)
	}
	return result, err
}

// commitStaged commits a request whose staged data it owns.
func (db *DB) commitStaged(r *request) (kv.Result, error) {
	held, err := db.stageValues(r)
	defer func() {
		for _, first := range held {
			db.space.release(first, 1)
		}
	}()
	if err != nil {
		return kv.Result{}, err
	}
	return db.commit(r)
}

// takeStaged puts staged data in the place of values, in a copy of the
// transaction, and answers all that it took from the session, also with an error.
func (r *request) takeStaged() (taken map[uint64]stagedChunk, err error) {
	for i := range r.txn.Effects {
		staged := r.txn.Effects[i].Staged
		if len(staged) == 0 {
			continue
		}
		if r.session == nil {
			return nil, fmt.Errorf("staged data without a session: %w", kv.ErrInvalid)
		}
		if taken == nil {
			taken = make(map[uint64]stagedChunk)
			own := *r.txn
			own.Effects = slices.Clone(r.txn.Effects)
			r.txn = &own
		}
		chunks, size, err := r.session.takeStaged(staged, taken)
		if err == nil {
			err = r.useStaged(i, chunks, size)
		}
		if err != nil {
			return taken, fmt.Errorf("effect %d: %w", i, err)
		}
	}
	return taken, nil
}

// useStaged makes staged chunks the blob of an effect, if they are one from its
// beginning, or else the effect's value.
func (r *request) useStaged(i int, chunks []stagedChunk, size int64) error {
	e := &r.txn.Effects[i]
	if e.Op == kv.Put && size > kv.InlineBytesMax && isBlob(chunks) {
		staged := stagedBlob{blob: item.Blob{ID: chunks[0].blob, Size: size, ChunkBytes: kv.ChunkBytes}}
		for _, c := range chunks {
			staged.refs = append(staged.refs, c.ref)
		}
		r.setBlob(i, staged)
		return nil
	}
	if size > kv.ValueBytesMax {
		return kv.ErrTooLarge
	}
	e.Value = make([]byte, 0, size)
	for _, c := range chunks {
		data, err := r.session.db.cache.chunk(c.ref, c.blob, c.number)
		if err != nil {
			return err
		}
		e.Value = append(e.Value, data...)
	}
	return nil
}

func (r *request) setBlob(i int, b stagedBlob) {
	if r.blobs == nil {
		r.blobs = make(map[int]stagedBlob)
	}
	r.blobs[i] = b
}

// stageValues writes the large values of a transaction ahead of it. It answers
// the segments that are held for them until the transaction is done.
func (db *DB) stageValues(r *request) (held []uint64, err error) {
	for i := range r.txn.Effects {
		e := &r.txn.Effects[i]
		if e.Op != kv.Put || len(e.Value) < stageValueBytes {
			continue
		}
		b := item.Blob{ID: db.clock.draw(1), Size: int64(len(e.Value)), ChunkBytes: kv.ChunkBytes}
		refs, segments, err := db.writeChunks(b.ID, 0, e.Value)
		held = append(held, segments...)
		if err != nil {
			return held, err
		}
		r.setBlob(i, stagedBlob{b, refs})
	}
	return held, nil
}

// writeChunks appends data as chunks of a blob, from a number on. It answers, also
// with an error, the segments that are held for what has been written, one for
// each chunk.
func (db *DB) writeChunks(blob uint64, number uint32, data []byte) (refs []page.Ref, held []uint64, err error) {
	for len(data) > 0 {
		var items [][]byte
		most := db.space.appendBytes(stageValueBytes)
		for bytes := 0; len(data) > 0 && bytes < most; bytes += kv.ChunkBytes {
			n := min(len(data), kv.ChunkBytes)
			items = append(items, item.AppendChunk(nil, blob, number, data[:n]))
			number++
			data = data[n:]
		}
		j, err := db.appendStaged(items)
		if err != nil {
			return refs, held, err
		}
		held = append(held, j.held...)
		for i, p := range j.places {
			refs = append(refs, page.Ref{Place: p, CRC: item.StoredCRC(items[i])})
		}
	}
	return refs, held, nil
}

// appendStaged appends chunks that no pair names yet. Where there is no room for
// them, a checkpoint may free some.
func (db *DB) appendStaged(items [][]byte) (j *appendJob, err error) {
	for waited := false; ; waited = true {
		j = &appendJob{items: items, grows: true}
		if err = db.space.admit(); err == nil {
			_, err = db.appendJob(j)
		}
		if waited || !errors.Is(err, kv.ErrNoSpace) || !db.checkpoint.freed() {
			return j, err
		}
	}
}
