package kvtest

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"kivaloo/kvstore/kv"
)

// An env is what one test works with. Its commits go to the store and to the
// oracle, and the answers must agree.
type env struct {
	testing.TB
	options
	ctx     context.Context
	subject *Subject
	store   kv.Store
	lacks   Feature
	oracle  *oracle
	prefix  string // what of the store is ours
}

func (e *env) has(f Feature) bool { return e.lacks&f == 0 }

// check ends the test at an error.
func (e *env) check(err error) {
	e.Helper()
	if err != nil {
		e.Fatalf("unexpected error: %v", err)
	}
}

// commit carries out a transaction in the store and in the model.
func (e *env) commit(txn kv.Txn) (kv.Result, error) {
	e.Helper()
	result, err := e.store.Commit(e.ctx, &txn)
	e.oracle.commit(e, &txn, result, err)
	return result, err
}

// do commits effects that must succeed.
func (e *env) do(effects ...kv.Effect) kv.Result {
	e.Helper()
	result, err := e.commit(kv.Txn{Effects: effects})
	e.check(err)
	return result
}

// refuse commits what must fail, and change nothing.
func (e *env) refuse(want error, txn kv.Txn) error {
	e.Helper()
	_, err := e.commit(txn)
	if !errors.Is(err, want) {
		e.Fatalf("got %v, want %v", err, want)
	}
	e.same()
	return err
}

// stamp draws one from the store. The model's clock follows the store's.
func (e *env) stamp() kv.Stamp {
	e.Helper()
	s, err := e.store.Stamp(e.ctx)
	e.check(err)
	return s
}

func (e *env) get(key string) kv.Pair {
	e.Helper()
	p, err := e.store.Get(e.ctx, kv.GetRequest{Key: []byte(key), Want: e.want()})
	if err != nil {
		e.Fatalf("get %s: %v", short(key), err)
	}
	return p
}

// want is everything that the store can tell of a pair.
func (e *env) want() kv.Want {
	if e.has(Stamps) {
		return kv.WantAll
	}
	return kv.WantValue
}

// orphan reads what was deleted while pinned.
func (e *env) orphan(birth kv.Stamp) (kv.Pair, error) {
	return e.store.Get(e.ctx, kv.GetRequest{Space: kv.Orphan, Key: kv.OrphanKey(birth), Want: kv.WantAll})
}

func (e *env) valueIs(key string, want []byte) {
	e.Helper()
	if got := e.get(key).Value; !bytes.Equal(got, want) {
		e.Fatalf("value of %s: %s", short(key), difference(got, want))
	}
}

// holds compares all pairs with what the test expects, in words of its own.
func (e *env) holds(want map[string]string) {
	e.Helper()
	for key, value := range want {
		e.valueIs(key, []byte(value))
	}
	for _, p := range e.all(e.store) {
		if _, ok := want[string(p.Key)]; !ok {
			e.Fatalf("there is %s, which should not be", short(string(p.Key)))
		}
	}
}

// all reads every pair of space User that is ours, whole.
func (e *env) all(r kv.Reader) []kv.Pair {
	e.Helper()
	var all []kv.Pair
	req := kv.ScanRequest{Want: e.want(), ValueBytes: kv.ValueBytesMax}
	req.Start, req.End = []byte(e.prefix), kv.PrefixEnd([]byte(e.prefix))
	for p, err := range kv.All(e.ctx, r, req) {
		e.check(err)
		all = append(all, p)
	}
	return all
}

// same compares the whole state of the store with the model's.
func (e *env) same() {
	e.Helper()
	e.samePairs(e.all(e.store), e.all(e.oracle.model))
	if e.has(Spaces) {
		req := kv.GetRequest{Space: kv.Root, Want: e.want()}
		got, gotErr := e.store.Get(e.ctx, req)
		want, wantErr := e.oracle.model.Get(e.ctx, req)
		e.sameError(gotErr, wantErr)
		e.samePair(&got, &want)
	}
}

// reopen closes the store and opens it again. All must be as before.
func (e *env) reopen() {
	e.Helper()
	e.restart(e.subject.Reopen)
}

func (e *env) crash() {
	e.Helper()
	e.restart(e.subject.Crash)
}

func (e *env) restart(how func() (kv.Store, error)) {
	e.Helper()
	store, err := how()
	if err != nil {
		e.Fatalf("opening again: %v", err)
	}
	e.store = store
	e.oracle.model = e.oracle.model.Reopen()
}

// beside is another way to the store, if there is one.
func (e *env) beside() kv.Store {
	if e.subject.Beside != nil {
		return e.subject.Beside()
	}
	return e.store
}
