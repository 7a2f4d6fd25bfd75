package disk

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFilesAreMadeNamedAndRemoved(t *testing.T) {
	var d OS
	dir := t.TempDir()
	must(t, d.Mkdir(dir+"/sub"))
	f, err := d.Create(dir + "/sub/a")
	must(t, err)
	defer f.Close()
	if _, err := d.Create(dir + "/sub/a"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create twice: %v", err)
	}
	must(t, d.Rename(dir+"/sub/a", dir+"/sub/b"))
	must(t, os.Link(dir+"/sub/b", dir+"/sub/c"))
	names, err := d.List(dir + "/sub")
	must(t, err)
	if len(names) != 2 || names[0] != "b" || names[1] != "c" {
		t.Errorf("names: %q", names)
	}
	info, err := d.Stat(dir + "/sub/b")
	must(t, err)
	if info.Links != 2 || info.Mode.Perm() != fileMode {
		t.Errorf("info: %+v", info)
	}
	must(t, d.Remove(dir+"/sub/b"))
	must(t, d.SyncDir(dir+"/sub"))
	if _, err := d.Open(dir + "/sub/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open a removed file: %v", err)
	}
}

func TestDirectReadGoesOnAfterRename(t *testing.T) {
	var d OS
	dir := t.TempDir()
	f, err := d.Create(dir + "/a")
	must(t, err)
	defer f.Close()
	must(t, f.Allocate(3*DirectBytes))
	want := bytes.Repeat([]byte("kivaloo!"), DirectBytes/4)
	_, err = f.WriteAt(want, 0)
	must(t, err)
	must(t, f.Datasync())
	must(t, f.Sync())
	must(t, d.Rename(dir+"/a", dir+"/b"))
	p := AlignedBuffer(4 * DirectBytes)
	n, direct, err := f.ReadDirect(p, 0)
	if n != 3*DirectBytes || err != io.EOF {
		t.Fatalf("read %d (direct: %v): %v", n, direct, err)
	}
	if !bytes.Equal(p[:len(want)], want) {
		t.Error("read other bytes than were written")
	}
	must(t, f.DropCache())
	must(t, f.Truncate(100))
	if size, err := f.Size(); size != 100 || err != nil {
		t.Errorf("size %d, %v", size, err)
	}
}

func TestOneLockPerDirectory(t *testing.T) {
	var d OS
	dir := t.TempDir()
	l, err := d.Lock(dir)
	must(t, err)
	if _, err := d.Lock(dir); !errors.Is(err, ErrLocked) {
		t.Errorf("second lock: %v", err)
	}
	must(t, l.Close())
	l, err = d.Lock(dir)
	must(t, err)
	must(t, l.Close())
	if names, _ := filepath.Glob(dir + "/*"); len(names) > 0 {
		t.Errorf("locking has left %q", names)
	}
	u, err := d.Usage(dir)
	if err != nil || u.Total == 0 || u.Free > u.Total {
		t.Errorf("usage %+v, %v", u, err)
	}
}
