package kvstore

import (
	"errors"
	"testing"

	"kivaloo/kvstore/item"
	"kivaloo/kvstore/kv"
)

// Recovery followed the trailers back without asking whether they are of one log:
// an append that was whole, in the right place and not the right one was replayed.
func TestTrailersAreOfOneLog(t *testing.T) {
	db, _ := openMemory(t, Options{})
	defer db.Kill()
	for range 3 {
		commit(t, db, put("k", nil))
	}
	r := &recovery{db: db}
	last, err := r.readTrailer(db.log.Last())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(t *item.Trailer)
		whole  bool
	}{
		"as it was written": {func(t *item.Trailer) {}, true},
		"of another store":  {func(t *item.Trailer) { t.Store[3]++ }, false},
		"one is missing":    {func(t *item.Trailer) { t.Number++ }, false},
		"one too many":      {func(t *item.Trailer) { t.Number-- }, false},
	} {
		after := *last
		c.change(&after)
		if _, err := r.readBefore(&after); (err == nil) != c.whole || (err != nil && !errors.Is(err, kv.ErrCorrupt)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
