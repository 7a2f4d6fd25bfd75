package kvstore

import "kivaloo/kvstore/kv"

// CommitCrowd carries out the transactions of a crowd. It allocates nothing when a
// crowd comes back. Values above a megabyte are written along with the commit they
// are part of.
func (db *DB) CommitCrowd(c *kv.Crowd) {
	requests, _ := c.Kept.([]request)
	if cap(requests) < len(c.Txns) {
		requests = make([]request, len(c.Txns))
	}
	requests = requests[:len(c.Txns)]
	c.Kept = requests
	for i := range requests {
		requests[i] = request{txn: &c.Txns[i], crowd: c, index: i, changes: requests[i].changes[:0]}
		requests[i].err = db.admit(&c.Txns[i])
	}
	db.queue.putCrowd(requests)
}

// putCrowd queues what was admitted, in order, and answers the rest. Of a crowd
// that is answered nothing may be read any more, so that comes one by one.
func (q *queue) putCrowd(requests []request) {
	refused := 0
	q.mu.Lock()
	closed := q.mu.closed
	for i := range requests {
		if closed == nil && requests[i].err == nil {
			q.mu.requests = append(q.mu.requests, &requests[i])
			continue
		}
		requests[i].refused = true
		refused++
	}
	q.mu.Unlock()
	q.wake()
	for i := 0; refused > 0; i++ {
		r := &requests[i]
		if !r.refused {
			continue
		}
		refused--
		if r.err == nil {
			r.err = closed
		}
		r.answer()
	}
}

// answerAll answers requests. Neighbours of one crowd are answered together.
func answerAll(requests []*request) {
	for len(requests) > 0 {
		r, n := requests[0], 1
		if r.crowd == nil {
			r.answer()
			requests = requests[1:]
			continue
		}
		c, from := r.crowd, r.index
		r.settle()
		for n < len(requests) && requests[n].crowd == c && requests[n].index == from+n {
			requests[n].settle()
			n++
		}
		requests = requests[n:]
		c.Answered(from, from+n)
	}
}

// settle writes the outcome of a crowd's request where it is looked for.
func (r *request) settle() {
	if r.err != nil {
		r.result = kv.Result{}
	}
	r.crowd.Results[r.index], r.crowd.Errs[r.index] = r.result, r.err
}
