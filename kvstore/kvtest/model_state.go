package kvtest

import (
	"bytes"
	"slices"
	"strings"

	"kivaloo/kvstore/kv"
)

// A state is all pairs at one instant. It is a value: who copies it has a
// snapshot, and a transaction that fails is forgotten with its copy.
type state struct {
	spaces [kv.Root + 1]tree[*body]
	live   int64 // what space all bodies take, see body.bytes
}

// A name is a key in its space.
type name struct {
	space kv.Space
	key   string
}

// A body is what one name leads to, or several that are linked. It is never
// changed once it is in a state.
type body struct {
	value, meta              []byte
	birth, modified, version kv.Stamp
	brought                  bool
	names                    []name
}

// bodyBytes stands for the stamps of a pair, so that empty ones take space too.
const bodyBytes = 24

func (b *body) bytes() int64 {
	n := bodyBytes + len(b.value) + len(b.meta)
	for _, name := range b.names {
		n += len(name.key)
	}
	return int64(n)
}

func (s *state) find(at name) *body {
	b, _ := s.spaces[at.space].get(at.key)
	return b
}

// replace puts body next where old was, under all its names. Either may be nil.
func (s *state) replace(old, next *body) {
	if old != nil {
		for _, n := range old.names {
			s.spaces[n.space] = s.spaces[n.space].delete(n.key)
		}
		s.live -= old.bytes()
	}
	if next != nil {
		for _, n := range next.names {
			s.spaces[n.space] = s.spaces[n.space].put(n.key, next)
		}
		s.live += next.bytes()
	}
}

// below lists the keys of space User that begin with prefix.
func (s *state) below(prefix string) []string {
	var keys []string
	for key := range s.spaces[kv.User].up(prefix) {
		if !strings.HasPrefix(key, prefix) {
			break
		}
		keys = append(keys, key)
	}
	return keys
}

// renamed is a copy of the body with one name exchanged.
func (b *body) renamed(from, to name) *body {
	next := *b
	next.names = slices.Clone(b.names)
	next.names[slices.Index(next.names, from)] = to
	return &next
}

// without is a copy of the body with one name less.
func (b *body) without(at name) *body {
	next := *b
	next.names = slices.DeleteFunc(slices.Clone(b.names), func(n name) bool { return n == at })
	return &next
}

// pair is what a reader gets of a body.
func (b *body) pair(key string, want kv.Want, value []byte) kv.Pair {
	p := kv.Pair{Key: []byte(key), Size: int64(len(b.value))}
	if want&kv.WantValue != 0 {
		p.Value = value
	}
	if want&kv.WantStamps != 0 {
		p.Meta = b.meta
		p.Birth, p.Modified, p.Version = b.birth, b.modified, b.version
		p.Brought, p.Names = b.brought, uint32(len(b.names))
	}
	return p
}

// holds says whether a guard does.
func (s *state) holds(g *kv.Guard) bool {
	if g.Op == kv.PrefixEmpty {
		return s.prefixEmpty(g)
	}
	b := s.find(name{g.Space, string(g.Key)})
	if b == nil {
		return g.Op == kv.Absent
	}
	switch g.Op {
	case kv.Present:
		return true
	case kv.ValueEquals:
		return bytes.Equal(b.value, g.Value)
	case kv.VersionEquals:
		return b.version == g.Stamp
	case kv.BirthEquals:
		return b.birth == g.Stamp
	}
	return false // Absent
}

func (s *state) prefixEmpty(g *kv.Guard) bool {
	for key := range s.spaces[g.Space].up(string(g.Key) + "\x00") {
		return !strings.HasPrefix(key, string(g.Key))
	}
	return true
}
