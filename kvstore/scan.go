package kvstore

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"kivaloo/kvstore/delta"
	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
)

// Scan answers one page of pairs, all of one state.
func (db *DB) Scan(ctx context.Context, req kv.ScanRequest) (kv.ScanPage, error) {
	var out kv.ScanPage
	err := db.read(func(s *state) (err error) {
		out, err = db.scanFrom(ctx, s, &req)
		return err
	})
	return out, err
}

// A scanner fills one page of a scan.
type scanner struct {
	db    *DB
	s     *state
	c     *cursor
	req   *kv.ScanRequest
	out   kv.ScanPage
	start []byte // internal keys: start <= key < end
	end   []byte
	bytes int
}

func (db *DB) scanFrom(ctx context.Context, s *state, req *kv.ScanRequest) (kv.ScanPage, error) {
	if len(req.Start) > kv.KeyBytesMax+1 || len(req.End) > kv.KeyBytesMax+1 {
		return kv.ScanPage{}, fmt.Errorf("scan from a key of %d bytes to one of %d: %w", len(req.Start), len(req.End), kv.ErrTooLarge)
	}
	if len(req.Delimiter) > 1 || min(req.Skip, req.Limit, req.Bytes, req.ValueBytes) < 0 {
		return kv.ScanPage{}, fmt.Errorf("scan with a delimiter of %d bytes, or a negative limit: %w", len(req.Delimiter), kv.ErrInvalid)
	}
	sc := &scanner{db: db, s: s, c: s.cursor(db.cache), req: req, start: appendKey(nil, kv.User, req.Start)}
	sc.end = []byte{userSpace + 1}
	if req.End != nil {
		sc.end = appendKey(nil, kv.User, req.End)
	}
	if bytes.Compare(sc.start, sc.end) >= 0 {
		return kv.ScanPage{}, nil
	}
	err := sc.run(ctx, &sc.out)
	return sc.out, err
}

// bound answers a limit of the page: what was asked for, within the maximum.
func bound(asked, most int) int {
	if asked <= 0 || asked > most {
		return most
	}
	return asked
}

// run walks until the page is full or the range ends.
func (sc *scanner) run(ctx context.Context, out *kv.ScanPage) error {
	entriesMax, bytesMax := bound(sc.req.Limit, kv.ScanEntriesMax), bound(sc.req.Bytes, kv.ScanBytesMax)
	ok, err := sc.first()
	for ok && err == nil && sc.inside() {
		if len(out.Entries) >= entriesMax || sc.bytes >= bytesMax || ctx.Err() != nil && len(out.Entries) > 0 {
			sc.more(out)
			return nil
		}
		n := 0
		if n, err = sc.takeRun(out, entriesMax, bytesMax); n > 0 && err == nil {
			ok, err = sc.c.skip(n)
			continue
		}
		if err == nil {
			err = sc.take(out, bytesMax)
		}
		if err != nil || out.More {
			return err
		}
		ok, err = sc.advance()
	}
	return err
}

// takeRun adds pairs that lie side by side in a leaf and are whole there, as most
// are, while they fit. It answers how many.
func (sc *scanner) takeRun(out *kv.ScanPage, entriesMax, bytesMax int) (int, error) {
	if sc.req.Reverse || len(sc.req.Delimiter) > 0 || sc.req.Want&kv.WantStamps != 0 {
		return 0, nil
	}
	leaf, from, to := sc.c.run(sc.end)
	to = min(to, from+entriesMax-len(out.Entries))
	out.Entries = slices.Grow(out.Entries, sc.guess(out, to-from, entriesMax))
	most := bound(sc.req.ValueBytes, kv.InlineBytesMax)
	for i := from; i < to; i++ {
		key := leaf.Key(i)
		value, flags := leaf.Value(i)
		size := len(key)
		if sc.req.Want&kv.WantValue != 0 {
			size += len(value)
		}
		if flags != 0 || len(value) > most || sc.bytes+size > bytesMax {
			return i - from, nil
		}
		sc.bytes += size
		entry := kv.Pair{Key: key, Size: int64(len(value))}
		if sc.req.Want&kv.WantValue != 0 {
			entry.Value = value
		}
		out.Entries = append(out.Entries, entry)
	}
	return max(0, to-from), nil
}

// guess is for how many entries room is made: those of a run, or, after the first,
// as many as the page may come to at this rate.
func (sc *scanner) guess(out *kv.ScanPage, run, entriesMax int) int {
	n := len(out.Entries)
	if n == 0 || sc.bytes == 0 {
		return max(0, run)
	}
	if n+run <= cap(out.Entries) {
		return 0
	}
	bytesMax := bound(sc.req.Bytes, kv.ScanBytesMax)
	return max(run, min(entriesMax-n, n*(bytesMax-sc.bytes)/sc.bytes+1))
}

func (sc *scanner) first() (bool, error) {
	if sc.req.Reverse {
		return sc.c.seekBefore(sc.end)
	}
	return sc.c.seek(sc.start)
}

// inside says whether the cursor is still in the range.
func (sc *scanner) inside() bool {
	if sc.req.Reverse {
		return bytes.Compare(sc.c.key(), sc.start) >= 0
	}
	return bytes.Compare(sc.c.key(), sc.end) < 0
}

// more ends the page before the current pair.
func (sc *scanner) more(out *kv.ScanPage) {
	out.More = true
	key := sc.c.key()[1:]
	if !sc.req.Reverse {
		out.Next = bytes.Clone(key)
		return
	}
	// The end is exclusive, and the least key above this one is one zero longer.
	out.Next = append(bytes.Clone(key), 0)
	if n, ok := sc.prefix(); ok {
		out.Next = kv.PrefixEnd(key[:n])
	}
}

// prefix answers the length of the prefix that the current key is listed by.
func (sc *scanner) prefix() (int, bool) {
	key := sc.c.key()[1:]
	if len(sc.req.Delimiter) == 0 || len(key) < sc.req.Skip {
		return 0, false
	}
	i := bytes.IndexByte(key[sc.req.Skip:], sc.req.Delimiter[0])
	return sc.req.Skip + i + 1, i >= 0
}

// take adds the current pair, or the prefix that stands for it.
func (sc *scanner) take(out *kv.ScanPage, bytesMax int) error {
	entry := kv.Pair{}
	if n, ok := sc.prefix(); ok {
		entry.Key, entry.Prefix = bytes.Clone(sc.c.key()[1:1+n]), true
	} else if err := sc.pair(&entry); err != nil {
		return err
	}
	size := len(entry.Key) + len(entry.Value) + len(entry.Meta)
	if sc.bytes+size > bytesMax && len(out.Entries) > 0 {
		sc.more(out)
		return nil
	}
	sc.bytes += size
	out.Entries = append(out.Entries, entry)
	return nil
}

func (sc *scanner) pair(entry *kv.Pair) error {
	stamps := sc.req.Want&kv.WantStamps != 0
	p, err := sc.c.pair(stamps)
	if err == nil && p.flags&delta.Link != 0 {
		p, err = sc.s.follow(sc.db.cache, &p, stamps)
	}
	if err != nil {
		return err
	}
	if *entry, err = p.toKV(sc.c.keyToKeep(), sc.req.Want); err != nil {
		return err
	}
	if sc.req.Want&kv.WantValue == 0 {
		return nil
	}
	most := min(int64(sc.req.ValueBytes), kv.GetBytesMax)
	if most <= 0 {
		most = kv.InlineBytesMax
	}
	entry.Value, err = readValue(&p, 0, most, func(b *item.Blob, number uint32) ([]byte, error) {
		return sc.db.chunkOf(sc.s, b, number, nil)
	})
	return err
}

// advance goes to the next entry: after a prefix, over everything below it.
func (sc *scanner) advance() (bool, error) {
	n, ok := sc.prefix()
	if !ok {
		return sc.c.next()
	}
	prefix := bytes.Clone(sc.c.key()[:1+n])
	if sc.req.Reverse {
		return sc.c.seekBefore(prefix)
	}
	end := kv.PrefixEnd(prefix)
	return sc.c.seek(end)
}
