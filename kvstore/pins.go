package kvstore

import (
	"bytes"
	"slices"
)

// pins knows the pairs that sessions hold open, by birth and by the key where each
// is now, as of the last transaction evaluated. Guarded by DB.evaluating.
type pins struct {
	byBirth map[uint64]*pin
	byKey   map[string]*pin
	// journal takes back what rests on transactions that are not durable yet.
	journal []pinStep
}

type pin struct {
	birth uint64
	key   string
	count int
}

// A pinStep is a pin that was moved, or counted.
type pinStep struct {
	pin   *pin
	from  string
	added bool
}

func newPins() *pins {
	return &pins{byBirth: make(map[uint64]*pin), byKey: make(map[string]*pin)}
}

// add counts one more pin of the pair of this birth, which lies at key. tentative:
// that rests on what is not durable yet.
func (p *pins) add(key []byte, birth uint64, tentative bool) {
	e := p.byBirth[birth]
	if e == nil {
		e = &pin{birth: birth, key: string(key)}
		p.byBirth[birth] = e
		p.byKey[e.key] = e
	}
	e.count++
	if tentative {
		p.journal = append(p.journal, pinStep{pin: e, added: true})
	}
}

// drop takes n pins back; last says that none is left, and key where the pair is.
func (p *pins) drop(birth uint64, n int) (key []byte, last bool) {
	e := p.byBirth[birth]
	if e == nil {
		return nil, false
	}
	if e.count -= n; e.count > 0 {
		return nil, false
	}
	delete(p.byBirth, birth)
	p.forgetKey(e)
	return []byte(e.key), true
}

func (p *pins) forgetKey(e *pin) {
	if p.byKey[e.key] == e {
		delete(p.byKey, e.key)
	}
}

// at answers the birth that is pinned at key.
func (p *pins) at(key []byte) (birth uint64, ok bool) {
	if len(p.byKey) == 0 {
		return 0, false
	}
	e := p.byKey[string(key)]
	if e == nil {
		return 0, false
	}
	return e.birth, true
}

// within answers the pinned keys in a range, in order; a nil end is none.
func (p *pins) within(start, end []byte) [][]byte {
	var keys [][]byte
	for key := range p.byKey {
		k := []byte(key)
		if bytes.Compare(k, start) >= 0 && (end == nil || bytes.Compare(k, end) < 0) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, bytes.Compare)
	return keys
}

// moved says that the pair of key, if it is pinned, has another key.
func (p *pins) moved(key, to []byte) {
	if e := p.byKey[string(key)]; e != nil {
		p.journal = append(p.journal, pinStep{pin: e, from: e.key})
		p.setKey(e, string(to))
	}
}

func (p *pins) setKey(e *pin, key string) {
	p.forgetKey(e)
	e.key = key
	if p.byBirth[e.birth] == e {
		p.byKey[key] = e
	}
}

// mark is the present point in the journal; rewind goes back to one, and settle
// forgets what lies before one, since it is durable.
func (p *pins) mark() int { return len(p.journal) }

func (p *pins) rewind(mark int) {
	for i := len(p.journal) - 1; i >= mark; i-- {
		if step := &p.journal[i]; step.added {
			p.drop(step.pin.birth, 1)
		} else {
			p.setKey(step.pin, step.from)
		}
	}
	p.journal = p.journal[:mark]
}

func (p *pins) settle(mark int) {
	p.journal = slices.Delete(p.journal, 0, mark)
}
