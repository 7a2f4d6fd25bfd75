package btree

import (
	"bytes"
	"fmt"

	"kivaloo/kvstore/page"
)

// A merger is the state of one merge: where it is in the changes and what it has
// to write. The tree is walked from left to right, and only where something is
// due; each inner page on the way has a line (see line) that gathers its new
// children.
type merger struct {
	src     Source
	opts    Options
	changes Changes
	out     *writer
	lines   []line // by level

	cur     *Change // the next change, or the range that is under way; nil at the end
	at      []byte  // where cur begins, or goes on
	floor   []byte  // end of the change before
	touches [][]Touch
	spent   int // bytes of new pages

	stopped bool
	next    []byte
	dead    []page.Ref
	stats   Stats
}

func newMerger(src Source, sink Sink, tree Tree, changes Changes, opts Options) (*merger, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := tree.check(); err != nil {
		return nil, err
	}
	m := &merger{src: src, opts: opts, changes: changes, touches: make([][]Touch, tree.Height)}
	m.out = &writer{sink: sink, limit: opts.WriteBytes, stats: &m.stats}
	for _, t := range opts.Touches {
		if t.Level >= 0 && t.Level < tree.Height && bytes.Compare(t.Key, opts.From) >= 0 {
			m.touches[t.Level] = append(m.touches[t.Level], t)
		}
	}
	return m, m.advance()
}

// advance takes the next change that does not lie below From as a whole.
func (m *merger) advance() error {
	for {
		c, err := m.changes.Next()
		if err != nil || c == nil {
			m.cur = nil
			return err
		}
		if err := m.checkOrder(c); err != nil {
			return err
		}
		m.floor = c.Key
		if c.End != nil {
			m.floor = c.End
		}
		if bytes.Compare(m.floor, m.opts.From) < 0 || (c.End != nil && bytes.Equal(c.End, m.opts.From)) {
			continue
		}
		m.cur, m.at = c, c.Key
		if bytes.Compare(c.Key, m.opts.From) < 0 {
			m.at = m.opts.From
		}
		return nil
	}
}

// checkOrder makes sure that the change lies above the one before. Merging what
// is out of order would lose it, so it is an error of the caller's that is told.
func (m *merger) checkOrder(c *Change) error {
	order := bytes.Compare(c.Key, m.floor)
	afterRange := m.cur == nil || m.cur.End != nil
	if order < 0 || (order == 0 && !afterRange) {
		return fmt.Errorf("change of %q after %q", c.Key, m.floor)
	}
	if c.End == nil && len(c.Key) == 0 {
		return fmt.Errorf("change of a key without keyspace")
	}
	if c.End != nil && bytes.Compare(c.Key, c.End) > 0 {
		return fmt.Errorf("range from %q to %q", c.Key, c.End)
	}
	return nil
}

// due answers the next change if it begins below high, and the budget allows it.
func (m *merger) due(high []byte) *Change {
	if m.cur == nil || m.stopped || !below(m.at, high) || m.usedUp() {
		return nil
	}
	return m.cur
}

// dueIn says whether anything is to be done in the subtree of a page of this
// level that ends at high.
func (m *merger) dueIn(level int, high []byte) bool {
	if m.due(high) != nil {
		return true
	}
	if m.stopped {
		return false
	}
	for l := 0; l <= level && l < len(m.touches); l++ {
		if len(m.touches[l]) > 0 && below(m.touches[l][0].Key, high) {
			return !m.usedUp()
		}
	}
	return false
}

// passStale drops touches that mean another page than this one, where its place
// is known: it is not read for their sake.
func (m *merger) passStale(ref page.Ref, level int, high []byte) {
	if m.stopped || level >= len(m.touches) {
		return
	}
	list := m.touches[level]
	for len(list) > 0 && below(list[0].Key, high) && !list[0].means(ref) {
		list = list[1:]
	}
	m.touches[level] = list
}

// usedUp stops the merge once the budget is spent. From then on nothing is due,
// and what is not yet rewritten stays as it is.
func (m *merger) usedUp() bool {
	spent := m.opts.BudgetBytes > 0 && m.spent >= m.opts.BudgetBytes
	if !spent && (m.opts.Stop == nil || !m.opts.Stop()) {
		return false
	}
	m.stopped = true
	if m.cur != nil {
		m.next = m.at
	}
	for _, list := range m.touches {
		if len(list) > 0 && (m.next == nil || bytes.Compare(list[0].Key, m.next) < 0) {
			m.next = list[0].Key
		}
	}
	m.next = bytes.Clone(m.next)
	return true
}

// touched takes the touches of a page that is being read, and says whether one
// means it.
func (m *merger) touched(ref page.Ref, level int, high []byte) bool {
	hit := false
	for level < len(m.touches) && len(m.touches[level]) > 0 && below(m.touches[level][0].Key, high) {
		hit = hit || m.touches[level][0].means(ref)
		m.touches[level] = m.touches[level][1:]
	}
	return hit
}

// read reads a page of the old tree.
func (m *merger) read(ref page.Ref, level int, b bracket) (*page.Page, error) {
	m.stats.PagesRead++
	return readPage(m.src, ref, level, b)
}

// bury notes that the new tree does not use a page.
func (m *merger) bury(ref page.Ref) { m.dead = append(m.dead, ref) }

func (m *merger) tellDead(ref page.Ref) {
	m.stats.PagesDead++
	m.stats.BytesDead += int(ref.Bytes)
	if m.opts.Dead != nil {
		m.opts.Dead(ref)
	}
}
