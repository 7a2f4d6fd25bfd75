package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// diskBytes is what the store's files take on disk.
func diskBytes(t *testing.T, p *place) (total int64) {
	t.Helper()
	files, err := filepath.Glob(p.dir + "/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if info, err := os.Lstat(f); err == nil { // a segment may go meanwhile
			total += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
	}
	return total
}

// TestSpaceIsGivenBack overwrites the same few keys for a long time: dead segments
// are freed while the store is in use.
func TestSpaceIsGivenBack(t *testing.T) {
	const (
		keys   = 1000
		rounds = 400
		// Two log bounds of 4 MiB, four segments and spares of 1 MiB, and the log
		// of a checkpoint that is under way.
		limit = 24 << 20
	)
	p := newPlace(t)
	p.serve()
	c := dial(t, p.sock)
	var most int64
	for round := range rounds {
		var burst []byte
		for i := range keys {
			burst = append(burst, packet(uint64(i), request(reqSet, fmt.Sprint("key", i), fmt.Sprintf("%0200d", round)))...)
		}
		go c.conn.Write(burst)
		for range keys {
			if _, _, _, err := readPacket(c.in); err != nil {
				t.Fatal(err)
			}
		}
		most = max(most, diskBytes(t, p))
	}
	written := int64(keys * rounds * 200)
	t.Logf("%d MiB written over %d kB of live data; at most %d MiB on disk", written>>20, keys*200>>10, most>>20)
	if most > limit {
		t.Errorf("the store took %d MiB on disk, more than %d", most>>20, int64(limit)>>20)
	}
	p.crash()
	start := time.Now()
	p.serve()
	t.Logf("opening it after a kill took %v", time.Since(start))
	if got := p.get("key7"); got != fmt.Sprintf("%0200d", rounds-1) {
		t.Errorf("key7 is %q", got)
	}
}
