package faultdisk

import (
	"bytes"
	"errors"
	"syscall"
	"testing"

	"kivaloo/lbs/disk"
	"kivaloo/lbs/disk/crashdisk"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, d *Disk, name string) disk.File {
	t.Helper()
	f, err := d.Create(name)
	must(t, err)
	return f
}

func contents(t *testing.T, f disk.File) []byte {
	t.Helper()
	size, err := f.Size()
	must(t, err)
	p := make([]byte, size)
	_, err = f.ReadAt(p, 0)
	must(t, err)
	return p
}

func TestFailNthFailsOnce(t *testing.T) {
	d := New(crashdisk.New(1))
	f := create(t, d, "a")
	d.FailNth(Flushes, 2, syscall.EIO)
	must(t, f.Datasync())
	if err := d.SyncDir("."); !errors.Is(err, syscall.EIO) {
		t.Errorf("second flush: %v", err)
	}
	must(t, f.Sync())
	if n := d.Count(Flushes); n != 3 {
		t.Errorf("counted %d flushes", n)
	}
}

func TestFailedSyncShowsInTheCacheWhatIsNotOnTheDisk(t *testing.T) {
	d := New(crashdisk.New(5))
	f := create(t, d, "a")
	_, err := f.WriteAt(bytes.Repeat([]byte{1}, 8192), 0)
	must(t, err)
	d.FailNth(Datasync, 1, syscall.EIO)
	if err := f.Datasync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("datasync: %v", err)
	}
	must(t, f.Datasync())
	direct := disk.AlignedBuffer(8192)
	_, _, err = f.ReadDirect(direct, 0)
	must(t, err)
	if bytes.Equal(direct, contents(t, f)) {
		t.Error("nothing was lost")
	}
}

func TestWritesAreShortLostAndMisdirected(t *testing.T) {
	fault := &Fault{Err: syscall.EIO, Written: 3}
	d := New(crashdisk.New(1))
	f := create(t, d, "a")
	_, err := f.WriteAt([]byte("........"), 0)
	must(t, err)
	remove := d.Inject(func(c Call) *Fault {
		if c.Op == Write {
			return fault
		}
		return nil
	})
	if n, err := f.WriteAt([]byte("short"), 0); n != 3 || !errors.Is(err, syscall.EIO) {
		t.Errorf("wrote %d, %v", n, err)
	}
	fault = &Fault{Lost: true}
	_, err = f.WriteAt([]byte("lost"), 0)
	must(t, err)
	fault = &Fault{Shift: 4}
	_, err = f.WriteAt([]byte("far"), 0)
	must(t, err)
	remove()
	if got := contents(t, f); string(got) != "sho.far." {
		t.Errorf("found %q", got)
	}
}

func TestRoomIsTakenAndGivenBack(t *testing.T) {
	d := New(crashdisk.New(1))
	d.SetRoom(100)
	f := create(t, d, "a")
	if n, err := f.WriteAt(make([]byte, 150), 0); n != 100 || !disk.IsNoSpace(err) {
		t.Errorf("wrote %d, %v", n, err)
	}
	g := create(t, d, "b")
	if err := g.Allocate(1); !disk.IsNoSpace(err) {
		t.Errorf("allocate: %v", err)
	}
	u, err := d.Usage(".")
	must(t, err)
	if u.Free != 0 {
		t.Errorf("free: %d", u.Free)
	}
	must(t, f.Close())
	must(t, d.Remove("a"))
	must(t, g.Allocate(100))
	d.SetRoom(50)
	_, err = g.WriteAt(make([]byte, 50), 100)
	must(t, err)
}

func TestRotFlipsTheBitsOfARange(t *testing.T) {
	d := New(crashdisk.New(1))
	f := create(t, d, "a")
	_, err := f.WriteAt([]byte("abcd"), 0)
	must(t, err)
	must(t, d.Rot("a", 1, 2, 0x20))
	if got := contents(t, f); string(got) != "aBCd" {
		t.Errorf("found %q", got)
	}
}
