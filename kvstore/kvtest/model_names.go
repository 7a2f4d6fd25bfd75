package kvtest

import (
	"fmt"
	"slices"
	"strings"

	"kivaloo/kvstore/kv"
)

// The effects on names: who leads to which body.

func (c *change) delete(at name) {
	b := c.drop(at)
	if b != nil && at.space == kv.User {
		c.tell(kv.Deleted, at.key, "", b.birth)
	}
}

func (c *change) deletePrefix(prefix string) {
	keys := c.below(prefix)
	for _, key := range keys {
		c.drop(name{kv.User, key})
	}
	if len(keys) > 0 {
		c.tell(kv.PrefixDeleted, prefix, "", 0)
	}
}

// drop takes a name away, and with the last one its body, unless it is pinned.
// It answers the body that was there, if any.
func (c *change) drop(at name) *body {
	b := c.find(at)
	switch {
	case b == nil:
	case len(b.names) > 1:
		rest := c.touched(b.without(at))
		c.replace(b, rest)
		c.tellNames(kv.MetaChanged, rest, 0, 0)
	case at.space == kv.User && c.pinned(b.birth):
		orphan := name{kv.Orphan, string(kv.OrphanKey(b.birth))}
		c.replace(b, c.touched(b.renamed(at, orphan)))
	default:
		c.replace(b, nil)
	}
	return b
}

func (c *change) move(at, to name) error {
	if c.find(at) == nil {
		return errMissing
	}
	if at != to {
		c.drop(to) // perhaps another name of the same body: it is read again
	}
	b := c.find(at)
	c.rename(b, at, to)
	c.tell(kv.Moved, at.key, to.key, b.birth)
	return nil
}

// rename exchanges a name of a body. Its other names have changed as well.
func (c *change) rename(b *body, at, to name) {
	next := c.touched(b.renamed(at, to))
	c.replace(b, next)
	c.tellNames(kv.MetaChanged, next, 0, 0, to)
}

func (c *change) movePrefix(from, to string) error {
	if len(c.below(to)) > 0 {
		return errExists
	}
	keys := c.below(from)
	for _, key := range keys {
		target := to + strings.TrimPrefix(key, from)
		if len(target) > kv.KeyBytesMax {
			return fmt.Errorf("key of %d bytes: %w", len(target), kv.ErrTooLarge)
		}
		at := name{kv.User, key}
		c.rename(c.find(at), at, name{kv.User, target})
	}
	if len(keys) > 0 {
		c.tell(kv.PrefixMoved, from, to, 0)
	}
	return nil
}

func (c *change) link(at, to name) error {
	b := c.find(at)
	if b == nil {
		return errMissing
	}
	if c.find(to) != nil {
		return errExists
	}
	if len(b.names) >= kv.NamesMax {
		return fmt.Errorf("%d names: %w", len(b.names), kv.ErrTooLarge)
	}
	next := *b
	next.names = append(slices.Clone(b.names), to)
	c.replace(b, c.touched(&next))
	c.tell(kv.Created, to.key, "", b.birth)
	c.tellNames(kv.MetaChanged, &next, 0, 0, to)
	return nil
}
