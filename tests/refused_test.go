package tests

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// contentsOf reads all files of a folder, to tell whether it was touched.
func contentsOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text := f.Type().String() // of what is no file
		if f.Type().IsRegular() && f.Name() != "kivaloo.log" {
			text = fileText(t, dir, f.Name())
		}
		all[f.Name()] = text
	}
	return all
}

// refusesUntouched runs mount and serve on a store that must be refused, and
// compares it before and after.
func refusesUntouched(t *testing.T, p *place, code int, words ...string) {
	t.Helper()
	before := contentsOf(t, p.dir)
	kivaloo(t, "serve", p.dir).expect(t, code, append(words, filepath.Base(p.dir))...)
	kivaloo(t, "mount", p.dir, p.mnt).expect(t, code, words...)
	if isMounted(p.mnt) {
		t.Error("it is mounted all the same")
	}
	delete(before, "kivaloo.log")
	after := contentsOf(t, p.dir)
	delete(after, "kivaloo.log")
	if !maps.Equal(before, after) {
		t.Error("the folder was changed")
	}
}

func TestFolderThatIsNoStoreIsRefused(t *testing.T) {
	for _, name := range []string{"letter.txt", "kivaloo.sock.txt", "seg_0000000000000000"} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			if err := os.Mkdir(p.dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p.dir+"/"+name, bytes.Repeat([]byte("something "), 1000), 0o644); err != nil {
				t.Fatal(err)
			}
			before := contentsOf(t, p.dir)
			r := kivaloo(t, "serve", p.dir)
			if r.code != 7 && r.code != 4 || !strings.Contains(r.err, p.dir) {
				t.Errorf("exit code %d, stderr %q", r.code, r.err)
			}
			after := contentsOf(t, p.dir)
			delete(after, "kivaloo.log")
			if !maps.Equal(before, after) {
				t.Errorf("the folder was changed: %v", maps.Collect(maps.All(after)))
			}
		})
	}
	t.Run("a file", func(t *testing.T) {
		p := newPlace(t)
		if err := os.WriteFile(p.dir, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		kivaloo(t, "serve", p.dir).expect(t, 7)
	})
}

func TestSecondServerIsRefused(t *testing.T) {
	p := newPlace(t)
	p.serve()
	c := dial(t, p.sock)
	if err := c.set("key", "value"); err != nil {
		t.Fatal(err)
	}
	kivaloo(t, "serve", p.dir).expect(t, 6, p.dir)
	kivaloo(t, "serve", p.dir, "--socket", p.home+"/other.sock").expect(t, 6)
	kivaloo(t, "mount", p.dir, p.mnt).expect(t, 6, p.dir)
	kivaloo(t, "serve", p.home+"/other", "--socket", p.sock).expect(t, 6, p.sock)
	if got, ok, err := c.get("key"); got != "value" || !ok || err != nil {
		t.Errorf("the first server answers %q, %v, %v", got, ok, err)
	}
}

// editRecord changes the format record of a closed store and makes its CRC right
// again. It knows the record from its description: 64 bytes, little-endian;
// version at 8, CRC-32C of the first 60 at 60.
func editRecord(t *testing.T, p *place, edit func(record []byte)) {
	t.Helper()
	path := p.dir + "/format"
	record := []byte(fileText(t, p.dir, "format"))
	edit(record)
	binary.LittleEndian.PutUint32(record[60:], crc32.Checksum(record[:60], castagnoli))
	if err := os.WriteFile(path, record, 0o600); err != nil {
		t.Fatal(err)
	}
}

// closedStore is a store with some pairs that was stopped cleanly.
func closedStore(t *testing.T) *place {
	p := newPlace(t)
	p.serve()
	c := dial(t, p.sock)
	for i := range 100 {
		if err := c.set(fmt.Sprintf("key%d", i), "value"); err != nil {
			t.Fatal(err)
		}
	}
	p.stop(syscall.SIGTERM)
	return p
}

func TestNewerFormatIsRefused(t *testing.T) {
	p := closedStore(t)
	editRecord(t, p, func(r []byte) { binary.LittleEndian.PutUint32(r[8:], 2) })
	refusesUntouched(t, p, 7, "version 2")
}

func TestAnotherStoresRecordIsRefused(t *testing.T) {
	p := closedStore(t)
	editRecord(t, p, func(r []byte) { r[16] ^= 1 })
	refusesUntouched(t, p, 4)
}

func TestWrongBlockSizeIsRefused(t *testing.T) {
	p := closedStore(t)
	editRecord(t, p, func(r []byte) { binary.LittleEndian.PutUint32(r[12:], 1024) })
	refusesUntouched(t, p, 4)
}

func TestStoreInsideItsMountIsRefused(t *testing.T) {
	p := newPlace(t)
	shell(t, "/", "mkdir -p "+p.mnt+" "+p.dir)
	kivaloo(t, "mount", p.mnt+"/store", p.mnt).expect(t, 9, "inside")
	kivaloo(t, "mount", p.dir, p.dir+"/mnt").expect(t, 9, "inside")
	kivaloo(t, "mount", p.dir, p.dir).expect(t, 9)
	// The same behind a link.
	shell(t, p.home, "ln -s mnt alias")
	kivaloo(t, "mount", p.home+"/alias/store", p.mnt).expect(t, 9, "inside")
	for _, dir := range []string{p.mnt, p.dir} {
		if names := contentsOf(t, dir); len(names) > 0 {
			t.Errorf("%s has %v", dir, names)
		}
	}
}

func TestMountPointInUseIsRefused(t *testing.T) {
	p := newMount(t)
	p.write("file", "contents")
	kivaloo(t, "mount", p.home+"/other", p.mnt).expect(t, 9, p.mnt, "in use")
	if got := p.read("file"); got != "contents" {
		t.Errorf("the first mount shows %q", got)
	}
	files := p.home + "/files"
	shell(t, "/", fmt.Sprintf("mkdir '%s'; touch '%s/x'", files, files))
	kivaloo(t, "mount", p.home+"/third", files).expect(t, 9, files, "not empty")
	kivaloo(t, "mount", p.home+"/third", files+"/x").expect(t, 9, files)
	if _, err := os.Stat(p.home + "/third"); !os.IsNotExist(err) {
		t.Errorf("a refused mount has made its store: %v", err)
	}
}

// TestTwoMountsAtOnce: of several that start at the same moment, one is mounted and
// the others are told that the place is in use, and leave nothing behind.
func TestTwoMountsAtOnce(t *testing.T) {
	needMount(t)
	p := newPlace(t)
	for round := range 5 {
		if round%2 == 0 {
			os.Remove(p.mnt)
		}
		var all sync.WaitGroup
		var results [3]result
		for i := range results {
			all.Go(func() { results[i] = kivaloo(t, "mount", fmt.Sprintf("%s/s%d.%d", p.home, round, i), p.mnt) })
		}
		all.Wait()
		mounted := 0
		for i, r := range results {
			if r.code == 0 {
				mounted++
				continue
			}
			r.expect(t, 9, "in use")
			if _, err := os.Stat(fmt.Sprintf("%s/s%d.%d", p.home, round, i)); err == nil {
				t.Errorf("round %d: a refused mount has made its store", round)
			}
		}
		if points := mountsBelow(p.home); mounted != 1 || len(points) != 1 {
			t.Errorf("round %d: %d have answered 0, mounts are %q", round, mounted, points)
		}
		for range mountsBelow(p.home) {
			kivaloo(t, "umount", p.mnt)
		}
	}
}

// TestDeadMountIsCleared: after kill -9 the same command works again, also when
// somebody still has a file of the dead mount open.
func TestDeadMountIsCleared(t *testing.T) {
	p := newMount(t)
	p.write("file", "contents")
	f, err := os.Open(p.path("file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p.crash()
	if _, err := os.Stat(p.mnt); err == nil {
		t.Fatal("the mount lives after kill -9")
	}
	start := time.Now()
	p.mount()
	t.Logf("mounting again took %v", time.Since(start))
	if got := p.read("file"); got != "contents" {
		t.Errorf("the file is %q", got)
	}
	if got := p.get("file"); got != "contents" {
		t.Errorf("the socket answers %q", got)
	}
	if points := mountsBelow(p.home); len(points) != 1 {
		t.Errorf("mounts are %q, want one", points)
	}
}

// TestUmountOfADeadMount: it goes away, and the store opens.
func TestUmountOfADeadMount(t *testing.T) {
	p := newMount(t)
	p.write("file", "contents")
	p.crash()
	kivaloo(t, "umount", p.mnt).expect(t, 0)
	if isMounted(p.mnt) {
		t.Error("still mounted")
	}
	p.serve()
	if got := p.get("file"); got != "contents" {
		t.Errorf("the file is %q", got)
	}
}

// TestSymbolicStoreAndSpaces: odd but legal places.
func TestSymbolicStoreAndSpaces(t *testing.T) {
	needMount(t)
	p := newPlace(t)
	shell(t, p.home, "mkdir 'a b' && ln -s 'a b' link")
	p.dir, p.mnt = p.home+"/a b/store #1", p.home+"/link/mnt\t2"
	p.sock = p.dir + "/kivaloo.sock"
	kivaloo(t, "mount", p.dir, p.mnt).expect(t, 0)
	p.mnt = p.home + "/a b/mnt\t2"
	p.write("file", "contents")
	if got := p.get("file"); got != "contents" {
		t.Errorf("the file is %q", got)
	}
	p.umount()
}

// TestVeryLongSocketPath: beyond the 107 bytes that a socket's address holds.
func TestVeryLongSocketPath(t *testing.T) {
	p := newPlace(t)
	p.dir = p.home + "/" + strings.Repeat("d", 120)
	p.serve()
	p.sock = p.dir + "/kivaloo.sock"
	p.set("a", "b")
	if got := p.get("a"); got != "b" {
		t.Errorf("a is %q", got)
	}
}

func TestLostFormatRecordIsRefused(t *testing.T) {
	p := closedStore(t)
	if err := os.Remove(p.dir + "/format"); err != nil {
		t.Fatal(err)
	}
	refusesUntouched(t, p, 4)
}

func TestLostSegmentsAreRefused(t *testing.T) {
	p := closedStore(t)
	shell(t, p.dir, "rm seg_*")
	refusesUntouched(t, p, 4)
}

func TestGarbageInTheLogIsNotServed(t *testing.T) {
	p := closedStore(t)
	segments, err := filepath.Glob(p.dir + "/seg_*")
	if err != nil || len(segments) == 0 {
		t.Fatal("no segments", err)
	}
	for _, s := range segments {
		if err := os.WriteFile(s, bytes.Repeat([]byte("garbage "), 1<<17), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refusesUntouched(t, p, 4)
}
