package kvtest

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"kivaloo/kvstore/kv"
)

// TestTreeIsAnOrderedMap compares the tree with a Go map, and every older tree
// with what it was.
func TestTreeIsAnOrderedMap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var now tree[int]
	want := map[string]int{}
	for i := range 2000 {
		key := string([]byte{byte(rnd.IntN(16)), byte(rnd.IntN(16))})
		if rnd.IntN(3) == 0 {
			now = now.delete(key)
			delete(want, key)
		} else {
			now = now.put(key, i)
			want[key] = i
		}
		checkTree(t, now, want)
	}
}

func checkTree(t *testing.T, got tree[int], want map[string]int) {
	t.Helper()
	var up, down []string
	for key, v := range got.up("") {
		if w, ok := want[key]; !ok || v != w {
			t.Fatalf("%q is %d, want %d, %v", key, v, w, ok)
		}
		up = append(up, key)
	}
	for key := range got.downAll() {
		down = append(down, key)
	}
	slices.Reverse(down)
	if got.len() != len(want) || len(up) != len(want) || !slices.IsSorted(up) || !slices.Equal(up, down) {
		t.Fatalf("%d keys, want %d: %q, %q", got.len(), len(want), up, down)
	}
}

func TestModelTakesNothingBeyondItsCapacity(t *testing.T) {
	m := NewModel(nil)
	m.SetCapacity(1000)
	put := func(key string, n int) error {
		_, err := m.Commit(context.Background(), &kv.Txn{Effects: []kv.Effect{
			{Op: kv.Put, Key: []byte(key), Value: bytes.Repeat([]byte{1}, n)}}})
		return err
	}
	if err := put("a", 900); err != nil {
		t.Fatal(err)
	}
	if err := put("b", 100); !errors.Is(err, kv.ErrNoSpace) {
		t.Fatalf("got %v, want ErrNoSpace", err)
	}
	if err := put("a", 10); err != nil {
		t.Fatalf("smaller: %v", err)
	}
	if err := put("b", 100); err != nil {
		t.Fatalf("with room again: %v", err)
	}
}

func TestModelTakesItsStampsFromTheClock(t *testing.T) {
	m := NewModel(func() time.Time { return time.Unix(0, 5000) })
	for want := kv.Stamp(5000); want < 5003; want++ {
		if got, err := m.Stamp(context.Background()); got != want || err != nil {
			t.Fatalf("got %d, %v, want %d", got, err, want)
		}
	}
}
func TestModelAnswersTheFaultThatWasSet(t *testing.T) {
	m := NewModel(nil)
	commit := func() error {
		_, err := m.Commit(context.Background(), &kv.Txn{Effects: effects(put("k", "v"))})
		return err
	}
	m.SetFault(func(*kv.Txn) error { return kv.ErrFailed })
	if err := commit(); !errors.Is(err, kv.ErrFailed) {
		t.Fatalf("got %v, want ErrFailed", err)
	}
	m.SetFault(nil)
	if err := commit(); err != nil {
		t.Fatal(err)
	}
}

func TestModelReservesRoom(t *testing.T) {
	m := NewModel(nil)
	m.SetCapacity(1000)
	ctx := context.Background()
	s, err := m.Session(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Reserve(ctx, 800); err != nil {
		t.Fatal(err)
	}
	txn := &kv.Txn{Effects: effects(put("k", text(400)))}
	if _, err := m.Commit(ctx, txn); !errors.Is(err, kv.ErrNoSpace) {
		t.Fatalf("others: %v, want ErrNoSpace", err)
	}
	if _, err := s.Commit(ctx, txn); err != nil {
		t.Fatalf("the one who has reserved: %v", err)
	}
}
