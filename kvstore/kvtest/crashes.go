package kvtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kivaloo/kvstore/kv"
)

// met counts what became of the transactions that crashes met.
type met struct{ answered, unanswered, gone int }

// crashes cuts the power while transactions are under way. Those that were not
// answered are there whole, or not at all: the last effect of each is a marker
// that tells, with the version.
func (p *player) crashes() {
	p.Helper()
	p.crashed++
	flights := p.takeOff()
	store, err := p.subject.Crash()
	if err != nil {
		p.Fatalf("opening after a crash: %v", err)
	}
	p.store = store
	for _, f := range landed(p, flights) {
		p.oracle.commit(p.env, &f.txn, f.result, nil)
	}
	p.oracle.model = p.oracle.model.Reopen()
	if len(flights) > 0 {
		p.do(delPrefix(markers))
	}
}

// markers begin with what no key of a generator does.
const markers = "\x01"

// A flight is a transaction that a crash may meet.
type flight struct {
	txn    kv.Txn
	marker string
	done   chan struct{}
	result kv.Result
	err    error
}

const (
	// pilotsMax and flightsMax are how many commit beside each other, and how many
	// transactions one after another: more than there is time for.
	pilotsMax  = 3
	flightsMax = 25
	// cutCallsMax is about how many calls of the disk these are.
	cutCallsMax = 100
	// flightMax is about what the commits of a store in memory take: a crash
	// should meet them at every stage.
	flightMax = 300 * time.Microsecond
)

// takeOff begins to commit, and does not wait.
func (p *player) takeOff() (all []*flight) {
	if !p.env.has(Txns | Stamps | Names) {
		return nil
	}
	if p.subject.CutAt != nil {
		p.subject.CutAt(1 + p.IntN(cutCallsMax))
	}
	for pilot := range 1 + p.IntN(pilotsMax) {
		var flights []*flight
		for i := range flightsMax {
			f := &flight{txn: p.txn(), done: make(chan struct{})}
			f.marker = fmt.Sprintf("%s%d/%d", markers, pilot, i)
			f.txn.Effects = append(sparing(f.txn.Effects), put(f.marker, ""))
			flights = append(flights, f)
		}
		go fly(p.ctx, p.beside(), flights)
		all = append(all, flights...)
	}
	if p.subject.CutAt == nil {
		time.Sleep(time.Duration(p.IntN(int(flightMax))))
		return all
	}
	for _, f := range all {
		<-f.done // soon: after the cut they all fail
	}
	return all
}

// fly commits one transaction after another, until the crash.
func fly(ctx context.Context, store kv.Store, flights []*flight) {
	down := false
	for _, f := range flights {
		if f.err = errNotFlown; !down {
			f.result, f.err = store.Commit(ctx, &f.txn)
			down = f.err != nil && !errors.Is(f.err, kv.ErrCondition)
		}
		close(f.done)
	}
}

var errNotFlown = errors.New("never committed")

// sparing leaves out what would take away the markers of others.
func sparing(effects []kv.Effect) (spared []kv.Effect) {
	for _, e := range effects {
		if e.Op != kv.DeletePrefix || len(e.Key) > 0 {
			spared = append(spared, e)
		}
	}
	return spared
}

// landed lists what has been carried out, in its order.
func landed(p *player, flights []*flight) (all []*flight) {
	p.Helper()
	for _, f := range flights {
		<-f.done
		pair, err := p.store.Get(p.ctx, kv.GetRequest{Key: []byte(f.marker), Want: kv.WantAll})
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			p.Fatalf("after a crash: %v", err)
		}
		there := err == nil
		p.met.count(f.err == nil, there)
		if f.err == nil && (!there || pair.Version != f.result.Version) {
			p.Fatalf("a transaction was answered with version %d before the crash; now its marker has %d, %v", f.result.Version, pair.Version, err)
		}
		if there && (errors.Is(f.err, kv.ErrCondition) || f.err == errNotFlown) {
			p.Fatalf("a transaction is there after the crash, though before it was: %v", f.err)
		}
		if there && f.err != nil {
			f.result = kv.Result{Version: pair.Version, Offset: unknown}
		}
		if there {
			all = insert(all, f)
		}
	}
	return all
}

func (m *met) count(answered, there bool) {
	switch {
	case answered:
		m.answered++
	case there:
		m.unanswered++
	default:
		m.gone++
	}
}

// insert keeps flights in the order of their versions.
func insert(all []*flight, f *flight) []*flight {
	i := len(all)
	for i > 0 && all[i-1].result.Version > f.result.Version {
		i--
	}
	return append(all[:i], append([]*flight{f}, all[i:]...)...)
}
