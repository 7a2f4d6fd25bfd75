package bench

import (
	"context"

	"kivaloo/kvstore/kv"
)

// A current is a flowing share in this process. Its slots hold the writes that
// are under way; a read is over at once.
type current struct {
	*share
	direct  *direct
	window  *window
	changes []change // by slot
}

// flow keeps as many writes under way as it may, and reads in between.
func (d *direct) flow(ctx context.Context, s *share) error {
	f := &current{share: s, direct: d, window: newWindow(s.depth), changes: make([]change, s.depth)}
	for i := range f.changes {
		f.changes[i].done = func(_ kv.Result, err error) { f.finish(uint32(i), err) }
	}
	err := f.sendAll(ctx)
	if waitErr := f.window.drain(); err == nil {
		err = waitErr
	}
	return err
}

func (f *current) sendAll(ctx context.Context) error {
	var ids []uint32
	for last := false; !last && ctx.Err() == nil; {
		var err error
		if ids, err = f.window.take(ids[:0], 1); err != nil {
			return err
		}
		var n int
		n, last = f.next(len(ids))
		unused, err := f.sendSome(ctx, ids, n)
		f.window.give(unused...)
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// sendSome carries out n operations and answers the slots that it did not need.
func (f *current) sendSome(ctx context.Context, ids []uint32, n int) (unused []uint32, err error) {
	for range n {
		o, number := f.take()
		if o.kind != read {
			c := &f.changes[ids[0]]
			ids = ids[1:]
			c.set(f.data, o, f.version(number))
			f.direct.db.CommitAsync(&c.txn, c.done)
			continue
		}
		if err := f.direct.get(ctx, f.share, o.pair); err != nil {
			return ids, err
		}
		f.done.Add(1)
	}
	return ids, nil
}

// finish is called by the store when the write in a slot is durable.
func (f *current) finish(id uint32, err error) {
	c := &f.changes[id]
	if err != nil {
		f.window.fail(err)
	} else {
		f.data.acknowledge(c.pair, c.version)
		f.done.Add(1)
	}
	f.window.give(id)
}
