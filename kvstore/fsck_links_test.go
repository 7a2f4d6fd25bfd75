package kvstore

import (
	"testing"

	"kivaloo/kvstore/delta"
	"kivaloo/kvstore/item"
)

// links are what a checkup finds of values with several names.
type links struct {
	leads  map[string]uint64              // body by user key, as the links say
	names  map[uint64]map[string]struct{} // user keys by body, as the names say
	bodies map[uint64]uint32              // how many names a body counts
}

func newLinks() links {
	return links{map[string]uint64{}, map[uint64]map[string]struct{}{}, map[uint64]uint32{}}
}

// add takes a pair up as what it is. Of a body the value is cut to what clients see.
func (l *links) add(t *testing.T, key []byte, p *pair) {
	switch {
	case p.flags&delta.Link != 0:
		body, err := item.Link(p.value)
		if err != nil || key[0] != userSpace {
			t.Errorf("link at %q: %v", key, err)
		}
		l.leads[string(key)] = body
	case isNameKey(key):
		body, name := nameOf(key)
		if l.names[body] == nil {
			l.names[body] = map[string]struct{}{}
		}
		l.names[body][string(name)] = struct{}{}
		if len(p.value) > 0 {
			t.Errorf("the name at %q has a value of %d bytes", key, len(p.value))
		}
	case isBodyKey(key):
		value, names, err := item.CutNames(p.value)
		if err != nil || p.birth != bodyOf(key) {
			t.Errorf("body at %q, born at %d: %v", key, p.birth, err)
		}
		l.bodies[bodyOf(key)], p.value = names, value
	}
}

// compare: each link leads to a body that has it among its names, each name is a
// link, and each body counts its names right, of which it has several.
func (l *links) compare(t *testing.T) {
	for key, body := range l.leads {
		if _, ok := l.names[body][key]; !ok {
			t.Errorf("the link %q leads to body %d, which has no such name", key, body)
		}
	}
	for body, names := range l.names {
		for key := range names {
			if to, ok := l.leads[key]; !ok || to != body {
				t.Errorf("body %d has the name %q, which leads to %d, %v", body, key, to, ok)
			}
		}
		if _, ok := l.bodies[body]; !ok {
			t.Errorf("%d names lead to body %d, which is not there", len(names), body)
		}
	}
	for body, n := range l.bodies {
		if int(n) != len(l.names[body]) {
			t.Errorf("body %d counts %d names and has %d", body, n, len(l.names[body]))
		}
	}
}
