package tests

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A damagePair is a pair of the store that gets damaged.
type damagePair struct{ key, value string }

// damagePairs are of all kinds: in a page beside others, alone in one, in chunks.
func damagePairs() []damagePair {
	var all []damagePair
	for i := range 600 {
		n := []int{0, 10, 200, 255, 900, 5000, 40000}[i%7]
		all = append(all, damagePair{fmt.Sprintf("d/%04d", i), strings.Repeat(fmt.Sprintf("%04d ", i), n/5)})
	}
	return all
}

// damagedSource is a closed store whose files the test damages in copies. Half of
// it is in pages after a clean stop, half in commit records only.
func damagedSource(t *testing.T) (*place, []damagePair) {
	p := newMount(t)
	pairs := damagePairs()
	shell(t, p.mnt, "mkdir d")
	for i, pair := range pairs {
		p.write(pair.key, pair.value)
		if i == len(pairs)/2 {
			p.umount()
			p.mount()
		}
	}
	awaitProof(t, p)
	p.crash()
	if err := detach(p.mnt); err != nil {
		t.Fatal(err)
	}
	return p, pairs
}

// awaitProof waits for an append after the last one that was answered: until then
// nothing tells a bit flipped in that one from an append that was cut off.
func awaitProof(t *testing.T, p *place) {
	t.Helper()
	path, end := lastSegment(t, p)
	grown := func() bool {
		nowPath, nowEnd := lastSegment(t, p)
		return nowPath != path || nowEnd > end
	}
	if !eventually(commandMax/2, grown) {
		t.Fatal("an idle store has not proved its last append")
	}
}

// TestFlippedBitIsNeverServed flips one bit at a time anywhere in what the store
// has written. It is either refused with exit code 4, or opens, and then each file
// reads as it was written or gets EIO. With a bit in unused bytes nothing happens.
// The store was idle for a second before it was killed: see awaitProof.
func TestFlippedBitIsNeverServed(t *testing.T) {
	p, pairs := damagedSource(t)
	rng := random(t)
	shell(t, p.home, "cp -a store whole")
	var refused, eio, unharmed int
	for range *flips {
		p.extendLife()
		shell(t, p.home, "rm -rf store && cp -a whole store")
		where := flipBit(t, rng, p.dir)
		r := kivaloo(t, "mount", p.dir, p.mnt)
		if r.code != 0 {
			r.expect(t, 4)
			refused++
			continue
		}
		if n := readDamaged(t, p, pairs, where); n > 0 {
			eio++
		} else {
			unharmed++
		}
		kivaloo(t, "umount", p.mnt).expect(t, 0)
	}
	t.Logf("of %d bits: %d stores refused, %d with files that cannot be read, %d unharmed", *flips, refused, eio, unharmed)
}

// flipBit flips a random bit among those that are not zero for long: the spares
// and the ends of segments would make a dull test.
func flipBit(t *testing.T, rng *rand.Rand, dir string) string {
	t.Helper()
	files, err := filepath.Glob(dir + "/[fs][oe][rg]*") // format and seg_*
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for {
		file := files[rng.IntN(len(files))]
		if filepath.Base(file) == "format" && rng.IntN(4) > 0 {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		at := rng.IntN(len(text))
		if strings.Trim(string(text[max(0, at-8):min(len(text), at+8)]), "\x00") == "" {
			continue
		}
		text[at] ^= 1 << rng.IntN(8)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%s, byte %d", filepath.Base(file), at)
	}
}

// readDamaged returns how many files answer EIO, and fails for any other answer
// than that or the right one.
func readDamaged(t *testing.T, p *place, pairs []damagePair, where string) (eio int) {
	t.Helper()
	for _, pair := range pairs {
		got, err := os.ReadFile(p.path(pair.key))
		switch {
		case err == nil && string(got) == pair.value:
		case err != nil && strings.Contains(err.Error(), syscall.EIO.Error()):
			eio++
		default:
			t.Errorf("bit flipped in %s: %s has %d bytes (%v), want %d", where, pair.key, len(got), err, len(pair.value))
		}
	}
	if eio == len(pairs) {
		t.Logf("bit flipped in %s: no file at all can be read", where)
	}
	if eio > 0 && !strings.Contains(p.log(), "block") {
		t.Errorf("bit flipped in %s: the log does not name the block", where)
	}
	return eio
}

// lastSegment finds the newest segment file, and where what was written to it
// ends.
func lastSegment(t *testing.T, p *place) (path string, end int) {
	t.Helper()
	files, err := filepath.Glob(p.dir + "/seg_*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	path = files[len(files)-1] // names are hexadecimal numbers of one length
	text := fileText(t, p.dir, filepath.Base(path))
	return path, len(strings.TrimRight(text, "\x00"))
}

func overwrite(t *testing.T, path string, at int, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt(b, int64(at))
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestTornTailIsDroppedNotFatal: an append that was cut off after the last whole
// one was never acknowledged.
func TestTornTailIsDroppedNotFatal(t *testing.T) {
	p := newPlace(t)
	p.serve()
	c := dial(t, p.sock)
	for i := range 50 {
		if err := c.set(fmt.Sprint("key", i), "value"); err != nil {
			t.Fatal(err)
		}
	}
	p.crash()
	path, end := lastSegment(t, p)
	block := (end + 4095) / 4096 * 4096
	overwrite(t, path, block, []byte(strings.Repeat("torn", 1500)))
	p.serve()
	pairs, err := dial(t, p.sock).rangeAll(4096, "", "")
	if err != nil || len(pairs) != 50 {
		t.Errorf("%d pairs (%v) after a torn append, want 50", len(pairs), err)
	}
}

// TestDamageBeforeTheTailIsRefused: the acknowledged log is never cut short.
func TestDamageBeforeTheTailIsRefused(t *testing.T) {
	for _, size := range []int{1, 64, 4096} {
		t.Run(fmt.Sprintf("%d zeros", size), func(t *testing.T) {
			p := newPlace(t)
			p.serve()
			c := dial(t, p.sock)
			for i := range 50 {
				if err := c.set(fmt.Sprint("key", i), "value"); err != nil {
					t.Fatal(err)
				}
			}
			p.crash()
			path, end := lastSegment(t, p)
			overwrite(t, path, (end/4096-10)*4096, make([]byte, size))
			refusesUntouched(t, p, 4, "block")
		})
	}
}
