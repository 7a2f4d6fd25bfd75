package segment

import (
	"fmt"
	"testing"

	"kivaloo/lbs"
	"kivaloo/lbs/disk"
	"kivaloo/lbs/disk/crashdisk"
	"kivaloo/lbs/lbstest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	for _, blockBytes := range []int{512, 1000, 1023, 4096, 8192} {
		t.Run(fmt.Sprint("memory/", blockBytes), func(t *testing.T) {
			lbstest.Run(t, func(t *testing.T) (lbs.Store, func() lbs.Store) {
				return maker(t, crashdisk.New(1), "store", Options{BlockBytes: blockBytes, MinSegmentBytes: 32 << 10})
			})
		})
	}
	t.Run("os", func(t *testing.T) {
		lbstest.Run(t, func(t *testing.T) (lbs.Store, func() lbs.Store) {
			return maker(t, disk.OS{}, t.TempDir(), Options{MinSegmentBytes: 64 << 10})
		})
	})
}

func maker(t *testing.T, fsys disk.FS, dir string, opts Options) (lbs.Store, func() lbs.Store) {
	opts.Create = true
	var s *Store
	open := func() lbs.Store {
		if s != nil {
			_ = s.Close()
		}
		var err error
		s, err = Open(fsys, dir, opts)
		must(t, err)
		return s
	}
	return open(), open
}
