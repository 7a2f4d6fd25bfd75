package kvtest

import (
	"fmt"
	"strings"
	"sync"

	"kivaloo/kvstore/kv"
)

// A confirmation is awaited by the one who made a change and given by the
// observer who was told of it.
type confirmation struct {
	done chan struct{}
	once sync.Once
}

func (c *confirmation) end() { c.once.Do(func() { close(c.done) }) }

// A notice is a call of Changed that is due.
type notice struct {
	changes []kv.Change
	confirm *confirmation
}

func (s *session) Observe(o kv.Observer) error {
	defer s.unlock()
	if err := s.lock(); err != nil {
		return err
	}
	if s.observer != nil {
		return fmt.Errorf("observed already: %w", kv.ErrInvalid)
	}
	s.observer = o
	s.delivered = make(chan struct{})
	go s.deliver()
	return nil
}

func (s *session) Mark(key []byte) {
	defer s.unlock()
	if s.lock() == nil {
		s.marks[string(key)] = struct{}{}
	}
}

func (s *session) MarkPrefix(prefix []byte) {
	defer s.unlock()
	if s.lock() == nil {
		s.prefixes[string(prefix)] = struct{}{}
	}
}

func (s *session) Unmark(prefix []byte) {
	defer s.unlock()
	if s.lock() == nil {
		delete(s.prefixes, string(prefix))
	}
}

// deliver calls the observer, in the order of the changes and without a lock:
// whoever calls the store under a lock of his own may take that lock in Changed.
func (s *session) deliver() {
	defer close(s.delivered)
	for {
		n, ok := s.nextNotice()
		if !ok {
			return
		}
		s.observer.Changed(n.changes, func() { s.confirmed(n.confirm) })
	}
}

func (s *session) nextNotice() (notice, bool) {
	defer s.unlock()
	s.store.mu.Lock()
	for len(s.queue) == 0 && !s.closed {
		s.queued.Wait()
	}
	if s.closed {
		return notice{}, false
	}
	n := s.queue[0]
	s.queue = s.queue[1:]
	return n, true
}

func (s *session) confirmed(c *confirmation) {
	defer s.unlock()
	s.store.mu.Lock()
	delete(s.unconfirmed, c)
	c.end()
}

// notify queues what other sessions have asked for, and answers what the one who
// made the changes must wait for: nothing, if that is a session.
func (m *Model) notify(changes []kv.Change, by *session) []*confirmation {
	var all []*confirmation
	for s := range m.sessions {
		if s == by || s.observer == nil {
			continue
		}
		if wanted := s.wanted(changes); len(wanted) > 0 {
			c := &confirmation{done: make(chan struct{})}
			s.unconfirmed[c] = struct{}{}
			s.queue = append(s.queue, notice{wanted, c})
			s.queued.Signal()
			all = append(all, c)
		}
	}
	if by != nil {
		return nil
	}
	return all
}

// wanted picks the changes that are marked, and takes the marks of keys away:
// after the last change, so that all of one transaction are delivered.
func (s *session) wanted(changes []kv.Change) []kv.Change {
	var wanted []kv.Change
	var met []string
	for i := range changes {
		marked := s.marksOf(&changes[i])
		if len(marked) > 0 || s.wantedBelow(&changes[i]) {
			wanted = append(wanted, changes[i])
		}
		met = append(met, marked...)
	}
	for _, key := range met {
		delete(s.marks, key)
	}
	return wanted
}

// marksOf lists the marked keys that a change concerns.
func (s *session) marksOf(ch *kv.Change) (marked []string) {
	if !ofPrefix(ch) {
		for _, key := range keys(ch) {
			if _, ok := s.marks[key]; ok {
				marked = append(marked, key)
			}
		}
		return marked
	}
	for key := range s.marks {
		if within(ch, key) {
			marked = append(marked, key)
		}
	}
	return marked
}

// wantedBelow says whether a prefix that is marked asks for the change.
func (s *session) wantedBelow(ch *kv.Change) bool {
	for prefix := range s.prefixes {
		if !touchesPrefix(ch, prefix) {
			continue
		}
		inPlace := ch.Op == kv.Changed || ch.Op == kv.MetaChanged
		if !inPlace || s.pins[ch.Birth] > 0 {
			return true
		}
	}
	return false
}

// keys are those that a change names: one, or two for a move.
func keys(ch *kv.Change) []string {
	if ch.Op == kv.Moved || ch.Op == kv.PrefixMoved {
		return []string{string(ch.Key), string(ch.To)}
	}
	return []string{string(ch.Key)}
}

func ofPrefix(ch *kv.Change) bool { return ch.Op == kv.PrefixDeleted || ch.Op == kv.PrefixMoved }

// within says whether a key has one of the prefixes that a change names.
func within(ch *kv.Change, key string) bool {
	for _, k := range keys(ch) {
		if strings.HasPrefix(key, k) {
			return true
		}
	}
	return false
}

// touchesPrefix says whether a change may be one of a key with the prefix.
func touchesPrefix(ch *kv.Change, prefix string) bool {
	for _, k := range keys(ch) {
		if strings.HasPrefix(k, prefix) || ofPrefix(ch) && strings.HasPrefix(prefix, k) {
			return true
		}
	}
	return false
}
