package segment

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kivaloo/lbs"
	"kivaloo/lbs/disk"
	"kivaloo/lbs/disk/crashdisk"
	"kivaloo/lbs/disk/faultdisk"
)

// changes are the calls that touch a disk.
const changes = faultdisk.Create | faultdisk.Rename | faultdisk.Remove | faultdisk.Write | faultdisk.Allocate | faultdisk.Truncate

// write makes a file with some contents.
func write(t *testing.T, d disk.FS, name string, contents []byte) {
	t.Helper()
	f, err := d.Create(dir + "/" + name)
	must(t, err)
	_, err = f.WriteAt(contents, 0)
	must(t, err)
	must(t, f.Close())
}

// newStore makes a store with one append in it.
func newStore(t *testing.T) *crashdisk.Disk {
	t.Helper()
	d := crashdisk.New(1)
	s := open(t, d, small)
	add(t, s, 100)
	must(t, s.Close())
	return d
}

// spoiled makes a disk with a good store that is then spoiled.
func spoiled(spoil func(*testing.T, disk.FS)) func(*testing.T) disk.FS {
	return func(t *testing.T) disk.FS {
		d := newStore(t)
		spoil(t, d)
		return d
	}
}

// only makes a disk with a directory that has these files.
func only(names ...string) func(*testing.T) disk.FS {
	return func(t *testing.T) disk.FS {
		d := crashdisk.New(1)
		must(t, d.Mkdir(dir))
		for _, name := range names {
			write(t, d, name, bytes.Repeat([]byte{0, 1}, 5000))
		}
		return d
	}
}

// foreign makes a disk with a directory that has one file with this text.
func foreign(name, text string) func(*testing.T) disk.FS {
	return func(t *testing.T) disk.FS {
		d := crashdisk.New(1)
		must(t, d.Mkdir(dir))
		write(t, d, name, []byte(text))
		return d
	}
}

// record edits the format record.
func record(edit func(p []byte)) func(*testing.T, disk.FS) {
	return func(t *testing.T, d disk.FS) {
		f, err := d.Open(dir + "/format")
		must(t, err)
		p := make([]byte, recordBytes)
		_, err = f.ReadAt(p, 0)
		must(t, err)
		edit(p)
		_, err = f.WriteAt(p, 0)
		must(t, err)
	}
}

// instead removes a file, and writes another in its place or elsewhere.
func instead(remove, name string, contents []byte) func(*testing.T, disk.FS) {
	return func(t *testing.T, d disk.FS) {
		if remove != "" {
			must(t, d.Remove(dir+"/"+remove))
		}
		if name != "" {
			write(t, d, name, contents)
		}
	}
}

func renamed(from, to string) func(*testing.T, disk.FS) {
	return func(t *testing.T, d disk.FS) { must(t, d.Rename(dir+"/"+from, dir+"/"+to)) }
}

func version2(p []byte) {
	order.PutUint32(p[8:], 2)
	order.PutUint32(p[60:], plainCRC(p[:60]))
}

func TestRefusedWithoutTouchingAByte(t *testing.T) {
	seg0, anySize, wrongSize, noCreate := openName(0), small, small, small
	anySize.BlockBytes, wrongSize.BlockBytes, noCreate.Create = 0, 1024, false
	for name, tt := range map[string]struct {
		make func(*testing.T) disk.FS
		opts Options
		want error
	}{
		"wrong block size":          {spoiled(instead("", "", nil)), wrongSize, lbs.ErrFormat},
		"newer version":             {spoiled(record(version2)), anySize, lbs.ErrFormat},
		"flipped bit in the record": {spoiled(record(func(p []byte) { p[20] ^= 1 })), small, lbs.ErrDamaged},
		"record is empty":           {spoiled(instead("format", "format", nil)), small, lbs.ErrDamaged},
		"record without segments":   {spoiled(instead(seg0, "", nil)), small, lbs.ErrDamaged},
		"segments without record":   {spoiled(instead("format", "", nil)), small, lbs.ErrDamaged},
		"segment too short":         {spoiled(instead(seg0, seg0, []byte("short"))), small, lbs.ErrDamaged},
		"overlapping segments":      {spoiled(instead("", closedName(0, 9), make([]byte, 12<<10))), small, lbs.ErrDamaged},
		"segment of another number": {spoiled(renamed(seg0, openName(7))), small, lbs.ErrDamaged},
		"closed segment at the end": {spoiled(renamed(seg0, closedName(0, 1))), small, lbs.ErrDamaged},
		"segment 0 of others":       {foreign(seg0, "a letter"), small, lbs.ErrDamaged},
		"long segment 0 of others":  {foreign(seg0, "a letter"+strings.Repeat("\x00", 9000)), small, lbs.ErrDamaged},
		"original's directory":      {only("blks_0000000000000000"), small, lbs.ErrNotStore},
		"somebody's files":          {only("letter.txt"), small, lbs.ErrNotStore},
		"almost our names":          {only("seg_0", "spare_00000001"), small, lbs.ErrNotStore},
		"empty, not to be created":  {only(), noCreate, lbs.ErrNotStore},
	} {
		t.Run(name, func(t *testing.T) {
			d := faultdisk.New(tt.make(t))
			_, err := Open(d, dir, tt.opts)
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if n := d.Count(changes); n > 0 {
				t.Errorf("the disk was touched %d times", n)
			}
			l, err := d.Lock(dir)
			must(t, err) // not left locked
			must(t, l.Close())
		})
	}
}

// TestDeletedLastSegmentIsRefused: whoever deletes the file with the newest blocks,
// after a clean stop or a kill, is told which is missing; its numbers are not used
// again, and nothing is touched.
func TestDeletedLastSegmentIsRefused(t *testing.T) {
	for _, clean := range []bool{true, false} {
		d := crashdisk.New(1)
		s := open(t, d, small)
		for len(s.Segments()) < 3 {
			add(t, s, 448)
		}
		add(t, s, 448)
		must(t, s.WaitSpares())
		last := openName(s.Segments()[2].First)
		if !clean {
			d = d.Kill()
		}
		_ = s.Close()
		must(t, d.Remove(dir+"/"+last))
		f := faultdisk.New(d)
		_, err := Open(f, dir, small)
		if !errors.Is(err, lbs.ErrDamaged) || !strings.Contains(err.Error(), last) {
			t.Errorf("clean %v: %v", clean, err)
		}
		if n := f.Count(changes); n > 0 {
			t.Errorf("clean %v: the disk was touched %d times", clean, n)
		}
	}
}

func TestImpossibleOptionsAreRefused(t *testing.T) {
	for _, o := range []Options{
		{BlockBytes: 511}, {BlockBytes: 131073}, {BlockBytes: -1},
		{MinSegmentBytes: -1}, {MinSegmentBytes: 2 << 20, MaxSegmentBytes: 1 << 20}, {MaxSegmentBytes: 1 << 40},
	} {
		o.Create = true
		d := crashdisk.New(1)
		if _, err := Open(d, dir, o); err == nil || d.Calls() > 0 {
			t.Errorf("%+v: %v, after %d calls", o, err, d.Calls())
		}
	}
	if _, err := Open(crashdisk.New(1), dir, Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
}

// TestWhatCountsAsEmpty: a socket, pid file and log of ours, a lost+found, and what
// a creation that was cut off has left.
func TestWhatCountsAsEmpty(t *testing.T) {
	d := crashdisk.New(1)
	must(t, d.Mkdir(dir))
	must(t, d.Mkdir(dir+"/lost+found"))
	litter := []string{"kivaloo.sock", "kivaloo.log", "kivaloo.pid"}
	for _, name := range litter {
		write(t, d, name, []byte("litter"))
	}
	for _, name := range []string{"format.tmp", "spare_00000009", "spare_0000000a.tmp"} {
		write(t, d, name, []byte("left over"))
	}
	write(t, d, openName(0), append([]byte(headerMagic), make([]byte, headerBytes+8192)...))
	s := open(t, d, small)
	add(t, s, 100, 200)
	must(t, s.Close())
	s = open(t, d, small)
	if s.Next() != 2 || !isThere(t, s, 0, 100) {
		t.Errorf("next %d", s.Next())
	}
	for _, name := range litter {
		if string(contents(t, d, dir+"/"+name)) != "litter" {
			t.Errorf("%s was touched", name)
		}
	}
}

func TestNewStoreHasItsOwnIdentityAndKeepsIt(t *testing.T) {
	seen := map[[16]byte]bool{}
	for range 3 {
		d := crashdisk.New(1)
		s := open(t, d, Options{Create: true})
		id := s.ID()
		if seen[id] || s.BlockBytes() != lbs.BlockBytesDefault {
			t.Errorf("id %x, blocks of %d", id, s.BlockBytes())
		}
		seen[id] = true
		must(t, s.Close())
		if s = open(t, d, Options{}); s.ID() != id {
			t.Errorf("id %x after reopening, was %x", s.ID(), id)
		}
	}
}

// TestSecondOpenerIsRefused, on a real disk, with a real socket beside the store.
func TestSecondOpenerIsRefused(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "odd name"))
	must(t, err)
	defer l.Close()
	opts := Options{Create: true, MinSegmentBytes: 64 << 10}
	s, err := Open(disk.OS{}, dir, opts)
	must(t, err)
	if _, err := Open(disk.OS{}, dir, opts); !errors.Is(err, lbs.ErrInUse) {
		t.Errorf("second opener: %v", err)
	}
	must(t, s.Close())
	s, err = Open(disk.OS{}, dir+"/../"+filepath.Base(dir), opts)
	must(t, err)
	must(t, s.Close())
}

// TestSegmentsGrowWithTheStore: to a sixteenth of it, between the bounds; spares of
// a size that it has outgrown are removed.
func TestSegmentsGrowWithTheStore(t *testing.T) {
	d := crashdisk.New(1)
	s := open(t, d, Options{Create: true, MinSegmentBytes: 16 << 10, MaxSegmentBytes: 64 << 10})
	for i := range 300 {
		add(t, s, 11<<10)
		if i%10 == 0 {
			must(t, s.WaitSpares())
		}
	}
	must(t, s.WaitSpares())
	all := s.Segments()
	if first, last := all[0].Bytes, all[len(all)-1].Bytes; first != 16<<10 || last != 64<<10 {
		t.Errorf("the first segment has %d bytes, the last %d", first, last)
	}
	space, err := s.Space()
	must(t, err)
	if space.Spare < 3*64<<10 || space.Spare > 4*64<<10 {
		t.Errorf("spares of %d bytes in all", space.Spare)
	}
	for _, g := range all[:len(all)-1] {
		must(t, s.FreeSegment(g.First))
	}
	must(t, s.WaitSpares())
	if space, err = s.Space(); err != nil || space.Spare > 4*32<<10 {
		t.Errorf("spares of %d bytes in all, after freeing: %v", space.Spare, err)
	}
}

// TestLargeStoreOpensWithoutReadingIt counts what is read of a store of many
// segments.
func TestLargeStoreOpensWithoutReadingIt(t *testing.T) {
	d := faultdisk.New(crashdisk.New(1))
	s := open(t, d, small)
	for len(s.Segments()) < 200 {
		add(t, s, 12*512)
	}
	must(t, s.Close())
	read := 0
	d.Inject(func(c faultdisk.Call) *faultdisk.Fault {
		if c.Op&faultdisk.Reads != 0 {
			read += c.Bytes
		}
		return nil
	})
	s, err := Open(d, dir, small)
	must(t, err)
	defer s.Close()
	if read > 1<<16 {
		t.Errorf("read %d bytes to open a store with segments of %d", read, small.MinSegmentBytes)
	}
}

// TestWhatIsNoDirectoryIsNoStore: a file, a link to one, and a fifo, which must not
// be waited for.
func TestWhatIsNoDirectoryIsNoStore(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/file", []byte("text"), 0o600))
	must(t, os.Symlink("file", dir+"/link"))
	must(t, syscall.Mkfifo(dir+"/fifo", 0o600))
	for _, name := range []string{"file", "link", "fifo"} {
		for _, create := range []bool{true, false} {
			_, err := Open(disk.OS{}, dir+"/"+name, Options{Create: create})
			if !errors.Is(err, lbs.ErrNotStore) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestFilesOfAStoreAreTheOwnersAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	s, err := Open(disk.OS{}, dir, Options{Create: true, MinSegmentBytes: 64 << 10})
	must(t, err)
	must(t, s.WaitSpares())
	must(t, s.Close())
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		info, err := os.Stat(path)
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
		return err
	}))
}
