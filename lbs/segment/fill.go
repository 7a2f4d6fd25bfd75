package segment

import (
	"errors"
	"fmt"
	"syscall"

	"kivaloo/lbs"
	"kivaloo/lbs/disk"
)

const (
	// zeroBytes are written at once, and flushAfter of them stand between two
	// flushes: a commit's own flush would else wait for a whole segment of zeros.
	zeroBytes  = 1 << 20
	flushAfter = 4 << 20

	// shortLeaves is what a short segment leaves of the disk: a name or a line in a
	// log may need a block.
	shortLeaves = 32 << 10
)

var errNoRoom = fmt.Errorf("the next segment does not fit: %w", syscall.ENOSPC)

var zeros [zeroBytes]byte

// run is the pool's goroutine.
func (p *pool) run() {
	defer close(p.done)
	for {
		select {
		case <-p.quit:
			return
		case <-p.kicks:
			p.step()
		case a := <-p.asks:
			sp, err := p.serve(a)
			a.answer <- answer{sp, err}
		}
	}
}

// step makes one spare, and comes back for the next: who asks meanwhile waits for
// no more than one.
func (p *pool) step() {
	n, err := p.replenish(1)
	if err == nil && n > 0 {
		p.kick()
	}
	if err != nil && !errors.Is(err, lbs.ErrClosed) {
		p.store.log.Warn("cannot prepare the next segment", "dir", p.store.dir, "cause", err)
	}
}

func (p *pool) serve(a ask) (spare, error) {
	if a.bytes == 0 {
		_, err := p.replenish(sparesWanted)
		return spare{}, err
	}
	if a.room == lbs.Ordinary {
		// What room there is belongs to the reserve first.
		if err := p.mend(); err != nil {
			return spare{}, err
		}
	}
	if sp, ok, err := p.pick(a.bytes, a.room); ok || err != nil {
		return sp, err
	}
	_, target := p.missing()
	sp, err := p.make(max(a.bytes, target))
	if a.room == lbs.Reserve && disk.IsNoSpace(err) {
		return p.makeShort(a.bytes)
	}
	return sp, err
}

// mend makes what the reserve lacks.
func (p *pool) mend() error {
	for {
		p.mu.Lock()
		whole, target := p.sumLocked() >= p.reserveLocked(), p.mu.target
		p.mu.Unlock()
		if whole {
			return nil
		}
		sp, err := p.make(target)
		if err != nil {
			return err
		}
		p.add(sp)
	}
}

// makeShort makes a spare of what is left of the disk, where a whole one does not
// fit: with it a checkpoint can go on, and free some.
func (p *pool) makeShort(bytes int64) (spare, error) {
	u, err := p.store.fs.Usage(p.store.dir)
	if err != nil {
		return spare{}, err
	}
	size := max(bytes, (u.Free-shortLeaves)/disk.DirectBytes*disk.DirectBytes)
	sp := spare{p.nextName(), size}
	return sp, p.fill(sp)
}

// replenish makes so many of the spares that are missing, and when none is, removes
// those that are too many, or of a size that the store has outgrown. On a full disk they stay: they are what there
// is. It answers how many are still missing.
func (p *pool) replenish(most int) (int, error) {
	for ; ; most-- {
		n, target := p.missing()
		if n <= 0 {
			return 0, p.trim()
		}
		if most <= 0 {
			return n, nil
		}
		sp, err := p.make(target)
		if err != nil {
			return n, err
		}
		p.add(sp)
	}
}

func (p *pool) trim() error {
	for {
		sp, ok := p.popMisfit()
		if !ok {
			return nil
		}
		if err := p.store.fs.Remove(p.store.path(sp.name)); err != nil {
			return err
		}
	}
}

func (p *pool) popMisfit() (spare, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, sp := range p.mu.ready {
		if !p.suitsLocked(sp.bytes) || len(p.mu.ready) > p.mu.most {
			p.mu.ready = append(p.mu.ready[:i], p.mu.ready[i+1:]...)
			return sp, true
		}
	}
	return spare{}, false
}

// make makes a spare, and remembers whether it could.
func (p *pool) make(bytes int64) (spare, error) {
	sp := spare{p.nextName(), bytes}
	err := p.fill(sp)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.err = err
	p.judgeLocked()
	return sp, err
}

// fill zeroes a file under a name that counts for nothing, so that whatever is
// called a spare has all its blocks. The name need not be durable: a spare that a
// cut takes away can be made again in the room it took.
func (p *pool) fill(sp spare) error {
	s := p.store
	u, err := s.fs.Usage(s.dir)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.mu.limit = s.table.Load().bytes() + p.sumLocked() + u.Free
	p.mu.Unlock()
	if u.Free < sp.bytes {
		return errNoRoom
	}
	temp := s.path(sp.name + tempSuffix)
	err = s.writeFile(temp, func(f disk.File) error { return zeroFill(f, sp.bytes, p.quit) })
	if err == nil {
		err = s.fs.Rename(temp, s.path(sp.name))
	}
	if err != nil {
		_ = s.fs.Remove(temp)
	}
	return err
}

// zeroFill writes zeros to a new file. Room is taken first: a full disk is noticed
// before anything is written, and the file lies in one piece.
func zeroFill(f disk.File, bytes int64, quit <-chan struct{}) error {
	if err := f.Allocate(bytes); err != nil {
		return err
	}
	for at := int64(0); at < bytes; {
		select {
		case <-quit:
			return lbs.ErrClosed
		default:
		}
		n, err := f.WriteAt(zeros[:min(zeroBytes, bytes-at)], at)
		if err != nil {
			return err
		}
		if at += int64(n); at%flushAfter == 0 {
			if err := f.Datasync(); err != nil {
				return err
			}
		}
	}
	return nil
}
