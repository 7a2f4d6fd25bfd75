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
	err := db.admit(txn)
	for i := range txn.Effects {
		if err == nil && len(txn.Effects[i].Staged) > 0 {
			err = fmt.Errorf("staged data without a session: %w", kv.ErrInvalid)
		}
	}
	if err != nil {
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
	defer db.releaseHeld(r)
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

// commitStaged commits a request whose staged data it owns. What was written ahead
// for a value that others have changed meanwhile is written again.
func (db *DB) commitStaged(r *request) (kv.Result, error) {
	if err := db.stageValues(r); err != nil {
		return kv.Result{}, err
	}
	for range overtakenMax {
		if err := db.patchAhead(r); err != nil {
			return kv.Result{}, err
		}
		result, err := db.commit(r)
		if !errors.Is(err, errOvertaken) {
			return result, err
		}
	}
	return kv.Result{}, fmt.Errorf("others change the value all the time: %w", kv.ErrTooLarge)
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
			err = r.useStaged(i, &stagedReader{db: r.session.db, chunks: chunks}, size)
		}
		if err != nil {
			return taken, fmt.Errorf("effect %d: %w", i, err)
		}
	}
	return taken, nil
}

// useStaged makes staged chunks the blob of an effect, if they are one from its
// beginning. Else they become the effect's value in memory, if that is not too much,
// or are written once more: as a blob's chunks, or over those of the pair's blob.
func (r *request) useStaged(i int, data *stagedReader, size int64) error {
	e := &r.txn.Effects[i]
	if e.Op == kv.Put && size > kv.InlineBytesMax && isBlob(data.chunks) {
		staged := stagedBlob{blob: item.Blob{ID: data.chunks[0].blob, Size: size, ChunkBytes: kv.ChunkBytes}}
		for _, c := range data.chunks {
			staged.refs = append(staged.refs, c.ref)
		}
		r.setBlob(i, staged)
		return nil
	}
	db := data.db
	if e.Op == kv.Put && size >= stageValueBytes {
		b := item.Blob{ID: db.clock.draw(1), Size: size, ChunkBytes: kv.ChunkBytes}
		refs, err := db.rewrite(r, b.ID, 0, data, size)
		r.setBlob(i, stagedBlob{b, refs})
		return err
	}
	if e.Op != kv.Put && size+r.inMemory > db.stagedInMemoryMax {
		return r.setAhead(i, data, size)
	}
	r.inMemory += size
	e.Value = make([]byte, size)
	return data.read(e.Value)
}

// A stagedReader reads what was staged from its beginning on.
type stagedReader struct {
	db     *DB
	chunks []stagedChunk
	rest   []byte // of the chunk before
}

// read fills p; there is as much.
func (s *stagedReader) read(p []byte) error {
	for len(p) > 0 {
		if len(s.rest) == 0 {
			c := s.chunks[0]
			data, err := s.db.cache.chunk(c.ref, c.blob, c.number)
			if err != nil {
				return err
			}
			s.rest, s.chunks = data, s.chunks[1:]
		}
		n := copy(p, s.rest)
		p, s.rest = p[n:], s.rest[n:]
	}
	return nil
}

// rewrite appends staged data as chunks of another blob, from a number on.
func (db *DB) rewrite(r *request, blob uint64, number uint32, data *stagedReader, size int64) (refs []page.Ref, err error) {
	buf := make([]byte, min(size, stageValueBytes))
	for ; size > 0; size -= int64(len(buf)) {
		buf = buf[:min(size, int64(len(buf)))]
		if err := data.read(buf); err != nil {
			return nil, err
		}
		more, held, err := db.writeChunks(blob, number, buf)
		r.held = append(r.held, held...)
		if err != nil {
			return nil, err
		}
		refs = append(refs, more...)
		number += uint32(len(more))
	}
	return refs, nil
}

// releaseHeld lets go of what a request has written ahead: by now a delta names it,
// or nobody ever will.
func (db *DB) releaseHeld(r *request) {
	for _, first := range r.held {
		db.space.release(first, 1)
	}
	r.held = nil
}

func (r *request) setBlob(i int, b stagedBlob) {
	if r.blobs == nil {
		r.blobs = make(map[int]stagedBlob)
	}
	r.blobs[i] = b
}

// stageValues writes the large values of a transaction ahead of it.
func (db *DB) stageValues(r *request) error {
	for i := range r.txn.Effects {
		e := &r.txn.Effects[i]
		if e.Op != kv.Put || len(e.Value) < stageValueBytes {
			continue
		}
		b := item.Blob{ID: db.clock.draw(1), Size: int64(len(e.Value)), ChunkBytes: kv.ChunkBytes}
		refs, held, err := db.writeChunks(b.ID, 0, e.Value)
		r.held = append(r.held, held...)
		if err != nil {
			return err
		}
		r.setBlob(i, stagedBlob{b, refs})
	}
	return nil
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
	for waits := 0; ; waits++ {
		j = &appendJob{items: items, grows: true}
		if err = db.space.admit(); err == nil {
			_, err = db.appendJob(j)
		}
		if waits == waitsMax || !errors.Is(err, kv.ErrNoSpace) || !db.checkpoint.freed() {
			return j, err
		}
	}
}
