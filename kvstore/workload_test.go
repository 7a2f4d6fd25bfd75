package kvstore

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand"
	"slices"

	"kivaloo/kvstore/kv"
)

// A book is what pairs there must be. Keys of the same number are names of one value.
type book struct {
	number map[string]int
	values map[int]string
	next   int
}

func newBook() book { return book{map[string]int{}, map[int]string{}, 0} }

func (b *book) clone() book { return book{maps.Clone(b.number), maps.Clone(b.values), b.next} }

// pairs are the keys and their values, as a reader sees them.
func (b *book) pairs() map[string]string {
	pairs := make(map[string]string, len(b.number))
	for key, n := range b.number {
		pairs[key] = b.values[n]
	}
	return pairs
}

// put gives the value that key leads to other contents, or makes a new one.
func (b *book) put(key, value string) {
	n, ok := b.number[key]
	if !ok {
		b.next++
		n = b.next
		b.number[key] = n
	}
	b.values[n] = value
}

// keys are all keys in order, so that a seed repeats.
func (b *book) keys() []string { return slices.Sorted(maps.Keys(b.number)) }

// randomTxn makes a transaction that can be carried out, and the pairs after it.
func randomTxn(rng *rand.Rand, before book) (*kv.Txn, book) {
	after := before.clone()
	txn := &kv.Txn{}
	for range 1 + rng.Intn(3) {
		txn.Effects = append(txn.Effects, randomEffect(rng, &after))
	}
	return txn, after
}

func randomEffect(rng *rand.Rand, b *book) kv.Effect {
	dir := fmt.Sprintf("%c/", 'a'+rng.Intn(4))
	key := fmt.Sprintf("%s%02d", dir, rng.Intn(30))
	switch n := rng.Intn(23); {
	case n < 11:
		value := bytes.Repeat([]byte{byte('A' + rng.Intn(26))}, rng.Intn(300))
		if rng.Intn(10) == 0 {
			value = bytes.Repeat(value, 20)
		}
		b.put(key, string(value))
		return kv.Effect{Op: kv.Put, Key: []byte(key), Value: value}
	case n < 13:
		patch := bytes.Repeat([]byte{byte('a' + rng.Intn(26))}, 1+rng.Intn(100))
		at := rng.Intn(3000)
		b.put(key, patched(b.values[b.number[key]], at, string(patch)))
		return kv.Effect{Op: kv.Patch, Key: []byte(key), Offset: int64(at), Value: patch}
	case n < 16:
		delete(b.number, key)
		return kv.Effect{Op: kv.Delete, Key: []byte(key)}
	case n < 17:
		for k := range b.number {
			if k[:2] == dir {
				delete(b.number, k)
			}
		}
		return kv.Effect{Op: kv.DeletePrefix, Key: []byte(dir)}
	case n < 20:
		return randomLink(rng, b, key)
	default:
		return randomMove(rng, b, key)
	}
}

func randomMove(rng *rand.Rand, b *book, to string) kv.Effect {
	keys := b.keys()
	if len(keys) == 0 {
		return kv.Effect{Op: kv.Delete, Key: []byte(to)}
	}
	k := keys[rng.Intn(len(keys))]
	n := b.number[k]
	delete(b.number, k)
	b.number[to] = n
	return kv.Effect{Op: kv.Move, Key: []byte(k), To: []byte(to)}
}

// randomLink links to a key that is free, from one that often has links already.
func randomLink(rng *rand.Rand, b *book, to string) kv.Effect {
	keys := b.keys()
	if _, taken := b.number[to]; taken || len(keys) == 0 {
		delete(b.number, to)
		return kv.Effect{Op: kv.Delete, Key: []byte(to)}
	}
	k := keys[rng.Intn(min(len(keys), 8))]
	b.number[to] = b.number[k]
	return kv.Effect{Op: kv.Link, Key: []byte(k), To: []byte(to)}
}

func patched(v string, at int, patch string) string {
	b := []byte(v)
	if n := at + len(patch); n > len(b) {
		b = append(b, make([]byte, n-len(b))...)
	}
	copy(b[at:], patch)
	return string(b)
}
