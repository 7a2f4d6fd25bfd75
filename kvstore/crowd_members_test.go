package kvstore

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"strconv"
	"sync"
	"testing"
	"time"

	"kivaloo/kvstore/kv"
)

// counters is how many counters the members share.
const counters = 2

// A counter counts up what others count as well, with a guard, and writes down
// each success in the same transaction.
type counter struct {
	id        int
	byVersion bool
	acked     [counters]int
}

func (m *counter) work(c *crowd, rng *rand.Rand) {
	for range steps {
		n := rng.Intn(counters)
		key := fmt.Appendf(nil, "counter/%d", n)
		txn, err := m.increment(c.db, key, n)
		if !c.fine("counter", err) {
			return
		}
		switch _, err := c.db.Commit(ctx, txn); {
		case err == nil:
			m.acked[n]++
		case errors.Is(err, kv.ErrCondition):
		default:
			c.fine("counting", err)
			return
		}
	}
}

// increment makes the transaction that counts from what is there up by one.
func (m *counter) increment(db *DB, key []byte, n int) (*kv.Txn, error) {
	p, err := db.Get(ctx, kv.GetRequest{Key: key, Want: kv.WantAll})
	guard := kv.Guard{Op: kv.ValueEquals, Key: key, Value: p.Value}
	switch {
	case errors.Is(err, kv.ErrNotFound):
		guard = kv.Guard{Op: kv.Absent, Key: key}
	case err != nil:
		return nil, err
	case m.byVersion:
		guard = kv.Guard{Op: kv.VersionEquals, Key: key, Stamp: p.Version}
	}
	value, _ := strconv.Atoi(string(p.Value))
	note := fmt.Appendf(nil, "counted/%d/%d/%03d", n, m.id, m.acked[n])
	return &kv.Txn{Guards: []kv.Guard{guard, {Op: kv.Absent, Key: note}}, Effects: []kv.Effect{
		{Op: kv.Put, Key: key, Value: strconv.AppendInt(nil, int64(value+1), 10)},
		{Op: kv.Put, Key: note, Value: strconv.AppendInt(nil, int64(value+1), 10)},
	}}, nil
}

func (m *counter) check(t *testing.T, db *DB) {
	for n, acked := range m.acked {
		value, _ := get(t, db, fmt.Sprint("counter/", n))
		notes, err := readPrefix(db, fmt.Sprintf("counted/%d/", n))
		if err != nil {
			t.Error(err)
		}
		own, seen := 0, map[string]bool{}
		for key, v := range notes {
			if key[0] == byte('0'+m.id) {
				own++
			}
			if seen[v] {
				t.Errorf("counter %d: two have counted to %s", n, v)
			}
			seen[v] = true
		}
		if v, _ := strconv.Atoi(value); v != len(notes) || own < acked || own > acked+1 {
			t.Errorf("counter %d is %d, %d have been written down, %d by member %d of %d acknowledged", n, v, len(notes), own, m.id, acked)
		}
	}
}

// A bank has accounts of which the sum never changes; its own work is to look.
type bank struct {
	mu     sync.Mutex
	opened bool
}

const accounts, fortune = 12, 1000

func account(i int) []byte { return fmt.Appendf(nil, "bank/%02d", i) }

func (b *bank) open(db *DB) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.opened {
		return nil
	}
	txn := &kv.Txn{}
	for i := range accounts {
		txn.Effects = append(txn.Effects, kv.Effect{Op: kv.Put, Key: account(i), Value: []byte(strconv.Itoa(fortune / accounts))})
	}
	_, err := db.Commit(ctx, txn)
	b.opened = err == nil
	return err
}

func (b *bank) work(c *crowd, rng *rand.Rand) {
	if !c.fine("opening the bank", b.open(c.db)) {
		return
	}
	for range steps * 2 {
		if !c.fine("bank", b.audit(c.t, c.db)) {
			return
		}
	}
}

// audit adds the accounts up, in one page.
func (b *bank) audit(t *testing.T, r kv.Reader) error {
	money, err := readPrefix(r, "bank/")
	if err != nil {
		return err
	}
	sum := 0
	for _, v := range money {
		n, _ := strconv.Atoi(v)
		sum += n
	}
	if sum != fortune/accounts*accounts || len(money) != accounts {
		t.Errorf("%d accounts hold %d", len(money), sum)
	}
	return nil
}

func (b *bank) check(t *testing.T, db *DB) {
	if money, _ := readPrefix(db, "bank/"); !b.opened && len(money) == 0 {
		return
	}
	if err := b.audit(t, db); err != nil {
		t.Error(err)
	}
}

// A teller carries money from one account to another.
type teller struct {
	bank *bank
	id   int
}

func (m *teller) work(c *crowd, rng *rand.Rand) {
	if !c.fine("opening the bank", m.bank.open(c.db)) {
		return
	}
	for range steps {
		if err := m.carry(c.db, rng.Perm(accounts)[:2]); !errors.Is(err, kv.ErrCondition) && !c.fine("teller", err) {
			return
		}
	}
}

func (m *teller) carry(db *DB, between []int) error {
	txn := &kv.Txn{}
	for i, sign := range []int{-1, 1} {
		key := account(between[i])
		p, err := db.Get(ctx, kv.GetRequest{Key: key, Want: kv.WantAll})
		if err != nil {
			return err
		}
		n, _ := strconv.Atoi(string(p.Value))
		txn.Guards = append(txn.Guards, kv.Guard{Op: kv.VersionEquals, Key: key, Stamp: p.Version})
		txn.Effects = append(txn.Effects, kv.Effect{Op: kv.Put, Key: key, Value: []byte(strconv.Itoa(n + sign))})
	}
	_, err := db.Commit(ctx, txn)
	return err
}

func (m *teller) check(*testing.T, *DB) {}

// A holder keeps files open that are deleted under it, and reads them to the end.
type holder struct{}

func (m *holder) work(c *crowd, rng *rand.Rand) {
	s, err := c.db.Session(ctx)
	if !c.fine("session", err) {
		return
	}
	for i := range steps / 2 {
		key := fmt.Appendf(nil, "held/%d", rng.Intn(3))
		value := bytes.Repeat([]byte{byte('a' + i%26)}, 100+rng.Intn(4000))
		if !c.fine("holder", m.hold(c.t, s, c.db, key, value, i%2 == 0)) {
			break
		}
	}
	c.fine("closing a session", s.Close())
}

func (m *holder) hold(t *testing.T, s kv.Session, db *DB, key, value []byte, unpin bool) error {
	put := &kv.Txn{Effects: []kv.Effect{{Op: kv.Put, Fresh: true, Key: key, Value: value}}}
	r, err := s.Commit(ctx, put)
	if err != nil {
		return err
	}
	if err := s.Pin(ctx, key, r.Version); err != nil {
		return err
	}
	if _, err := db.Commit(ctx, &kv.Txn{Effects: []kv.Effect{{Op: kv.DeletePrefix, Key: []byte("held/")}}}); err != nil {
		return err
	}
	orphan := kv.GetRequest{Space: kv.Orphan, Key: kv.OrphanKey(r.Version), Want: kv.WantAll}
	p, err := db.Get(ctx, orphan)
	if err != nil {
		return err
	}
	if !bytes.Equal(p.Value, value) {
		t.Errorf("an orphan has %d bytes %.10q, want %d bytes %.10q", len(p.Value), p.Value, len(value), value)
	}
	if !unpin {
		return nil
	}
	if err := s.Unpin(ctx, r.Version); err != nil {
		return err
	}
	if _, err := db.Get(ctx, orphan); !errors.Is(err, kv.ErrNotFound) {
		return fmt.Errorf("an orphan that is not pinned any more: %w", err)
	}
	return nil
}

func (m *holder) check(*testing.T, *DB) {}

// A photographer takes snapshots, which must not change while others write.
type photographer struct{}

func (m *photographer) work(c *crowd, rng *rand.Rand) {
	for range steps / 10 {
		s, err := c.db.Snapshot(ctx)
		if !c.fine("snapshot", err) {
			return
		}
		before, err := readAll(s)
		time.Sleep(time.Duration(rng.Intn(4)) * time.Millisecond)
		again, errAgain := readAll(s)
		s.Release()
		if !c.fine("snapshot", errors.Join(err, errAgain)) {
			return
		}
		if !equalPairs(before, again) {
			c.t.Error("a snapshot has changed")
		}
		time.Sleep(time.Duration(rng.Intn(4)) * time.Millisecond)
	}
}

func readAll(r kv.Reader) (map[string]string, error) {
	pairs := map[string]string{}
	for p, err := range kv.All(ctx, r, kv.ScanRequest{Want: kv.WantAll, Limit: 50, ValueBytes: 1 << 20}) {
		if err != nil {
			return nil, err
		}
		pairs[string(p.Key)] = string(p.Value)
	}
	return pairs, nil
}

func (m *photographer) check(*testing.T, *DB) {}
