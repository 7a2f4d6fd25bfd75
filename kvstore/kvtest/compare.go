package kvtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"kivaloo/kvstore/kv"
)

// An oracle is a model that takes its stamps from the answers of the store under
// test, so that all stamps of both can be compared as they are.
type oracle struct {
	model  *Model
	stamps bool     // the store tells its versions
	clock  kv.Stamp // what the model's next transaction takes first
}

func newOracle(stamps bool) *oracle {
	o := &oracle{stamps: stamps}
	o.model = NewModel(func() time.Time { return o.clock.Time() })
	return o
}

// unknown is the offset of a transaction that nobody has answered.
const unknown = -1

// commit does what the store has done, and compares the answers.
func (o *oracle) commit(e *env, txn *kv.Txn, result kv.Result, err error) {
	e.Helper()
	o.by(e, o.model.Commit, txn, result, err)
}

// by is commit by way of a session.
func (o *oracle) by(e *env, commit func(context.Context, *kv.Txn) (kv.Result, error), txn *kv.Txn, result kv.Result, err error) {
	e.Helper()
	if n := kv.Stamp(len(txn.Effects)); err == nil && result.Version >= n {
		o.clock = result.Version - n + 1
	}
	want, wantErr := commit(e.ctx, txn)
	e.sameError(err, wantErr)
	if err != nil || len(txn.Effects) == 0 {
		return
	}
	if o.stamps && result.Version != want.Version {
		e.Fatalf("version %d of %d effects: not above the one before, %d", result.Version, len(txn.Effects), want.Version)
	}
	if o.stamps && result.Offset != want.Offset && result.Offset != unknown {
		e.Fatalf("offset %d, want %d", result.Offset, want.Offset)
	}
}

// sameError compares what kind two errors are of.
func (e *env) sameError(got, want error) {
	e.Helper()
	if (got == nil) != (want == nil) {
		e.Fatalf("got %v, want %v", got, want)
	}
	kinds := []error{kv.ErrNotFound, kv.ErrCondition, kv.ErrTooLarge, kv.ErrInvalid, kv.ErrNoSpace, kv.ErrClosed}
	for _, kind := range kinds {
		if kind == kv.ErrNotFound && !e.has(Txns) {
			continue // a v1 server says "not done" and no more
		}
		if errors.Is(got, kind) != errors.Is(want, kind) {
			e.Fatalf("got %v, want %v", got, want)
		}
	}
	var gotAt, wantAt *kv.ConditionError
	if errors.As(want, &wantAt) && e.has(Txns) {
		if !errors.As(got, &gotAt) || *gotAt != *wantAt {
			e.Fatalf("got %v, want %v", got, want)
		}
	}
}

// samePairs compares two lists of pairs.
func (e *env) samePairs(got, want []kv.Pair) {
	e.Helper()
	for i := range min(len(got), len(want)) {
		if !bytes.Equal(got[i].Key, want[i].Key) {
			e.Fatalf("entry %d is %s, want %s", i, short(string(got[i].Key)), short(string(want[i].Key)))
		}
		e.samePair(&got[i], &want[i])
	}
	if len(got) != len(want) {
		e.Fatalf("%d entries, want %d; the last are %s and %s", len(got), len(want), lastKey(got), lastKey(want))
	}
}

func lastKey(pairs []kv.Pair) string {
	if len(pairs) == 0 {
		return "none"
	}
	return short(string(pairs[len(pairs)-1].Key))
}

// samePair compares all that the store can tell of a pair.
func (e *env) samePair(got, want *kv.Pair) {
	e.Helper()
	if !bytes.Equal(got.Value, want.Value) {
		e.Fatalf("value of %s: %s", short(string(want.Key)), difference(got.Value, want.Value))
	}
	if got.Size != want.Size || got.Prefix != want.Prefix {
		e.Fatalf("%s: size %d, prefix %v, want %d, %v", short(string(want.Key)), got.Size, got.Prefix, want.Size, want.Prefix)
	}
	if e.has(Metadata) && !bytes.Equal(got.Meta, want.Meta) {
		e.Fatalf("metadata of %s: %s", short(string(want.Key)), difference(got.Meta, want.Meta))
	}
	if g, w := stampsOf(got), stampsOf(want); e.has(Stamps) && g != w {
		e.Fatalf("%s has %+v, want %+v", short(string(want.Key)), g, w)
	}
}

type stamps struct {
	birth, modified, version kv.Stamp
	brought                  bool
	names                    uint32
}

func stampsOf(p *kv.Pair) stamps {
	return stamps{p.Birth, p.Modified, p.Version, p.Brought, p.Names}
}

// difference says where two strings of bytes part.
func difference(got, want []byte) string {
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	return fmt.Sprintf("%d bytes, want %d; from byte %d on %s, want %s", len(got), len(want), i, short(string(got[i:])), short(string(want[i:])))
}

// short is a key or value for a message.
func short(s string) string {
	if len(s) > 24 {
		return fmt.Sprintf("%q... (%d bytes)", s[:20], len(s))
	}
	return fmt.Sprintf("%q", s)
}
