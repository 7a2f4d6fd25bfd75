package mux

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"kivaloo/kvstore/kv"
	"kivaloo/mux/wire"
)

// stores are the two ways in which a server hands writes over.
var stores = map[string]func(*testing.T) kv.Store{
	"plain":  func(t *testing.T) kv.Store { return newModel(t) },
	"queued": func(t *testing.T) kv.Store { return newQueued(t, nil) },
}

func forStores(t *testing.T, test func(*testing.T, *rig)) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) { test(t, serve(t, open(t))) })
	}
}

// The session that was recorded from the original's server, byte for byte.
func TestSessionOfTheOriginal(t *testing.T) {
	text, err := os.ReadFile("wire/testdata/v1-kv.json")
	if err != nil {
		t.Fatal(err)
	}
	var session []struct{ Name, Request, Response string }
	if err := json.Unmarshal(text, &session); err != nil {
		t.Fatal(err)
	}
	forStores(t, func(t *testing.T, r *rig) {
		p := r.dial()
		for _, step := range session {
			request, _ := hex.DecodeString(step.Request)
			p.send(request)
			got := p.receive()
			again := wire.End(append(wire.Begin(nil, got.ID), got.Record...), 0)
			if hex.EncodeToString(again) != step.Response {
				t.Errorf("%s: got %x, the original answers %s", step.Name, again, step.Response)
			}
		}
	})
}

func TestConditions(t *testing.T) {
	forStores(t, func(t *testing.T, r *rig) {
		p := r.dial()
		p.set("there", "v")
		for _, c := range []struct {
			typ             wire.Type
			key, old, value string
			want            uint32
			after           string
		}{
			{wire.Add, "there", "", "w", 1, "v"},
			{wire.Add, "new", "", "w", 0, "w"},
			{wire.Modify, "none", "", "w", 1, ""},
			{wire.Modify, "there", "", "w", 0, "w"},
			{wire.CAS, "there", "v", "x", 1, "w"},
			{wire.CAS, "there", "w", "x", 0, "x"},
			{wire.CAS, "none", "", "x", 1, ""},
			{wire.CAD, "there", "w", "", 1, "x"},
			{wire.CAD, "there", "x", "", 0, ""},
			{wire.CAD, "there", "x", "", 1, ""},
			{wire.Delete, "there", "", "", 0, ""},
			{wire.Delete, "new", "", "", 0, ""},
		} {
			status := p.write(c.typ, c.key, c.old, c.value)
			if after, _ := p.get(c.key); status != c.want || after != c.after {
				t.Errorf("%v %s: status %d, then %q; want %d, %q", c.typ, c.key, status, after, c.want, c.after)
			}
		}
	})
}

// A plain SET must not make a new file of a file.
func TestSetKeepsBirthAndMetadata(t *testing.T) {
	m := newModel(t)
	ctx := context.Background()
	put := kv.Effect{Op: kv.Put, Key: []byte("k"), Value: []byte("v"), SetMeta: true, Meta: []byte("mode 0600")}
	if _, err := m.Commit(ctx, &kv.Txn{Effects: []kv.Effect{put}}); err != nil {
		t.Fatal(err)
	}
	before, _ := m.Get(ctx, kv.GetRequest{Key: []byte("k"), Want: kv.WantAll})
	serve(t, m).dial().set("k", "w")
	after, err := m.Get(ctx, kv.GetRequest{Key: []byte("k"), Want: kv.WantAll})
	if err != nil || after.Birth != before.Birth || string(after.Meta) != "mode 0600" || string(after.Value) != "w" {
		t.Errorf("%+v, %v; was born %v", after, err, before.Birth)
	}
}

func TestTwoConnectionsSeeEachOther(t *testing.T) {
	forStores(t, func(t *testing.T, r *rig) {
		a, b := r.dial(), r.dial()
		for i := range 100 {
			want := fmt.Sprint(i)
			a.set("k", want)
			if got, _ := b.get("k"); got != want {
				t.Fatalf("b reads %q after a's %q was answered", got, want)
			}
			a, b = b, a
		}
	})
}

// rangeKeys are where RANGE is difficult: full keys, and keys beyond the
// protocol that begin with one.
func rangeKeys() []string {
	full := strings.Repeat("m", wire.StringMax)
	return []string{
		"", "a", "a\x00", "b", full[:254], full, full[:254] + "z", "n", "n\xff", "\xff", strings.Repeat("\xff", wire.StringMax),
	}
}

func TestRangePagesAreWhole(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	forStores(t, func(t *testing.T, r *rig) {
		p := r.dial()
		keys := rangeKeys()
		for range 300 {
			keys = append(keys, randomKey(rnd))
		}
		slices.Sort(keys)
		keys = slices.Compact(keys)
		for _, key := range keys {
			p.set(key, key[:min(len(key), 3)])
		}
		for range 100 {
			start, end := keys[rnd.IntN(len(keys))], keys[rnd.IntN(len(keys))]
			most := []uint32{0, 1, 300, 4096, 1 << 31}[rnd.IntN(5)]
			checkRange(t, p, keys, start, end, most)
			checkRange(t, p, keys, start, "", most)
		}
	})
}

func randomKey(rnd *rand.Rand) string {
	key := make([]byte, rnd.IntN(20))
	for i := range key {
		key[i] = "abc\x00\xff"[rnd.IntN(5)]
	}
	return string(key)
}

// checkRange reads [start, end) page by page.
func checkRange(t *testing.T, p *peer, keys []string, start, end string, most uint32) {
	t.Helper()
	var want, got []string
	for _, key := range keys {
		if key >= start && (end == "" || key < end) {
			want = append(want, key)
		}
	}
	for from := start; ; {
		pairs, next := p.scan(from, end, most)
		bytes := 0
		for _, pair := range pairs {
			got = append(got, string(pair.Key))
			bytes += len(pair.Key) + len(pair.Value)
		}
		if len(pairs) > 1 && uint64(bytes) > uint64(most) {
			t.Fatalf("%d bytes of pairs, asked for %d", bytes, most)
		}
		if next == end || end != "" && from >= end {
			break
		}
		if next <= from {
			t.Fatalf("RANGE from %q goes on at %q", from, next)
		}
		from = next
	}
	if !slices.Equal(got, want) {
		t.Fatalf("RANGE %q to %q, %d bytes:\ngot  %q\nwant %q", start, end, most, got, want)
	}
}

// put writes what protocol v1 cannot.
func put(t *testing.T, store kv.Store, key, value string) {
	t.Helper()
	effect := kv.Effect{Op: kv.Put, Key: []byte(key), Value: []byte(value)}
	if _, err := store.Commit(context.Background(), &kv.Txn{Effects: []kv.Effect{effect}}); err != nil {
		t.Fatal(err)
	}
}

func TestPairBeyondTheProtocolIsRefusedLoudly(t *testing.T) {
	full := strings.Repeat("k", wire.StringMax)
	for _, c := range []struct {
		name       string
		key, value string
		req        wire.Request
	}{
		{"GET of a long value", "k", full + "v", wire.Request{Type: wire.Get, Key: []byte("k")}},
		{"RANGE that begins with a long value", "k", full + "v", wire.Request{Type: wire.Range, Max: 1}},
		{"RANGE that begins with a long key", full + "k", "v", wire.Request{Type: wire.Range, Max: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newModel(t)
			put(t, m, c.key, c.value)
			r := serve(t, m)
			other := r.dial()
			p := r.dial()
			c.req.ID = 1
			p.send(encode(t, nil, c.req))
			p.closed()
			eventually(t, "the reason in the log", func() bool {
				return strings.Contains(r.log.String(), "beyond the 255 bytes")
			})
			other.set("other", "still served")
		})
	}
}

func TestRangeStopsBeforeWhatItCannotSay(t *testing.T) {
	full := strings.Repeat("k", wire.StringMax)
	for _, c := range []struct {
		name, key, value string
		pairs            int
		next             string
	}{
		{"long value", "b", full + "v", 2, "b"},
		{"long key", "b" + full, "v", 2, ("b" + full)[:wire.StringMax]},
		{"long key that begins with a full one", full + "k", "v", 2, full},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newModel(t)
			r := serve(t, m)
			p := r.dial()
			put(t, m, c.key, c.value)
			p.set("", "first")
			p.set("a", "second")
			if c.next == full {
				p.set(full, "third")
			}
			pairs, next := p.scan("", "", 4096)
			if len(pairs) != c.pairs || next != c.next {
				t.Errorf("%d pairs, next %q; want %d, %q", len(pairs), next, c.pairs, c.next)
			}
			p.id++
			p.send(encode(t, nil, wire.Request{ID: p.id, Type: wire.Range, Max: 4096, Key: []byte(next)}))
			p.closed()
		})
	}
}

// A page may end with a full key, and the store then says that it goes on at
// that key and a zero, which has no room.
func TestRangeGoesOnAfterAFullKey(t *testing.T) {
	m := newModel(t)
	p := serve(t, pageOfOne{m}).dial()
	full := strings.Repeat("k", wire.StringMax)
	p.set(full, "1")
	p.set(full[:254]+"z", "2")
	checkRange(t, p, []string{full, full[:254] + "z"}, "", "", 1)
}

// pageOfOne answers pages of one entry, which a store may.
type pageOfOne struct{ kv.Store }

func (s pageOfOne) Scan(ctx context.Context, req kv.ScanRequest) (kv.ScanPage, error) {
	req.Limit = 1
	return s.Store.Scan(ctx, req)
}

func TestLargestAnswer(t *testing.T) {
	m := newModel(t)
	r := serve(t, m)
	p := r.dial()
	value := strings.Repeat("v", wire.StringMax)
	var want []byte
	for i := range 400 {
		key := fmt.Sprintf("%0255d", i)
		put(t, m, key, value)
		want = append(want, key...)
	}
	var got []byte
	for next := ""; ; {
		pairs, after := p.scan(next, "", 1<<32-1)
		for _, pair := range pairs {
			got = append(got, pair.Key...)
		}
		if next = after; next == "" {
			break
		}
	}
	if !bytes.Equal(got, want) {
		t.Error("the pages do not add up")
	}
}
