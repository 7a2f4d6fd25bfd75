package kvstore

import (
	"kivaloo/kvstore/delta"
	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
)

// An undo is what a transaction that fails goes back to.
type undo struct {
	delta *delta.Delta // nil: the transaction has done nothing that could be left
	mark  item.Mark
	body  int
	pins  int
}

// begin begins a transaction. To be able to go back costs something; most lone
// effects need not, since they fail before they do anything.
func (w *writer) begin(r *request) {
	r.from = w.open.size()
	if len(r.txn.Effects) == 1 {
		switch r.txn.Effects[0].Op {
		case kv.Put, kv.Delete, kv.SetMeta, kv.Move:
			return
		}
	}
	w.secure()
}

// secure makes sure that the transaction can go back to where it began. A lone
// effect that has met a value with several names calls it before it does anything:
// it may fail in its middle.
func (w *writer) secure() {
	if w.undo.delta == nil {
		w.undo = undo{w.applier.delta.Freeze(), w.open.record.Mark(), len(w.open.body), w.db.pins.mark()}
	}
}

// end forgets where a transaction began: it may keep much in memory.
func (w *writer) end() { w.undo = undo{} }

// goBack takes back what the effects of a transaction have done so far.
func (w *writer) goBack() {
	u := &w.undo
	if u.delta == nil {
		return
	}
	w.applier.use(u.delta)
	w.working.active = u.delta
	w.open.record.Rewind(u.mark)
	w.open.body = w.open.body[:u.body]
	w.db.pins.rewind(u.pins)
}
