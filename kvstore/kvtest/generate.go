package kvtest

import (
	"math/rand/v2"
	"strings"

	"kivaloo/kvstore/kv"
)

// keysMax is how many keys a run of random operations uses: few enough that
// they meet.
const keysMax = 48

// A generator makes random transactions and requests, of what a store can do.
type generator struct {
	*rand.Rand
	prefix string // all keys begin with it
	lacks  Feature
	keys   []string
	model  *Model // what guards may hold of
}

func newGenerator(rnd *rand.Rand, prefix string, lacks Feature) *generator {
	g := &generator{Rand: rnd, prefix: prefix, lacks: lacks}
	for range keysMax {
		g.keys = append(g.keys, prefix+g.name())
	}
	return g
}

func (g *generator) has(f Feature) bool { return g.lacks&f == 0 }

func pick[T any](rnd *rand.Rand, choices ...T) T { return choices[rnd.IntN(len(choices))] }

// name is a key that begins like many others do.
func (g *generator) name() string {
	var s strings.Builder
	for range g.IntN(5) {
		s.WriteString(pick(g.Rand, "a", "b", "ab", "/", "a/", "b/", "\x00", "\xff"))
	}
	if g.has(Large) && g.IntN(10) == 0 {
		s.WriteString(strings.Repeat("k", pick(g.Rand, 256, 1000, kv.KeyBytesMax-len(g.prefix)-s.Len())))
	}
	return s.String()
}

func (g *generator) key() string { return pick(g.Rand, g.keys...) }

// below is a prefix of a key.
func (g *generator) below() string {
	key := g.key()
	return key[:len(g.prefix)+g.IntN(min(len(key)-len(g.prefix), 6)+1)]
}

// size is mostly small, and sometimes one at which a store does something else.
func (g *generator) size() int {
	switch {
	case g.IntN(8) > 0 || !g.has(Large):
		return g.IntN(60)
	case g.IntN(4) > 0:
		return kv.InlineBytesMax - 2 + g.IntN(5)
	default:
		return pick(g.Rand, 1, 1, 2)*kv.ChunkBytes - 2 + g.IntN(5)
	}
}

// value is one that differs from others, and in every place.
func (g *generator) value() string {
	from := g.IntN(1000)
	return sample[from : from+g.size()]
}

func (g *generator) txn() kv.Txn {
	var txn kv.Txn
	if !g.has(Txns) {
		return g.simple()
	}
	for range 1 + g.IntN(4)*g.IntN(2) {
		txn.Effects = append(txn.Effects, g.effect())
	}
	for range g.IntN(3) * g.IntN(2) {
		txn.Guards = append(txn.Guards, g.guard(g.key()))
	}
	return txn
}

// simple is what protocol v1 can say.
func (g *generator) simple() kv.Txn {
	effect := put(g.key(), g.value())
	if g.IntN(3) == 0 {
		effect = del(string(effect.Key))
	}
	txn := guarded(effects(effect))
	if g.IntN(2) == 0 {
		txn.Guards = []kv.Guard{g.guard(string(effect.Key))}
		if op := txn.Guards[0].Op; effect.Op == kv.Delete && op != kv.ValueEquals {
			txn.Guards = nil
		}
	}
	return txn
}

// guard is one that often holds.
func (g *generator) guard(key string) kv.Guard {
	b := g.model.peek(key)
	if b == nil || g.IntN(8) == 0 {
		b = &body{birth: someBirth, version: someBirth}
	}
	choices := []kv.Guard{equals(key, string(b.value)), guard(kv.Present, key), guard(kv.Absent, key)}
	if g.has(Stamps) {
		choices = append(choices, stamped(kv.VersionEquals, key, b.version), stamped(kv.BirthEquals, key, b.birth))
	}
	if g.has(Names) {
		choices = append(choices, guard(kv.PrefixEmpty, key))
	}
	return pick(g.Rand, choices...)
}

// peek is what a key leads to, nil for nothing.
func (m *Model) peek(key string) *body {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state.find(name{kv.User, key})
}

// effect is one of those that the store has, of every kind.
func (g *generator) effect() kv.Effect {
	for {
		e := g.anyEffect()
		if needsOf(effects(e))&g.lacks == 0 {
			return e
		}
	}
}

func (g *generator) anyEffect() kv.Effect {
	key := g.key()
	switch g.IntN(22) {
	case 0, 1, 2, 3, 4:
		return g.dressed(put(key, g.value()))
	case 5:
		return g.dressed(fresh(put(key, g.value())))
	case 6, 7:
		return g.dressed(patch(key, g.offset(key), g.value()))
	case 8:
		return g.dressed(appendTo(key, g.value()))
	case 9, 10:
		return g.dressed(truncate(key, g.offset(key)))
	case 11:
		return punch(key, g.offset(key), int64(g.size()))
	case 12:
		return copyRange(key, g.offset(key), int64(g.size()), g.key(), g.offset(key))
	case 13, 14:
		return del(key)
	case 15:
		return g.rare(delPrefix(g.below()), del(key))
	case 16:
		return move(key, g.key())
	case 17:
		return g.prefixMove()
	case 18:
		return setMeta(key, g.meta())
	default:
		return link(key, g.freeKey())
	}
}

// freeKey is one that mostly has no pair.
func (g *generator) freeKey() string {
	key := g.key()
	for range 5 {
		if g.model.peek(key) == nil {
			break
		}
		key = g.key()
	}
	return key
}

// rare spares the store from losing all its keys too often.
func (g *generator) rare(e, instead kv.Effect) kv.Effect {
	if len(e.Key) <= len(g.prefix)+1 && g.IntN(10) > 0 {
		return instead
	}
	return e
}

func (g *generator) prefixMove() kv.Effect {
	for {
		from, to := g.below(), g.below()+pick(g.Rand, "", "c/", "d")
		if !strings.HasPrefix(from, to) && !strings.HasPrefix(to, from) {
			return movePrefix(from, to)
		}
	}
}

// offset is one inside the value, about its end, or about a limit.
func (g *generator) offset(key string) int64 {
	size := 0
	if b := g.model.peek(key); b != nil {
		size = len(b.value)
	}
	switch g.IntN(3) {
	case 0:
		return int64(g.IntN(size + 1))
	case 1:
		return int64(max(size-1+g.IntN(3), 0))
	default:
		return int64(g.size())
	}
}

// dressed has an effect bring metadata and stamps, sometimes.
func (g *generator) dressed(e kv.Effect) kv.Effect {
	if g.IntN(6) == 0 && g.has(Metadata) {
		e = withMeta(e, g.meta())
	}
	if g.IntN(6) == 0 && g.has(Stamps) {
		e.Modified = someModified + kv.Stamp(g.IntN(100))
	}
	if g.IntN(12) == 0 && g.prefix == "" && g.has(Spaces) && !e.Fresh {
		e.Space, e.Key = kv.Root, nil
	}
	return e
}

// scan is a request within the prefix, with all that it may ask for.
func (g *generator) scan() kv.ScanRequest {
	req := kv.ScanRequest{Start: []byte(g.prefix), End: kv.PrefixEnd([]byte(g.prefix)), Want: kv.WantValue}
	if g.IntN(2) == 0 {
		req.Start = []byte(g.key())
	}
	if g.IntN(2) == 0 {
		req.End = []byte(g.key())
	}
	req.Bytes = pick(g.Rand, 0, 0, 1, 100, 5000)
	if !g.has(Listings) {
		return req
	}
	req.Reverse = g.IntN(2) == 0
	req.Limit = pick(g.Rand, 0, 0, 1, 2, 7)
	req.ValueBytes = pick(g.Rand, 0, 1, kv.InlineBytesMax+1, kv.ValueBytesMax)
	req.Delimiter = []byte(pick(g.Rand, "", "/", "a", "\xff", "\x00"))
	req.Skip = len(g.prefix) + g.IntN(4)
	if g.has(Stamps) {
		req.Want = kv.Want(g.IntN(int(kv.WantAll) + 1))
	}
	return req
}

func (g *generator) meta() string {
	return pick(g.Rand, "", "m", "meta", text(300))
}
