package segment

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"kivaloo/lbs"
	"kivaloo/lbs/disk"
)

const (
	// reserveSpares are kept back for deleting and cleaning on a full disk, in bytes
	// of the size that segments should have: one for the step, one for the segment
	// that the step may begin.
	reserveSpares = 2

	// sparesWanted keeps one more ahead of the writer.
	sparesWanted = reserveSpares + 1

	// sparesShare: of the segments in use, one in so many may be kept as a spare
	// beyond those wanted when it is freed. Cleaning frees several at once, and a
	// file that is used again spares writing all of the log twice.
	sparesShare = 8
)

// A spare is a file that can become a segment: all its blocks were written and
// flushed before, so that writing them changes no metadata.
type spare struct {
	name  string
	bytes int64
}

// A pool keeps spares ready. Its goroutine makes them; freed segments join them;
// Append takes them.
type pool struct {
	store *Store

	kicks chan struct{} // look whether spares are missing; never closed
	asks  chan ask      // never closed
	quit  chan struct{} // closed by close
	done  chan struct{} // closed by the goroutine when it ends

	low atomic.Bool // the reserve is broken into, and there is no room to mend it

	mu struct {
		sync.Mutex
		ready  []spare // smallest first
		target int64   // the size that segments should have now
		limit  int64   // what the store can take on its disk, when that was last looked at
		most   int     // how many spares may be kept
		lastID uint32
		err    error // of the last attempt to make a spare
	}
}

// An ask waits for one spare of at least so many bytes, or, with 0, only for the
// pool to be as full as it can be.
type ask struct {
	bytes  int64
	room   lbs.Room
	answer chan answer // holds the one answer
}

type answer struct {
	spare spare
	err   error
}

func newPool(s *Store, spares []found) *pool {
	p := &pool{
		store: s,
		kicks: make(chan struct{}, 1),
		asks:  make(chan ask),
		quit:  make(chan struct{}),
		done:  make(chan struct{}),
	}
	for _, f := range spares {
		p.mu.lastID = max(p.mu.lastID, f.id)
		p.add(spare{f.name, f.bytes})
	}
	p.mu.limit = s.limit(s.table.Load().bytes() + p.sumLocked())
	go p.run()
	return p
}

func (p *pool) close() {
	close(p.quit)
	<-p.done
}

// want sets how large spares should be and how many may be kept for the segments
// there are, and wakes the goroutine.
func (p *pool) want(t table) {
	p.mu.Lock()
	p.mu.target = p.store.segmentBytes(t.bytes(), p.mu.limit)
	p.mu.most = sparesWanted + len(t)/sparesShare
	p.judgeLocked()
	p.mu.Unlock()
	p.kick()
}

// targetBytes is the size that segments should have now.
func (p *pool) targetBytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.target
}

func (p *pool) kick() {
	select {
	case p.kicks <- struct{}{}:
	default:
	}
}

// admit says whether an ordinary append may use what is left of the last segment:
// not once that was taken from the reserve and the disk is full.
func (p *pool) admit() error {
	if !p.low.Load() {
		return nil
	}
	err := p.wait()
	if p.low.Load() {
		return noSpace(err)
	}
	return nil
}

// take answers a spare for a segment of so many bytes. Ordinary appends leave the
// reserve alone.
func (p *pool) take(bytes int64, room lbs.Room) (spare, error) {
	sp, ok, err := p.pick(bytes, room)
	if ok || err != nil {
		return sp, err
	}
	return p.ask(ask{bytes: roundUp(bytes), room: room})
}

func (p *pool) wait() error {
	_, err := p.ask(ask{})
	return err
}

func (p *pool) ask(a ask) (spare, error) {
	a.answer = make(chan answer, 1)
	select {
	case p.asks <- a:
		got := <-a.answer
		return got.spare, got.err
	case <-p.done:
		return spare{}, lbs.ErrClosed
	}
}

// pick takes the smallest spare that is large enough. One that has got a second
// name is somebody's backup by now, and is not written to.
func (p *pool) pick(bytes int64, room lbs.Room) (spare, bool, error) {
	for {
		sp, ok := p.pop(bytes, room)
		if !ok {
			return sp, false, nil
		}
		info, err := p.store.fs.Stat(p.store.path(sp.name))
		if err != nil {
			return sp, false, err
		}
		if info.Links == 1 {
			return sp, true, nil
		}
		if err := p.store.fs.Remove(p.store.path(sp.name)); err != nil {
			return sp, false, err
		}
	}
}

func (p *pool) pop(bytes int64, room lbs.Room) (spare, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, sp := range p.mu.ready {
		if sp.bytes < bytes {
			continue
		}
		if room == lbs.Ordinary && p.sumLocked()-sp.bytes < p.reserveLocked() {
			break // the others are larger
		}
		p.mu.ready = slices.Delete(p.mu.ready, i, i+1)
		p.judgeLocked()
		return sp, true
	}
	return spare{}, false
}

// hasSmaller says whether anybody would be given a spare of at least so many bytes,
// and at most so many.
func (p *pool) hasSmaller(least, most int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, sp := range p.mu.ready {
		if sp.bytes >= least {
			return sp.bytes <= most && len(p.mu.ready) > reserveSpares
		}
	}
	return false
}

// sumLocked is what all spares take.
func (p *pool) sumLocked() (sum int64) {
	for _, sp := range p.mu.ready {
		sum += sp.bytes
	}
	return sum
}

// reserveLocked is how much of that should be in reserve.
func (p *pool) reserveLocked() int64 { return reserveSpares * p.mu.target }

func (p *pool) add(sp spare) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := 0
	for i < len(p.mu.ready) && p.mu.ready[i].bytes < sp.bytes {
		i++
	}
	p.mu.ready = slices.Insert(p.mu.ready, i, sp)
	p.judgeLocked()
}

func (p *pool) judgeLocked() {
	p.low.Store(p.sumLocked() < p.reserveLocked() && disk.IsNoSpace(p.mu.err))
}

// discard removes a spare that turned out to be of no use.
func (p *pool) discard(sp spare) { _ = p.store.fs.Remove(p.store.path(sp.name)) }

// bytes is what all spares take, what of it only the reserve may use, and the size
// that segments should have.
func (p *pool) bytes() (all, reserve, target int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all = p.sumLocked()
	headers := int64(min(len(p.mu.ready), reserveSpares) * headerBytes)
	return all, max(0, min(all, p.reserveLocked())-headers), p.mu.target
}

// welcomes says whether a file of so many bytes should become a spare, beside so
// many more.
func (p *pool) welcomes(bytes int64, more int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.suitsLocked(bytes) && len(p.mu.ready)+more < p.mu.most
}

// suitsLocked says whether a spare has about the size that segments should have.
func (p *pool) suitsLocked(bytes int64) bool {
	return bytes >= p.mu.target/2 && bytes <= p.mu.target*2
}

// missing says how many spares should be made, and how large.
func (p *pool) missing() (n int, target int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	lacks := sparesWanted * p.mu.target
	for _, sp := range p.mu.ready {
		if p.suitsLocked(sp.bytes) {
			lacks -= sp.bytes
		}
	}
	return int((lacks + p.mu.target - 1) / p.mu.target), p.mu.target
}

func (p *pool) nextName() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.lastID++
	return spareName(p.mu.lastID)
}

// recycle makes spares of freed segments, as many as may be kept, and removes the
// others. Nothing of a file may change before its name has: until then a cut
// brings the segment back.
func (p *pool) recycle(gone []*segment) error {
	var fresh []spare
	for _, g := range gone {
		sp, kept, err := p.rename(g, len(fresh))
		if err != nil {
			return fmt.Errorf("free %s: %w", g.name, err)
		}
		if kept {
			fresh = append(fresh, sp)
		}
	}
	if err := p.store.fs.SyncDir(p.store.dir); err != nil {
		return p.store.fail(err)
	}
	for _, sp := range fresh {
		p.add(sp)
	}
	return nil
}

func (p *pool) rename(g *segment, more int) (sp spare, kept bool, err error) {
	fs, path := p.store.fs, p.store.path(g.name)
	info, err := fs.Stat(path)
	if err != nil {
		return sp, false, err
	}
	if info.Links > 1 || !p.welcomes(g.bytes, more) {
		return sp, false, fs.Remove(path)
	}
	sp = spare{p.nextName(), g.bytes}
	return sp, true, fs.Rename(path, p.store.path(sp.name))
}
