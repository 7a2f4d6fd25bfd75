package fusefs

import "sync"

// positionsMax bounds the read positions remembered for all directories
// together, some 100 bytes each. A position that is forgotten is found again by
// going through its directory.
const positionsMax = 1 << 16

type positionKey struct {
	dir    uint64 // node id
	cookie uint64
}

// positions remembers where in its directory each entry given out lately lies.
// It outlives the handle that gave it.
type positions struct {
	mu    sync.Mutex
	known map[positionKey]position
	ring  []positionKey // the order in which they are forgotten
	next  int
}

func (p *positions) add(dir, cookie uint64, at position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := positionKey{dir, cookie}
	if _, ok := p.known[key]; !ok {
		p.makeRoom(key)
	}
	p.known[key] = at
}

func (p *positions) makeRoom(key positionKey) {
	if len(p.ring) < positionsMax {
		p.ring = append(p.ring, key)
		return
	}
	delete(p.known, p.ring[p.next])
	p.ring[p.next] = key
	p.next = (p.next + 1) % positionsMax
}

func (p *positions) get(dir, cookie uint64) (position, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.known[positionKey{dir, cookie}]
	return at, ok
}
