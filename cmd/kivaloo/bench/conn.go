package bench

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"kivaloo/cmd/kivaloo/bench/pairs"
	"kivaloo/mux/wire"
)

const (
	// inBytes is read at once: the answers of several thousand requests.
	inBytes = 256 << 10
	// outBytes of requests are gathered before they are written: what a unix
	// socket takes at once without blocking.
	outBytes = 64 << 10
	// answerMax is the longest answer to anything but RANGE.
	answerMax = 4 + 1 + wire.StringMax
	// rangeSlack is what a RANGE answer has beyond the bytes of keys and values:
	// its head, and two bytes a pair, which may be as short as nothing.
	rangeSlack = 1 << 20
	// silenceMax is how long a server may say nothing while requests are waiting.
	silenceMax = 60 * time.Second
	// eagerness is the part of the window that must be free before more is sent,
	// so that requests travel in company.
	eagerness = 16
)

// A conn is one connection: requests go out in large writes, answers come in by
// large reads, and neither allocates. Its owner is run, or extract.
type conn struct {
	nc         net.Conn
	out        []byte
	in         []byte
	start, end int // of what is unread, in in
	pairs      []wire.Pair
}

// A flight is a share on its way through a connection.
type flight struct {
	*share
	conn   *conn
	window *window
	// total is how many operations there are, once the last is about to be sent.
	total     atomic.Uint64
	answered  uint64
	freed     []uint32
	latencies []time.Duration
}

const totalUnknown = 1<<64 - 1

// run carries out a share: one goroutine sends, this one receives.
func (c *conn) run(s *share) error {
	f := &flight{share: s, conn: c, window: newWindow(s.depth)}
	f.total.Store(totalUnknown)
	var sender sync.WaitGroup
	var sendErr error
	sender.Go(func() { sendErr = f.send() })
	err := f.receive()
	if err != nil {
		f.window.fail(err)
		c.nc.Close() // the sender may be waiting for a server that no longer reads
	}
	sender.Wait()
	s.addLatencies(f.latencies)
	if err == nil {
		err = sendErr
	}
	return err
}

// send sends all operations of the share.
func (f *flight) send() error {
	var ids []uint32
	atLeast := max(1, f.depth/eagerness)
	if f.pace == batches {
		atLeast = f.depth
	}
	for last := false; !last; {
		var err error
		if ids, err = f.window.take(ids[:0], atLeast); err != nil {
			return nil // receive knows it
		}
		var n int
		if n, last = f.next(len(ids)); last {
			f.total.Store(f.sent + uint64(n))
		}
		if err := f.sendAll(ids[:n]); err != nil {
			return err
		}
	}
	return nil
}

func (f *flight) sendAll(ids []uint32) error {
	for _, id := range ids {
		f.encode(id)
		if len(f.conn.out) >= outBytes {
			if err := f.conn.write(); err != nil {
				return err
			}
		}
	}
	return f.conn.write()
}

// encode appends the request of the next operation, whose ID is its slot.
func (f *flight) encode(id uint32) {
	slot := f.window.begin(id, f.share)
	pair := &f.data.Pairs[slot.op.pair]
	req := wire.Request{ID: uint64(id), Type: wire.Get, Key: pair.Key[:]}
	var value [pairs.Bytes]byte
	switch slot.op.kind {
	case put:
		f.data.fill(&value, slot.op.pair, slot.version)
		req.Type, req.Value = wire.Set, value[:]
	case remove:
		req.Type = wire.Delete
	}
	f.conn.out, _ = wire.AppendRequest(f.conn.out, &req) // which fails for longer strings only
}

func (c *conn) write() error {
	_, err := c.nc.Write(c.out)
	c.out = c.out[:0]
	return err
}

// receive takes answers until all operations are answered.
func (f *flight) receive() error {
	for {
		if f.answered == f.total.Load() {
			return nil
		}
		if err := f.conn.read(); err != nil {
			return cut(err)
		}
		if err := f.takeAnswers(); err != nil {
			return err
		}
	}
}

// cut says what the end of a connection means: answers are missing.
func cut(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return wrongf("no answer for %v, with requests unanswered", silenceMax)
	case errors.Is(err, io.EOF):
		return wrongf("the server has ended the connection, with requests unanswered")
	}
	return wrongf("the connection was lost, with requests unanswered: %v", err)
}

// takeAnswers takes all whole answers that were read.
func (f *flight) takeAnswers() error {
	now := time.Time{}
	if f.pace == writers {
		now = time.Now()
	}
	f.freed = f.freed[:0]
	for {
		p, ok, err := f.conn.packet(answerMax)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if err := f.answer(p, now); err != nil {
			return err
		}
	}
	f.answered += uint64(len(f.freed))
	f.done.Add(uint64(len(f.freed)))
	f.window.give(f.freed...)
	return nil
}

// answer takes one answer, which must be what the operation in its slot was to get.
func (f *flight) answer(p wire.Packet, now time.Time) error {
	if p.ID >= uint64(len(f.window.slots)) || !f.window.slots[p.ID].busy {
		return wrongf("an answer to request %d, which was not sent", p.ID)
	}
	slot := &f.window.slots[p.ID]
	slot.busy = false
	f.freed = append(f.freed, uint32(p.ID))
	if f.pace == writers {
		f.latencies = append(f.latencies, now.Sub(slot.sent))
	}
	if slot.op.kind == read {
		return f.checkValue(slot, p)
	}
	status, err := wire.DecodeStatus(p.Record)
	if err != nil || status != wire.StatusDone {
		return wrongf("a write was answered with %x", p.Record)
	}
	f.data.acknowledge(slot.op.pair, slot.version)
	return nil
}

func (f *flight) checkValue(slot *slot, p wire.Packet) error {
	value, found, err := wire.DecodeValue(p.Record)
	if err != nil {
		return wrongf("%v", err)
	}
	return f.checkRead(value, found, slot.op.pair, slot.version)
}

// read waits for more bytes.
func (c *conn) read() error {
	if c.start > 0 {
		c.end = copy(c.in, c.in[c.start:c.end])
		c.start = 0
	}
	if c.end == len(c.in) {
		c.in = append(c.in, make([]byte, len(c.in))...)
	}
	c.nc.SetReadDeadline(time.Now().Add(silenceMax))
	n, err := c.nc.Read(c.in[c.end:])
	c.end += n
	if n > 0 {
		return nil
	}
	return err
}

// packet answers the next whole packet that was read, if there is one. It is
// valid until read is called.
func (c *conn) packet(recordMax int) (wire.Packet, bool, error) {
	p, n, err := wire.Next(c.in[c.start:c.end], recordMax)
	if err != nil {
		return p, false, fmt.Errorf("%w: %w", ErrWrong, err)
	}
	c.start += n
	return p, n > 0, nil
}

// await waits for a packet.
func (c *conn) await(recordMax int) (wire.Packet, error) {
	for {
		p, ok, err := c.packet(recordMax)
		if ok || err != nil {
			return p, err
		}
		if err := c.read(); err != nil {
			return p, cut(err)
		}
	}
}
