package kvtest

import (
	"testing"

	"kivaloo/kvstore/kv"
)

// openModel has the model tested by the suite that it is the oracle of.
func openModel(tb testing.TB) *Subject {
	m := NewModel(nil)
	tb.Cleanup(func() { m.Close() })
	again := func() (kv.Store, error) {
		m = m.Reopen()
		return m, nil
	}
	return &Subject{Store: m, Reopen: again, Crash: again, Lacks: Longest}
}

func TestModelConforms(t *testing.T) { Run(t, openModel) }
