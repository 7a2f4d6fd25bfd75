package kvstore

import (
	"flag"
	"math/rand"
	"testing"
	"time"

	"kivaloo/kvstore/kv"
)

var (
	soakFlag  = flag.Duration("soak", 0, "how long TestSoak updates random pairs")
	soakPairs = flag.Int("soak.pairs", 1e6, "how many pairs TestSoak has")
	soakPrice = flag.Float64("soak.price", 0, "storage price of TestSoak's store")
)

// TestSoak updates pairs of 80 bytes at random for as long as it is told, and
// prints every few seconds how much is live and how much is taken, and what was
// appended for each byte of the updates: its write amplification. At no time may
// the store take more than it promises.
func TestSoak(t *testing.T) {
	if *soakFlag == 0 {
		t.Skip("give -soak a duration")
	}
	db := openDir(t, t.TempDir()+"/store", Options{StoragePrice: *soakPrice})
	defer db.Close()
	rng := rand.New(rand.NewSource(int64(testSeed(t))))
	load(t, db, *soakPairs, func(i int) int { return i })
	checkpoint(t, db)
	began, next := time.Now(), db.log.Next()
	worst, updates := 0.0, 0
	for report := 0; time.Since(began) < *soakFlag; {
		load(t, db, 20000, func(int) int { return rng.Intn(*soakPairs) })
		updates += 20000
		u, err := db.Space(ctx)
		if err != nil {
			t.Fatal(err)
		}
		worst = max(worst, overBound(db, &u))
		if s := int(time.Since(began) / (5 * time.Second)); s > report {
			report = s
			written := int64(db.log.Next()-next) * int64(db.blockBytes)
			t.Logf("%4.0f s: %4d MB live, %4d MB taken (%.2f), %.0f updates/s, write amplification %.1f", time.Since(began).Seconds(),
				u.LiveBytes>>20, u.UsedBytes>>20, float64(u.UsedBytes)/float64(u.LiveBytes),
				float64(updates)/time.Since(began).Seconds(), float64(written)/float64(80*updates))
		}
	}
	t.Logf("at most %.2f of what is promised", worst)
	if worst > 1 {
		t.Error("the store has taken more than it promises")
	}
}

// overBound is what the store takes, as a part of promise 10.
func overBound(db *DB, u *kv.Usage) float64 {
	segments, largest := db.space.segmented.Segments(), int64(0)
	for _, g := range segments {
		largest = max(largest, g.Bytes)
	}
	bound := 5*u.LiveBytes/2 + u.HeldBytes + 2*db.space.usualBound() + 4*largest
	return float64(u.UsedBytes) / float64(bound)
}
