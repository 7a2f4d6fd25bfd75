package bench

import (
	"context"
	"errors"
	"time"

	"kivaloo/cmd/kivaloo/bench/pairs"
	"kivaloo/kvstore"
	"kivaloo/kvstore/kv"
)

// A direct is a store in this process, driven as the mux drives it: reads by the
// goroutine of each connection itself, writes without one that waits for each.
type direct struct {
	db    *kvstore.DB
	conns int
}

func openDirect(ctx context.Context, o *Options) (target, error) {
	db, err := kvstore.Open(ctx, kvstore.Options{Dir: o.Dir, Create: true})
	if err != nil {
		return nil, err
	}
	return &direct{db: db, conns: o.Connections}, nil
}

func (d *direct) close() error { return d.db.Close() }

func (d *direct) run(ctx context.Context, j *job) error {
	switch j.pace {
	case writers:
		return each(j.shares(j.depth), func(_ int, s *share) error { return d.write(ctx, s) })
	case batches:
		return each(j.shares(d.conns), func(_ int, s *share) error { return d.batch(ctx, s) })
	}
	return each(j.shares(d.conns), func(_ int, s *share) error { return d.flow(ctx, s) })
}

func (d *direct) first(ctx context.Context) ([]byte, error) {
	page, err := d.db.Scan(ctx, kv.ScanRequest{Limit: 1})
	if err != nil || len(page.Entries) == 0 {
		return nil, err
	}
	return page.Entries[0].Key, nil
}

// extract reads all pairs again and again, until the deadline.
func (d *direct) extract(ctx context.Context, j *job) error {
	for over := false; !over; {
		var err error
		if over, err = d.pass(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

// pass reads the pairs in order, page by page. It answers whether the deadline
// came before the end.
func (d *direct) pass(ctx context.Context, j *job) (over bool, err error) {
	at := 0
	req := kv.ScanRequest{Want: kv.WantValue, Bytes: j.pageBytes}
	for more := true; more; {
		page, err := d.db.Scan(ctx, req)
		if err != nil {
			return false, err
		}
		for i := range page.Entries {
			if err := j.data.checkPair(at+i, page.Entries[i].Key, page.Entries[i].Value); err != nil {
				return false, err
			}
		}
		at += len(page.Entries)
		j.done.Add(uint64(len(page.Entries)))
		if j.expired() || ctx.Err() != nil {
			return true, ctx.Err()
		}
		more, req.Start = page.More, page.Next
	}
	return false, j.checkEnd(at)
}

// get reads one pair and looks at its value.
func (d *direct) get(ctx context.Context, s *share, pair uint32) error {
	known := s.data.known(pair)
	p, err := d.db.Get(ctx, kv.GetRequest{Key: s.data.Pairs[pair].Key[:], Want: kv.WantValue})
	found := !errors.Is(err, kv.ErrNotFound)
	if err != nil && found {
		return err
	}
	return s.checkRead(p.Value, found, pair, known)
}

// A change is a transaction of one operation, made anew without allocating.
type change struct {
	pair    uint32
	version version
	value   [pairs.Bytes]byte
	effect  [1]kv.Effect
	txn     kv.Txn
	done    func(kv.Result, error)
}

func (c *change) set(d *data, o op, v version) {
	c.pair, c.version = o.pair, v
	c.effect[0] = kv.Effect{Op: kv.Delete, Key: d.Pairs[o.pair].Key[:]}
	if o.kind == put {
		d.fill(&c.value, o.pair, v)
		c.effect[0].Op, c.effect[0].Value = kv.Put, c.value[:]
	}
	c.txn.Effects = c.effect[:]
}

// write is one writer, who waits for each write.
func (d *direct) write(ctx context.Context, s *share) error {
	var c change
	var latencies []time.Duration
	defer func() { s.addLatencies(latencies) }()
	for last := false; !last && ctx.Err() == nil; {
		var n int
		if n, last = s.next(1); n == 0 {
			break
		}
		o, number := s.take()
		c.set(s.data, o, s.version(number))
		began := time.Now()
		if _, err := d.db.Commit(ctx, &c.txn); err != nil {
			return err
		}
		latencies = append(latencies, time.Since(began))
		s.data.acknowledge(c.pair, c.version)
		s.done.Add(1)
	}
	return ctx.Err()
}

// batch carries out batches: their reads, then their writes as one transaction.
func (d *direct) batch(ctx context.Context, s *share) error {
	changes := make([]change, s.depth)
	var txn kv.Txn
	for last := false; !last && ctx.Err() == nil; {
		var n int
		n, last = s.next(s.depth)
		txn.Effects = txn.Effects[:0]
		written := changes[:0]
		for range n {
			o, number := s.take()
			if o.kind == read {
				if err := d.get(ctx, s, o.pair); err != nil {
					return err
				}
				continue
			}
			written = written[:len(written)+1]
			c := &written[len(written)-1]
			c.set(s.data, o, s.version(number))
			txn.Effects = append(txn.Effects, c.effect[0])
		}
		if _, err := d.db.Commit(ctx, &txn); err != nil {
			return err
		}
		for i := range written {
			s.data.acknowledge(written[i].pair, written[i].version)
		}
		s.done.Add(uint64(n))
	}
	return ctx.Err()
}
