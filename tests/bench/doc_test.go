// Package bench compares the engine with other embedded stores, and the server
// with one that only answers, side by side in one run. Figures of these machines
// change by the minute: a ratio counts where both sides took turns.
//
// It is a module of its own, so that the other stores stay out of what users of
// kivaloo download. What is measured is defined in BENCHMARKS.md.
package bench

import (
	"flag"
	"os"
	"testing"
	"time"
)

var (
	pairsFlag    = flag.Int("pairs", 1<<20, "how many pairs each store holds")
	sliceFlag    = flag.Duration("slice", time.Second, "how long each store has its turn in a round")
	dirFlag      = flag.String("dir", "", "where stores are made (default: the system's folder for temporary files)")
	memtableFlag = flag.Uint64("memtable", 4<<20, "bytes of Pebble's write buffer; the default is its own")
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if err := field.close(); err != nil {
		println("closing the stores:", err.Error())
		code = 1
	}
	os.Exit(code)
}
