package bench

import (
	"context"
	"fmt"
	"time"
)

// A runner runs one job after the other on one target, and knows what the store
// must hold.
type runner struct {
	ctx        context.Context
	opts       *Options
	target     target
	data       *data
	generation byte
	seeds      uint64
	state      state
	known      bool // that the store is in that state
}

// newJob makes a job that flows; base is the version that its first write writes.
func (r *runner) newJob(base version) *job {
	return &job{data: r.data, base: base, depth: r.opts.Inflight, conns: r.opts.Connections, noCheck: r.opts.NoCheck}
}

// nextSeed begins another row of random numbers, 2^40 away from the others.
func (r *runner) nextSeed() uint64 {
	r.seeds++
	return mix(r.opts.Seed) + r.seeds<<numberBits
}

// measure brings the store into the state that a workload needs, warms it up, and
// measures it.
func (r *runner) measure(w *workload) (*result, error) {
	if err := r.prepare(w); err != nil {
		return nil, err
	}
	if r.opts.Warmup > 0 && !w.bounded {
		if err := r.carryOut(w, w.job(r), "warming up", r.opts.Warmup); err != nil {
			return nil, err
		}
	}
	j := w.job(r)
	began := time.Now()
	if err := r.carryOut(w, j, w.name, r.opts.Time); err != nil {
		return nil, err
	}
	res := newResult(w, j, time.Since(began))
	if w.needs == emptied {
		r.state = filled
	}
	return res, nil
}

func (r *runner) carryOut(w *workload, j *job, what string, limit time.Duration) error {
	j.until = time.Now().Add(limit)
	stop := showProgress(r.opts.Status, what, j)
	defer stop()
	if w.scans {
		return r.target.extract(r.ctx, j)
	}
	return r.target.run(r.ctx, j)
}

// checkOurs refuses a store of somebody else's pairs before anything is written
// to it.
func (r *runner) checkOurs() error {
	key, err := r.target.first(r.ctx)
	switch {
	case err != nil:
		return err
	case key == nil:
		r.state, r.known = emptied, true
	case string(key) != string(r.data.Pairs[0].Key[:]):
		return fmt.Errorf("%w: the first key is %q", ErrNotOurs, key)
	}
	return nil
}

// prepare fills the store, or empties it, if it has to be done.
func (r *runner) prepare(w *workload) error {
	if r.known && r.state == w.needs {
		return nil
	}
	all := &workload{name: "filling the store", job: (*runner).insert}
	if w.needs == emptied {
		all = &workload{name: "emptying the store", job: (*runner).empty}
	}
	if err := r.carryOut(all, all.job(r), all.name, 0); err != nil {
		return err
	}
	r.state, r.known = w.needs, true
	return nil
}

// empty deletes all pairs.
func (r *runner) empty() *job { return r.bulk(remove, epoch{kind: absent}) }
