package mux

import (
	"bytes"
	"errors"
	"fmt"

	"kivaloo/kvstore/kv"
	"kivaloo/mux/wire"
)

const (
	// putBytes of answers are gathered before they are queued, so that the sender
	// starts while the rest is being read.
	putBytes = 16 << 10
	// rangeBytesMax bounds the pairs of one RANGE. More bytes at once gain
	// nothing, and a client reads on from next.
	rangeBytesMax = 64 << 10
	// rangePairsMax bounds the number of tiny ones.
	rangePairsMax = 4096
)

// The largest put: almost putBytes, and a RANGE whose last pair is beyond its
// limit. connBytesMin has to hold it.
const _ = uint(connBytesMin - putBytes - rangeBytesMax - 2*rangePairsMax - wire.PairMax - wire.RangeOverhead - wire.PacketOverhead)

// errTooLong: a pair that protocol v1 cannot carry. It is never skipped or cut.
var errTooLong = errors.New("a pair is beyond the 255 bytes that protocol v1 carries")

// tooLong names the pair: the log is the only place where its key can be said.
func tooLong(pair *kv.Pair) error {
	return fmt.Errorf("%w: key %.*q has %d, its value %d", errTooLong, wire.StringMax, pair.Key, len(pair.Key), pair.Size)
}

// answerReads answers the reads that gather noted.
func (c *conn) answerReads() error {
	if len(c.in.reads) == 0 {
		return nil
	}
	answers, err := newBuffer(), error(nil)
	c.gets = getsPool.Get().(*gets)
	for _, at := range c.in.reads {
		if answers, err = c.answerRead(answers, c.in.buffer()[at.start:at.end]); err != nil {
			break
		}
		answers = c.putFull(answers)
	}
	if err == nil {
		answers, err = c.answerGets(answers)
	}
	c.gets.recycle()
	c.gets = nil
	c.out.put(answers)
	recycle(answers)
	return err
}

// putFull queues answers once there are many of them.
func (c *conn) putFull(answers []byte) []byte {
	if len(answers) < putBytes {
		return answers
	}
	c.out.put(answers)
	return answers[:0]
}

// answerRead appends the answer of one read, or, as GETs are looked up together,
// those of the GETs before it. Its packet was checked by gather.
func (c *conn) answerRead(dst, raw []byte) ([]byte, error) {
	req, err := wire.DecodeRequest(wire.Open(raw))
	if err != nil {
		return dst, err
	}
	if req.Type == wire.Get {
		if c.gets.add(&req); c.gets.n < getsMax {
			return dst, nil
		}
		return c.answerGets(dst)
	}
	if dst, err = c.answerGets(dst); err != nil {
		return dst, err
	}
	if req.Type == wire.Params {
		return wire.AppendParams(dst, req.ID, wire.StringMax, wire.StringMax), nil
	}
	// A RANGE may be long: what is before it is not added to it.
	dst = c.putFull(dst)
	done, err := c.scan(dst, &req)
	if err != nil {
		return dst, c.storeFailed(req.Type, err)
	}
	return done, nil
}

func (c *conn) scan(dst []byte, req *wire.Request) ([]byte, error) {
	if len(req.End) > 0 && bytes.Compare(req.Key, req.End) >= 0 {
		return wire.End(wire.BeginRange(dst, req.ID, 0, req.End), len(dst)), nil
	}
	page, err := c.page(req)
	if err != nil {
		return dst, err
	}
	count, next, err := c.sayable(page, rangeBytes(req), req.End)
	if err != nil {
		return dst, err
	}
	start := len(dst)
	dst = wire.BeginRange(dst, req.ID, count, next)
	for _, pair := range page.Entries[:count] {
		dst = wire.AppendPair(dst, pair.Key, pair.Value)
	}
	return wire.End(dst, start), nil
}

// page scans until there is something to answer.
func (c *conn) page(req *wire.Request) (kv.ScanPage, error) {
	scan := kv.ScanRequest{
		Start: req.Key,
		End:   endOf(req.End),
		Limit: rangePairsMax,
		// One pair more than is answered: next is its key, as the original's is.
		Bytes:      rangeBytes(req) + wire.PairMax,
		Want:       kv.WantValue,
		ValueBytes: wire.StringMax,
	}
	for {
		page, err := c.srv.store.Scan(c.srv.ctx, scan)
		if err != nil || len(page.Entries) > 0 || !page.More {
			return page, err
		}
		scan.Start = page.Next
	}
}

// rangeBytes is how many bytes of pairs a RANGE may answer.
func rangeBytes(req *wire.Request) int { return int(min(req.Max, rangeBytesMax)) }

// endOf translates the end of a RANGE, where empty means beyond every key.
func endOf(end []byte) []byte {
	if len(end) == 0 {
		return nil
	}
	return end
}

// sayable answers how many pairs of the page can be sent, and the next that goes
// with them: every pair of the store before next is among them.
func (c *conn) sayable(page kv.ScanPage, bytesMax int, end []byte) (count int, next []byte, err error) {
	count = fitting(page.Entries, bytesMax)
	switch {
	case count < len(page.Entries):
		next = page.Entries[count].Key
	case page.More:
		next = page.Next
	default:
		return count, end, nil
	}
	if count == 0 {
		return 0, nil, tooLong(&page.Entries[0])
	}
	if short, ok := separator(page.Entries[count-1].Key, next); ok {
		return count, short, nil
	}
	if count > 1 { // leave the last one to the next RANGE
		return count - 1, page.Entries[count-1].Key, nil
	}
	return c.lookAhead(page.Entries[0].Key, next, end)
}

// lookAhead finds a next for a single pair with a full key, which the store says
// is followed by a longer one. It may only have meant "the first key after".
func (c *conn) lookAhead(last, from, end []byte) (count int, next []byte, err error) {
	page, err := c.srv.store.Scan(c.srv.ctx, kv.ScanRequest{Start: from, End: endOf(end), Limit: 1})
	if err != nil {
		return 0, nil, err
	}
	if len(page.Entries) == 0 {
		return 1, end, nil
	}
	if short, ok := separator(last, page.Entries[0].Key); ok {
		return 1, short, nil
	}
	return 0, nil, tooLong(&page.Entries[0])
}

// fitting counts the pairs before the first that cannot be sent or goes beyond
// the limit. The first one may.
func fitting(pairs []kv.Pair, bytesMax int) int {
	total := 0
	for i, pair := range pairs {
		total += len(pair.Key) + len(pair.Value)
		if len(pair.Key) > wire.StringMax || pair.Size > wire.StringMax || i > 0 && total > bytesMax {
			return i
		}
	}
	return len(pairs)
}

// separator is a key that fits, above last and not above next: next itself, or
// its beginning. There is none when next begins with last, which is full.
func separator(last, next []byte) ([]byte, bool) {
	short := next[:min(len(next), wire.StringMax)]
	return short, bytes.Compare(short, last) > 0
}
