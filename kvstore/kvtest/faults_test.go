package kvtest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"kivaloo/kvstore/kv"
)

// A fault is something wrong that a store might do. What is nil is done right.
type fault struct {
	name   string
	by     string // the beginning of the names of the tests that must see it
	byHand bool   // and the random operations cannot be expected to

	before  func(m *faulty, txn *kv.Txn)                                    // changes what is committed
	after   func(m *faulty, txn *kv.Txn, result *kv.Result, err error)      // harms the state, or the answer
	refused func(m *faulty, txn *kv.Txn, at *kv.ConditionError) (err error) // answers instead
	get     func(m *faulty, req *kv.GetRequest, p *kv.Pair)
	ask     func(req *kv.ScanRequest)
	page    func(req *kv.ScanRequest, page *kv.ScanPage)
	again   func(old *faulty, next *Model) // harms what is opened again
	store   func(s *faulty) kv.Store       // wraps the whole store
}

// A faulty is a Model with a fault.
type faulty struct {
	*Model
	*fault
	previous state // before the last transaction
}

func (f *faulty) Commit(ctx context.Context, txn *kv.Txn) (kv.Result, error) {
	f.mu.Lock()
	f.previous = f.state
	f.mu.Unlock()
	asked := kv.Txn{Guards: slices.Clone(txn.Guards), Effects: slices.Clone(txn.Effects)}
	if f.before != nil {
		f.before(f, &asked)
	}
	result, err := f.Model.Commit(ctx, &asked)
	var at *kv.ConditionError
	if f.refused != nil && errors.As(err, &at) {
		err = f.refused(f, txn, at)
	}
	if f.after != nil {
		f.after(f, txn, &result, err)
	}
	return result, err
}

func (f *faulty) Get(ctx context.Context, req kv.GetRequest) (kv.Pair, error) {
	p, err := f.Model.Get(ctx, req)
	if err == nil && f.get != nil {
		f.get(f, &req, &p)
	}
	return p, err
}

func (f *faulty) Scan(ctx context.Context, req kv.ScanRequest) (kv.ScanPage, error) {
	if f.ask != nil {
		f.ask(&req)
	}
	page, err := f.Model.Scan(ctx, req)
	if err == nil && f.page != nil {
		f.page(&req, &page)
	}
	return page, err
}

// harm changes what a key leads to, with no stamp and no word to anybody.
func (f *faulty) harm(key []byte, do func(b *body)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.state.find(name{kv.User, string(key)})
	if old == nil {
		return
	}
	next := *old
	next.value = bytes.Clone(old.value)
	do(&next)
	f.state.replace(old, &next)
}

// endBelow ends all values that had a name with the prefix.
func (f *faulty) endBelow(prefix string) {
	for _, key := range f.previous.below(prefix) {
		for _, n := range f.previous.find(name{kv.User, key}).names {
			if f.state.find(n) != nil {
				f.state.replace(f.state.find(n), nil)
			}
		}
	}
}

// afterEach harms the pair that an effect of some kind has left.
func afterEach(op kv.EffectOp, do func(e *kv.Effect, b *body)) func(*faulty, *kv.Txn, *kv.Result, error) {
	return func(f *faulty, txn *kv.Txn, _ *kv.Result, err error) {
		for i := range txn.Effects {
			e := &txn.Effects[i]
			if err == nil && e.Op == op && e.Space == kv.User {
				key := e.Key
				if e.Op == kv.Move {
					key = e.To
				}
				f.harm(key, func(b *body) { do(e, b) })
			}
		}
	}
}

// instead changes the effects of some kind before they are carried out.
func instead(op kv.EffectOp, do func(e *kv.Effect)) func(*faulty, *kv.Txn) {
	return func(_ *faulty, txn *kv.Txn) {
		for i := range txn.Effects {
			if txn.Effects[i].Op == op {
				do(&txn.Effects[i])
			}
		}
	}
}

var faults = slices.Concat(valueFaults, nameFaults, txnFaults, readFaults, restartFaults, otherFaults)

var valueFaults = []fault{
	{name: "put changes the birth", by: "stamps/put over", after: afterEach(kv.Put, func(e *kv.Effect, b *body) { b.birth = b.version })},
	{name: "put forgets the metadata", by: "stamps/put", after: afterEach(kv.Put, func(e *kv.Effect, b *body) { b.meta = nil })},
	{name: "put keeps the metadata though fresh", by: "stamps/fresh put", before: instead(kv.Put, func(e *kv.Effect) { e.Fresh = false })},
	{name: "put ignores the birth brought", before: instead(kv.Put, func(e *kv.Effect) { e.Birth = 0 }), by: "stamps/", byHand: true},
	{name: "put ignores the modified brought", by: "stamps/put bringing", before: instead(kv.Put, func(e *kv.Effect) { e.Modified = 0 })},
	{name: "put cuts what is just too long to lie inline", by: "effect/put/", after: afterEach(kv.Put, func(e *kv.Effect, b *body) {
		if len(b.value) == kv.InlineBytesMax+1 {
			b.value = b.value[:kv.InlineBytesMax]
		}
	})},
	{name: "put keeps the caller's buffer", by: "limit/buffers", byHand: true, after: afterEach(kv.Put, func(e *kv.Effect, b *body) {
		if len(e.Staged) == 0 {
			b.value = e.Value
		}
	})},
	{name: "patch loses the first byte of a chunk", by: "effect/patch/", after: afterEach(kv.Patch, func(e *kv.Effect, b *body) {
		if len(b.value) > kv.ChunkBytes {
			b.value[kv.ChunkBytes] = 0
		}
	})},
	{name: "patch of nothing grows", after: afterEach(kv.Patch, func(e *kv.Effect, b *body) {
		if n := int(e.Offset) - len(b.value); len(e.Value)+len(e.Staged) == 0 && n > 0 {
			b.value = append(b.value, make([]byte, n)...)
		}
	}), by: "effect/patch/", byHand: true},
	{name: "patch leaves modified alone", by: "stamps/patch", after: afterEach(kv.Patch, func(e *kv.Effect, b *body) { b.modified = b.birth })},
	{name: "truncate does not zero", by: "effect/truncate/", after: afterEach(kv.Truncate, func(e *kv.Effect, b *body) {
		if n := len(b.value); n > 0 && b.value[n-1] == 0 {
			b.value[n-1] = 'x'
		}
	})},
	{name: "punch changes the size", by: "effect/punch/", after: afterEach(kv.Punch, func(e *kv.Effect, b *body) {
		if end := e.Offset + e.Length; end > int64(len(b.value)) {
			b.value = resized(b.value, end)
		}
	})},
	{name: "set meta leaves the version alone", by: "stamps/set meta", after: afterEach(kv.SetMeta, func(e *kv.Effect, b *body) { b.version = b.modified })},
	{name: "set meta leaves a pair brought", by: "stamps/set meta", after: afterEach(kv.SetMeta, func(e *kv.Effect, b *body) { b.brought = true })},
	{name: "long keys are cut", by: "limit/keys", byHand: true, before: instead(kv.Put, func(e *kv.Effect) { e.Key = e.Key[:min(len(e.Key), 4000)] })},
}

var nameFaults = []fault{
	{name: "move forgets the metadata", by: "stamps/move", after: afterEach(kv.Move, func(e *kv.Effect, b *body) { b.meta = nil })},
	{name: "move is a new birth", by: "stamps/move", after: afterEach(kv.Move, func(e *kv.Effect, b *body) { b.birth = b.version })},
	{name: "move leaves the version alone", by: "stamps/move", after: afterEach(kv.Move, func(e *kv.Effect, b *body) { b.version = b.modified })},
	{name: "move copies", by: "effect/move/", after: func(f *faulty, txn *kv.Txn, _ *kv.Result, err error) {
		for _, e := range txn.Effects {
			if b := f.peek(string(e.To)); err == nil && e.Op == kv.Move && b != nil {
				f.mu.Lock()
				f.state.replace(nil, &body{value: b.value, names: []name{{kv.User, string(e.Key)}}})
				f.mu.Unlock()
			}
		}
	}},
	{name: "delete prefix takes the next key too", by: "effect/prefix/delete", before: func(_ *faulty, txn *kv.Txn) {
		for _, e := range txn.Effects {
			if end := kv.PrefixEnd(e.Key); e.Op == kv.DeletePrefix && end != nil && len(txn.Effects) < 10 {
				txn.Effects = append(txn.Effects, del(string(end)))
			}
		}
	}},
	{name: "delete prefix leaves the prefix itself", by: "effect/prefix/delete", before: instead(kv.DeletePrefix, func(e *kv.Effect) { e.Key = append(bytes.Clone(e.Key), 0) })},
	{name: "delete prefix forgets pins", by: "orphan/delete prefix", after: func(f *faulty, txn *kv.Txn, _ *kv.Result, err error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, e := range txn.Effects {
			if e.Op == kv.DeletePrefix {
				f.state.spaces[kv.Orphan] = f.previous.spaces[kv.Orphan]
			}
		}
	}},
	{name: "links are copies", by: "effect/link/", before: instead(kv.Link, func(e *kv.Effect) {
		e.Op, e.Length = kv.CopyRange, kv.ValueBytesMax
	})},
	{name: "a prefix takes values along that have other names", by: "effect/link/several/", after: func(f *faulty, txn *kv.Txn, _ *kv.Result, err error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for i := range txn.Effects {
			if err == nil && txn.Effects[i].Op == kv.DeletePrefix {
				f.endBelow(string(txn.Effects[i].Key))
			}
		}
	}},
}

var txnFaults = []fault{
	{name: "a failed guard still applies an effect", by: "guard/", refused: func(f *faulty, txn *kv.Txn, at *kv.ConditionError) error {
		if at.Guard >= 0 {
			f.Model.Commit(context.Background(), &kv.Txn{Effects: txn.Effects[:min(1, len(txn.Effects))]})
		}
		return at
	}},
	{name: "a failed effect leaves those before it", by: "effect/txn/", refused: func(f *faulty, txn *kv.Txn, at *kv.ConditionError) error {
		if at.Effect > 0 {
			f.Model.Commit(context.Background(), &kv.Txn{Effects: txn.Effects[:at.Effect]})
		}
		return at
	}},
	{name: "another guard is reported", by: "guard/", refused: func(_ *faulty, txn *kv.Txn, at *kv.ConditionError) error {
		if at.Guard >= 0 {
			return &kv.ConditionError{Guard: len(txn.Guards) - 1, Effect: -1}
		}
		return at
	}},
	{name: "a key that is taken is reported as missing", by: "effect/link/", refused: func(_ *faulty, _ *kv.Txn, at *kv.ConditionError) error {
		return &kv.ConditionError{Guard: at.Guard, Effect: at.Effect}
	}},
	{name: "guards compare the beginnings of values", by: "guard/long value", byHand: true, before: func(f *faulty, txn *kv.Txn) {
		for i := range txn.Guards {
			g := &txn.Guards[i]
			b := f.peek(string(g.Key))
			if g.Op == kv.ValueEquals && b != nil && len(g.Value) > 255 && bytes.HasPrefix(b.value, g.Value[:255]) {
				g.Op = kv.Present
			}
		}
	}},
	{name: "an empty value counts as absent", by: "guard/absent", before: func(f *faulty, txn *kv.Txn) {
		for i := range txn.Guards {
			g := &txn.Guards[i]
			if b := f.peek(string(g.Key)); g.Op == kv.Absent && b != nil && len(b.value) == 0 {
				g.Op = kv.Present
			}
		}
	}},
	{name: "all effects share a stamp", by: "txn/", after: func(f *faulty, txn *kv.Txn, result *kv.Result, err error) {
		for _, e := range txn.Effects {
			if err == nil {
				f.harm(e.Key, func(b *body) { b.version = result.Version })
			}
		}
	}},
	{name: "appends are told one byte off", by: "txn/", after: func(_ *faulty, _ *kv.Txn, result *kv.Result, _ error) {
		result.Offset += min(result.Offset, 1)
	}},
	{name: "guards are judged too early", by: "concurrent/counters", byHand: true, before: func(f *faulty, txn *kv.Txn) {
		f.mu.Lock()
		holds := txn.Check() == nil
		for i := range txn.Guards {
			holds = holds && f.state.holds(&txn.Guards[i])
		}
		f.mu.Unlock()
		if holds {
			txn.Guards = nil
			time.Sleep(100 * time.Microsecond)
		}
	}},
	{name: "a transaction is carried out in two steps", by: "concurrent/transactions", byHand: true, before: func(f *faulty, txn *kv.Txn) {
		if n := len(txn.Effects); n > 1 && len(txn.Guards) == 0 && n < 10 {
			f.Model.Commit(context.Background(), &kv.Txn{Effects: txn.Effects[:n/2]})
			time.Sleep(time.Millisecond)
		}
	}},
}

var readFaults = []fault{
	{name: "a scan includes its end", by: "scan/ranges", ask: func(req *kv.ScanRequest) {
		if req.End != nil && !req.Reverse {
			req.End = append(bytes.Clone(req.End), 0)[:min(len(req.End)+1, kv.KeyBytesMax+1)]
		}
	}},
	{name: "an empty end is taken for none", by: "scan/every kind", byHand: true, ask: func(req *kv.ScanRequest) {
		if len(req.End) == 0 {
			req.End = nil
		}
	}},
	{name: "a delimiter loses the entry after it", by: "scan/directories", page: func(_ *kv.ScanRequest, page *kv.ScanPage) {
		for i := range page.Entries {
			if page.Entries[i].Prefix && i+1 < len(page.Entries) {
				page.Entries = slices.Delete(slices.Clone(page.Entries), i+1, i+2)
				return
			}
		}
	}},
	{name: "a delimiter is looked for from the start", by: "scan/directories", ask: func(req *kv.ScanRequest) { req.Skip = 0 }},
	{name: "a key that ends with the delimiter is a pair", by: "scan/delimiter", page: func(_ *kv.ScanRequest, page *kv.ScanPage) {
		for i := range page.Entries {
			if p := &page.Entries[i]; len(p.Key) == 2 {
				p.Prefix = false
			}
		}
	}},
	{name: "the next page begins with the last entry", by: "scan/many", page: func(_ *kv.ScanRequest, page *kv.ScanPage) {
		if n := len(page.Entries); page.More && n > 1 {
			page.Next = page.Entries[n-1].Key
		}
	}},
	{name: "a page ends the scan", by: "scan/many", page: func(_ *kv.ScanRequest, page *kv.ScanPage) { page.More = false }},
	{name: "a page has one entry too many", by: "scan/directories", ask: func(req *kv.ScanRequest) { req.Limit += min(req.Limit, 1) }},
	{name: "a page has any number of bytes", by: "scan/many", ask: func(req *kv.ScanRequest) { req.Bytes = 0 }},
	{name: "values in scans are whole", by: "scan/large values", ask: func(req *kv.ScanRequest) { req.ValueBytes = kv.ValueBytesMax }},
	{name: "a part beyond the end is whole", by: "limit/parts", get: func(f *faulty, req *kv.GetRequest, p *kv.Pair) {
		if b := f.peek(string(req.Key)); req.Offset > p.Size && req.Want&kv.WantValue != 0 && b != nil {
			p.Value = b.value
		}
	}},
	{name: "names are not counted", by: "stamps/link", get: func(_ *faulty, _ *kv.GetRequest, p *kv.Pair) { p.Names = min(p.Names, 1) }},
	{name: "sometimes what was before is read", by: "stamps/", get: func(f *faulty, req *kv.GetRequest, p *kv.Pair) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if b := f.previous.find(name{req.Space, string(req.Key)}); b != nil && p.Version%3 == 0 {
			*p = b.pair(string(req.Key), req.Want, b.value)
		}
	}},
}

var restartFaults = []fault{
	{name: "the last write is lost", by: "crash/keeps", again: func(old *faulty, next *Model) { next.state = old.previous }},
	{name: "a restart forgets the metadata", by: "stamps/set meta", again: func(_ *faulty, next *Model) {
		for _, b := range next.state.spaces[kv.User].up("") {
			without := *b
			without.meta = nil
			next.state.replace(b, &without)
		}
	}},
	{name: "a restart parts names", by: "effect/link/several/", again: func(_ *faulty, next *Model) {
		for key, b := range next.state.spaces[kv.User].up("") {
			if len(b.names) > 1 {
				next.state.replace(b, b.without(name{kv.User, key}))
				alone := *b
				alone.names = []name{{kv.User, key}}
				next.state.replace(nil, &alone)
				return
			}
		}
	}},
	{name: "a restart forgets a root", by: "space/root", again: func(_ *faulty, next *Model) { next.state.spaces[kv.Root] = tree[*body]{} }},
	{name: "stamps begin again", by: "reopen/stamps", again: func(_ *faulty, next *Model) {
		next.drawn, next.now = 0, func() time.Time { return time.Unix(0, 1<<30) }
	}},
	{name: "orphans outlive a restart", again: func(old *faulty, next *Model) {
		next.state.spaces[kv.Orphan] = old.previous.spaces[kv.Orphan]
	}, by: "orphan/ends with the store", byHand: true},
	{name: "a crash tears transactions", by: "random/operations and crashes", byHand: true, before: func(f *faulty, txn *kv.Txn) {
		if n := len(txn.Effects) - 1; n > 0 && len(txn.Effects[n].Key) > 0 && txn.Effects[n].Key[0] == 1 {
			f.Model.Commit(context.Background(), &kv.Txn{Guards: txn.Guards, Effects: txn.Effects[:n]})
			txn.Guards, txn.Effects = nil, txn.Effects[n:]
			time.Sleep(time.Millisecond)
		}
	}},
	{name: "a large value is a hole after a restart", by: "crash/keeps", again: func(_ *faulty, next *Model) {
		for _, b := range next.state.spaces[kv.User].up("") {
			if len(b.value) > kv.InlineBytesMax {
				hole := *b
				hole.value = make([]byte, len(b.value))
				next.state.replace(b, &hole)
			}
		}
	}},
}
