package kvstore

import (
	"bytes"

	"kivaloo/kvstore/delta"
	"kivaloo/kvstore/item"
	"kivaloo/kvstore/page"
)

// An applier carries operations out on a delta, when they are decided and again
// when they are recovered: the same way, so that both lead to the same delta.
type applier struct {
	delta *delta.Delta
	arena arena
	// named is told of each chunk that an operation names.
	named func(ref page.Ref)
}

func newApplier(named func(ref page.Ref)) *applier {
	a := &applier{named: named}
	a.use(new(delta.Delta))
	return a
}

// use makes the applier go on with another delta.
func (a *applier) use(d *delta.Delta) {
	a.delta = d
	d.Dropped = a.dropped
}

// dropped frees the blob of a put that is covered before it reached a page: no
// layer below knows of it.
func (a *applier) dropped(old, next *delta.Entry) {
	if !old.Has(delta.Blob) || (next != nil && a.goesOn(old, next)) {
		return
	}
	if b, err := blobOf(old.Value); err == nil {
		start, end := chunkRange(b.ID, 0)
		a.delta.DeleteRange(start, end, old.Version, false)
	}
}

// goesOn says whether the blob of a put belongs to what covers it: to the put
// itself, or to the body that the pair has become when it got a second name.
func (a *applier) goesOn(old, next *delta.Entry) bool {
	if next.Has(delta.Link) {
		birth, err := item.Link(next.Value)
		if next = a.delta.Get(appendBodyKey(nil, birth)); err != nil || next == nil {
			return false
		}
	}
	return next.Has(delta.Blob) && sameBlob(old.Value, next.Value)
}

// blobOf decodes the reference in the value of a pair with the blob flag. In that
// of a body the number of names follows.
func blobOf(value []byte) (item.Blob, error) {
	return item.DecodeBlob(value[:min(len(value), item.BlobBytes)])
}

// sameBlob says whether two such values name one blob.
func sameBlob(a, b []byte) bool {
	return len(a) >= item.BlobBytes && len(b) >= item.BlobBytes && bytes.Equal(a[:8], b[:8])
}

// apply carries one operation out; the delta keeps copies of its bytes.
func (a *applier) apply(op *item.Op) {
	moved := op.Flags&item.FlagMoved != 0
	switch op.Kind {
	case item.OpPut:
		a.put(op)
	case item.OpDelete:
		a.delta.Delete(a.arena.copy(op.Key), op.Version, moved)
	case item.OpDeleteRange:
		a.delta.DeleteRange(a.arena.copy(op.Key), a.arena.copy(op.End), op.Version, moved)
	}
}

func (a *applier) put(op *item.Op) {
	e := a.arena.entry()
	*e = delta.Entry{
		Key:      a.arena.copy(op.Key),
		Value:    a.arena.copy(op.Value),
		Birth:    op.Birth,
		Modified: op.Modified,
		Version:  op.Version,
		Flags:    deltaFlags(op.Flags),
	}
	if op.Flags&item.FlagMeta != 0 {
		e.Meta = a.arena.copy(op.Meta)
	}
	a.delta.Put(e)
	if isChunkKey(op.Key[0], op.Key[1:]) {
		if ref, err := item.Ref(op.Value); err == nil {
			a.named(ref)
		}
	}
}

// deltaFlags are the flags of a put in a record as a delta has them.
func deltaFlags(f uint8) (flags delta.Flags) {
	for _, m := range recordFlags {
		if f&m.op != 0 {
			flags |= m.delta
		}
	}
	return flags
}
