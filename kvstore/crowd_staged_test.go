package kvstore

import (
	"bytes"
	"fmt"
	"math/rand"
	"sync"
	"testing"

	"kivaloo/kvstore/kv"
	"kivaloo/lbs/disk/crashdisk"
)

// A stager writes a value ahead in pieces, sometimes long before it is named.
type stager struct {
	id    int
	acked []byte
	next  []byte
}

func (m *stager) key() []byte { return fmt.Appendf(nil, "staged/%d", m.id) }

func (m *stager) work(c *crowd, rng *rand.Rand) {
	s, err := c.db.Session(ctx)
	if !c.fine("session", err) {
		return
	}
	defer s.Close()
	for i := range steps / 8 {
		if !c.fine("stager", m.write(c, s, rng, byte('a'+i%26))) {
			return
		}
	}
}

func (m *stager) write(c *crowd, s kv.Session, rng *rand.Rand, fill byte) error {
	var pieces []kv.Staged
	m.next = nil
	for i := range 1 + rng.Intn(3) {
		data := bytes.Repeat([]byte{fill + byte(i)}, kv.ChunkBytes)
		if i == 2 {
			data = data[:1000]
		}
		p, err := s.Stage(ctx, data)
		if err != nil {
			return err
		}
		pieces, m.next = append(pieces, p), append(m.next, data...)
	}
	if rng.Intn(4) == 0 {
		s.Unstage(pieces)
		return nil
	}
	if _, err := s.Commit(ctx, &kv.Txn{Effects: []kv.Effect{{Op: kv.Put, Key: m.key(), Staged: pieces}}}); err != nil {
		return err
	}
	m.acked = m.next
	return m.compare(c.t, c.db, m.key(), m.acked)
}

func (m *stager) compare(t *testing.T, db *DB, key, want []byte) error {
	p, err := db.Get(ctx, kv.GetRequest{Key: key, Want: kv.WantAll})
	if err == nil && !bytes.Equal(p.Value, want) {
		t.Errorf("%s has %d bytes %.10q, want %d bytes %.10q", key, len(p.Value), p.Value, len(want), want)
	}
	return err
}

func (m *stager) check(t *testing.T, db *DB) { checkEither(t, db, m.key(), m.acked, m.next) }

// checkEither wants a key to have one of two values; none is none.
func checkEither(t *testing.T, db *DB, key, acked, next []byte) {
	value, ok := get(t, db, string(key))
	if ok && (value == string(acked) || value == string(next)) {
		return
	}
	if ok || acked != nil {
		t.Errorf("%s has %d bytes %.10q (%v), want %d bytes %.10q or %d bytes %.10q",
			key, len(value), value, ok, len(acked), acked, len(next), next)
	}
}

// A hugeWriter commits values that are written ahead in several appends.
type hugeWriter struct{ acked, next []byte }

var hugeKey = []byte("huge")

func (m *hugeWriter) work(c *crowd, rng *rand.Rand) {
	for i := range steps / 20 {
		m.next = bytes.Repeat([]byte{byte('0' + i)}, stageValueBytes*3+rng.Intn(1000))
		if _, err := c.db.Commit(ctx, &kv.Txn{Effects: []kv.Effect{{Op: kv.Put, Key: hugeKey, Value: m.next}}}); !c.fine("huge", err) {
			return
		}
		m.acked = m.next
		if got, err := c.db.Get(ctx, kv.GetRequest{Key: hugeKey, Want: kv.WantAll}); !c.fine("huge", err) {
			return
		} else if !bytes.Equal(got.Value, m.acked) {
			c.t.Errorf("huge has %d bytes %.10q, want %d bytes %.10q", len(got.Value), got.Value, len(m.acked), m.acked)
		}
	}
}

func (m *hugeWriter) check(t *testing.T, db *DB) { checkEither(t, db, hugeKey, m.acked, m.next) }

// TestLargeValueIsHeldWhileItIsWritten: a value of several megabytes goes to the
// log in several appends before the commit that names it. What was written first
// was held from being freed only once all of it was there, so that a checkpoint
// which others' commits had brought on in between freed it, and the commit was
// acknowledged over a hole. The writer takes the hold with the append now.
func TestLargeValueIsHeldWhileItIsWritten(t *testing.T) {
	db, err := Open(ctx, crashOptions(crashdisk.New(1)))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				set(t, db, fmt.Sprint("small", i%20), string(make([]byte, 1500)))
			}
		}
	}()
	for i := range 6 {
		want := bytes.Repeat([]byte{byte('a' + i)}, 6*stageValueBytes)
		set(t, db, "large", string(want))
		if v, _ := get(t, db, "large"); v != string(want) {
			t.Errorf("round %d: %d bytes %.10q", i, len(v), v)
		}
	}
	close(stop)
	<-done
}

// TestStagingDoesNotKeepACheckpointOut: the writer does what needs a moment between
// two batches (a checkpoint's freeze, a watch's beginning, closing) when it has
// nothing to flush. With several sessions that staged one piece after the other
// there was always something: no checkpoint began, the log grew without end, and
// Close never returned.
func TestStagingDoesNotKeepACheckpointOut(t *testing.T) {
	defer watchdog(t, "sessions that stage")()
	o := crashOptions(crashdisk.New(1))
	o.SegmentBytesMin, o.SegmentBytesMax = 4<<20, 4<<20
	db, err := Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	stop, begun := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { stageUntil(t, db, begun, stop) })
	}
	for range 8 {
		<-begun
	}
	for range 20 {
		if err := db.queue.control(func(*writer) {}); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	all.Wait()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func stageUntil(t *testing.T, db *DB, begun chan<- struct{}, stop <-chan struct{}) {
	s, err := db.Session(ctx)
	if err != nil {
		t.Error(err)
		return
	}
	defer s.Close()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		if n == 2 {
			begun <- struct{}{}
		}
		p, err := s.Stage(ctx, make([]byte, kv.ChunkBytes))
		if err != nil {
			t.Error(err)
			return
		}
		s.Unstage([]kv.Staged{p})
	}
}
