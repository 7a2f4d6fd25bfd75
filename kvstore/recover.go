package kvstore

import (
	"errors"
	"fmt"
	"io"

	"kivaloo/kvstore/btree"
	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
	"kivaloo/lbs"
)

// A recovery finds the state that a log ends with: the last append's trailer leads
// to the last ROOT, and its redo point says which commit records come after.
type recovery struct {
	db      *DB
	trailer *item.Trailer // of the last append
	root    *item.Root
	appends []*item.Trailer // from the redo point on, newest first
	bytes   int64           // of their records
}

// recover brings up the writer, the checkpointer and the first state.
func (db *DB) recover() error {
	w := newWriter(db)
	if db.log.Last() == lbs.NoBlock {
		return db.begin(w)
	}
	r := &recovery{db: db}
	if err := r.find(); err != nil {
		return err
	}
	db.id = r.root.Store
	db.clock.raise(max(r.trailer.Stamp, r.root.Stamp))
	if !db.opts.AcceptClock {
		if err := db.clock.check(); err != nil {
			return err
		}
	}
	db.space.restore(r.root)
	db.userPairs.Store(r.root.UserPairs)
	db.treeLinks.Store(r.root.Links)
	db.roots.Store(r.root.Number)
	w.last, w.number = db.log.Last(), r.trailer.Number
	w.root, w.redo = r.trailer.Root, r.root.Redo
	w.tree = btree.Tree{Root: r.root.Tree, Height: r.root.Height}
	if err := r.replay(w); err != nil {
		return err
	}
	if r.bytes > 0 {
		w.since = r.root.Redo
	}
	db.space.appended(r.bytes, r.bytes)
	db.space.look()
	w.resetWorking(w.applier.delta, db.clock.last.Load())
	w.publish(w.applier.delta.Freeze(), w.version)
	db.start(w, *r.root)
	return nil
}

// begin starts a log that has nothing in it with a ROOT of an empty tree.
func (db *DB) begin(w *writer) error {
	if owner, ok := db.log.(interface{ ID() [16]byte }); ok {
		db.id = owner.ID()
	} else if _, err := io.ReadFull(db.opts.Rand, db.id[:]); err != nil {
		return err
	}
	w.last = lbs.NoBlock
	w.resetWorking(w.applier.delta, 0)
	w.publish(w.applier.delta.Freeze(), 0)
	root := item.Root{Store: db.id, Number: 1}
	db.start(w, root)
	c := db.checkpoint
	c.running.Lock()
	defer c.running.Unlock()
	j := &appendJob{root: &root}
	_, err := db.appendJob(j)
	c.place = j.rootAt
	return err
}

// find reads the last trailer, the last ROOT, and the trailers since the redo
// point.
func (r *recovery) find() (err error) {
	last := r.db.log.Last()
	if r.trailer, err = r.readTrailer(last); err != nil {
		return fmt.Errorf("the last append: %w", err)
	}
	if r.root, err = r.readRoot(&r.trailer.Root); err != nil {
		return err
	}
	if r.root.Store != r.trailer.Store {
		return fmt.Errorf("%w: ROOT and trailer are of two stores", ErrFormat)
	}
	for t := r.trailer; t.First >= r.root.Redo; {
		r.appends = append(r.appends, t)
		if t.Previous == lbs.NoBlock || t.Previous < r.root.Redo {
			return nil
		}
		if t, err = r.readBefore(t); err != nil {
			return fmt.Errorf("an append after the redo point (block %d): %w", r.root.Redo, err)
		}
	}
	return nil
}

// readBefore reads the trailer of the append before one. An append of another
// store, or one that was torn and whose numbers were used again, may be whole where
// the one that belongs there is lost.
func (r *recovery) readBefore(t *item.Trailer) (*item.Trailer, error) {
	before, err := r.readTrailer(t.Previous)
	if err == nil && (before.Store != t.Store || before.Number+1 != t.Number) {
		reason := fmt.Errorf("it is append %d of store %x, before append %d of store %x", before.Number, before.Store, t.Number, t.Store)
		return nil, r.damaged("trailer", t.Previous, r.db.blockBytes-item.TailBytes, reason)
	}
	return before, err
}

// readTrailer reads the trailer in the given last block of an append.
func (r *recovery) readTrailer(last uint64) (*item.Trailer, error) {
	blockBytes := r.db.blockBytes
	var b [item.TrailerBytes]byte
	offset := blockBytes - item.TailBytes
	if err := r.db.log.ReadAt(b[:], last, offset); err != nil {
		return nil, r.unread("trailer", last, offset, err)
	}
	t, err := item.DecodeTrailer(b[:])
	if err != nil {
		return nil, r.damaged("trailer", last, offset, err)
	}
	blocks := (uint64(t.Bytes) + lbs.SealBytes) / uint64(blockBytes)
	if t.First+blocks-1 != last || (t.Previous != lbs.NoBlock && t.Previous >= t.First) {
		return nil, r.damaged("trailer", last, offset, fmt.Errorf("it belongs to blocks %d to %d", t.First, t.First+blocks-1))
	}
	return t, nil
}

// damaged is the error of an item that cannot be used. One of a later version is
// whole, and no reason to repair anything.
func (r *recovery) damaged(what string, block uint64, offset int, err error) error {
	if errors.Is(err, item.ErrVersion) {
		return fmt.Errorf("%w: %s in block %d: %w", ErrFormat, what, block, err)
	}
	reason := err.Error()
	if s, ok := r.db.log.(lbs.Segmented); ok {
		for _, d := range s.Damage() {
			if block >= d.First && block < d.First+d.Blocks {
				reason += "; the block store found: " + d.Reason
			}
		}
	}
	return &kv.CorruptError{What: what, Block: block, Offset: offset, Reason: reason}
}

// unread is the error of an item that could not be read. One whose block is gone
// is damage too: the log says that it should be there.
func (r *recovery) unread(what string, block uint64, offset int, err error) error {
	if isDamage(err) || errors.Is(err, lbs.ErrNoBlock) {
		return r.damaged(what, block, offset, err)
	}
	return fmt.Errorf("%s in block %d: %w", what, block, err)
}

// readRoot reads the last ROOT, from its second copy if the first is damaged.
func (r *recovery) readRoot(place *item.RootPlace) (*item.Root, error) {
	var failed error
	for i := range place.Block {
		b := make([]byte, place.Bytes)
		err := r.db.log.ReadAt(b, place.Block[i], int(place.Offset[i]))
		if err == nil {
			var root *item.Root
			if root, err = item.DecodeRoot(b, place.CRC); err == nil {
				if failed != nil {
					r.db.logger.Warn("the first copy of the last ROOT is damaged, the second is used", "error", failed)
				}
				return root, nil
			}
		}
		failed = r.damaged("ROOT", place.Block[i], int(place.Offset[i]), err)
	}
	return nil, failed
}

// record reads the commit record of an append.
func (r *recovery) record(t *item.Trailer, each func(*item.Op) error) error {
	blockBytes := uint64(r.db.blockBytes)
	block, offset := t.First+uint64(t.Record)/blockBytes, int(uint64(t.Record)%blockBytes)
	b := make([]byte, t.Bytes-item.TrailerBytes-t.Record)
	if err := r.db.log.ReadAt(b, block, offset); err != nil {
		return r.unread("commit record", block, offset, err)
	}
	if err := item.Record(b, t.RecordCRC, each); err != nil {
		return r.damaged("commit record", block, offset, err)
	}
	return nil
}
