package crashdisk

import (
	"bytes"
	"errors"
	"io/fs"
	"testing"

	"kivaloo/lbs/disk"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, d *Disk, name string, contents []byte) disk.File {
	t.Helper()
	f, err := d.Create(name)
	must(t, err)
	_, err = f.WriteAt(contents, 0)
	must(t, err)
	return f
}

func read(t *testing.T, d *Disk, name string) []byte {
	t.Helper()
	f, err := d.Open(name)
	must(t, err)
	size, err := f.Size()
	must(t, err)
	p := make([]byte, size)
	_, err = f.ReadAt(p, 0)
	must(t, err)
	return p
}

func TestSyncedSurvivesEveryCut(t *testing.T) {
	want := bytes.Repeat([]byte{7}, 3000)
	for seed := uint64(0); seed < 50; seed++ {
		d := New(seed)
		f := create(t, d, "a", want)
		must(t, f.Datasync())
		must(t, d.SyncDir("."))
		_, err := f.WriteAt(bytes.Repeat([]byte{8}, 512), 4096)
		must(t, err)
		if got := read(t, d.Crash(), "a"); !bytes.Equal(got[:3000], want) {
			t.Fatalf("seed %d: synced bytes changed", seed)
		}
	}
}

func TestUnsyncedIsLostKeptAndTorn(t *testing.T) {
	var sum Stats
	for seed := uint64(0); seed < 200; seed++ {
		d := New(seed)
		f := create(t, d, "a", make([]byte, 4096))
		must(t, f.Datasync())
		must(t, d.SyncDir("."))
		_, err := f.WriteAt(bytes.Repeat([]byte{1}, 4096), 0)
		must(t, err)
		create(t, d, "b", []byte("b"))
		must(t, d.Rename("a", "c"))
		d = d.Crash()
		sum = sum.Add(d.Stats())
		_, a := d.Stat("a")
		_, c := d.Stat("c")
		if (a == nil) == (c == nil) {
			t.Fatalf("seed %d: rename is half done: a: %v, c: %v", seed, a, c)
		}
	}
	for _, n := range []int{sum.SectorsLost, sum.SectorsKept, sum.WritesTorn, sum.EntriesLost, sum.EntriesKept, sum.SizesLost, sum.SizesKept} {
		if n == 0 {
			t.Errorf("something never happens: %+v", sum)
		}
	}
}

func TestEverySectorHasOneOfItsVersions(t *testing.T) {
	seen := map[byte]bool{}
	for seed := uint64(0); seed < 100; seed++ {
		d := New(seed)
		f := create(t, d, "a", make([]byte, 2048))
		must(t, f.Datasync())
		must(t, d.SyncDir("."))
		for v := byte(1); v <= 3; v++ {
			_, err := f.WriteAt(bytes.Repeat([]byte{v}, 2048), 0)
			must(t, err)
		}
		got := read(t, d.Crash(), "a")
		for s := 0; s < 4; s++ {
			sector := got[s*512 : (s+1)*512]
			if !bytes.Equal(sector, bytes.Repeat(sector[:1], 512)) {
				t.Fatalf("seed %d: sector %d is torn", seed, s)
			}
			seen[sector[0]] = true
		}
	}
	if len(seen) != 4 {
		t.Errorf("versions seen: %v, want 4", seen)
	}
}

func TestChangesOfOneNameKeepTheirOrder(t *testing.T) {
	for seed := uint64(0); seed < 200; seed++ {
		d := New(seed)
		must(t, create(t, d, "a", []byte("a")).Sync())
		must(t, d.Rename("a", "b"))
		must(t, d.Rename("b", "c"))
		must(t, d.SyncDir("."))
		must(t, d.Rename("c", "d"))
		must(t, d.Rename("d", "c"))
		must(t, d.Remove("c"))
		d = d.Crash()
		names, err := d.List(".")
		must(t, err)
		if len(names) > 1 {
			t.Fatalf("seed %d: one file has the names %q", seed, names)
		}
	}
}

func TestCutAtFailsThatCallAndAllAfter(t *testing.T) {
	d := New(1)
	f := create(t, d, "a", []byte("a"))
	d.CutAt(2)
	must(t, f.Datasync())
	for i := 0; i < 3; i++ {
		if err := d.SyncDir("."); !errors.Is(err, ErrPowerCut) {
			t.Fatalf("call %d: %v", i, err)
		}
	}
	if !d.IsCut() {
		t.Error("not cut")
	}
	d.Crash()
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, ErrPowerCut) {
		t.Errorf("a file of the boot before still works: %v", err)
	}
}

func TestKillLosesNothingAndUnlocks(t *testing.T) {
	d := New(1)
	create(t, d, "a", []byte("written"))
	_, err := d.Lock(".")
	must(t, err)
	if _, err := d.Lock("."); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("second lock: %v", err)
	}
	old := d
	d = d.Kill()
	if _, err := old.List("."); !errors.Is(err, ErrKilled) {
		t.Errorf("killed process still lists: %v", err)
	}
	if got := read(t, d, "a"); string(got) != "written" {
		t.Errorf("found %q", got)
	}
	_, err = d.Lock(".")
	must(t, err)
	lost := false
	for seed := uint64(0); seed < 20; seed++ {
		_, err := d.Clone(seed).Crash().Stat("a")
		lost = lost || errors.Is(err, fs.ErrNotExist)
	}
	if !lost {
		t.Error("what a kill left unsynced is never lost")
	}
}

func TestCacheLiesAfterFailedSyncAndDirectReadDoesNot(t *testing.T) {
	d := New(3)
	f := create(t, d, "a", make([]byte, 64*512))
	must(t, f.Sync())
	_, err := f.WriteAt(bytes.Repeat([]byte{1}, 64*512), 0)
	must(t, err)
	f.(*file).FailSync()
	cached, direct := make([]byte, 64*512), make([]byte, 64*512)
	_, err = f.ReadAt(cached, 0)
	must(t, err)
	_, _, err = f.ReadDirect(direct, 0)
	must(t, err)
	if !bytes.Equal(cached, bytes.Repeat([]byte{1}, 64*512)) {
		t.Error("the cache lost what was written")
	}
	if bytes.Equal(direct, cached) {
		t.Error("the direct read shows what never reached the disk")
	}
}

func TestFullDiskTakesWhatFits(t *testing.T) {
	d := New(1)
	d.SetBytes(1000)
	f, err := d.Create("a")
	must(t, err)
	n, err := f.WriteAt(make([]byte, 1500), 0)
	if n != 1000 || !disk.IsNoSpace(err) {
		t.Errorf("wrote %d, %v", n, err)
	}
	if err := f.Allocate(1001); !disk.IsNoSpace(err) {
		t.Errorf("allocate: %v", err)
	}
	must(t, d.Remove("a"))
	create(t, d, "b", make([]byte, 1000))
}
