package segment

import (
	"bytes"
	"testing"

	"kivaloo/lbs"
	"kivaloo/lbs/disk"
	"kivaloo/lbs/disk/crashdisk"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAppendsAreReadBackAfterReopening(t *testing.T) {
	for _, bs := range []int{512, 1000, 1023, 4096, 131072} {
		for _, fsys := range []disk.FS{crashdisk.New(1), disk.OS{}} {
			dir := "store"
			if fsys == (disk.OS{}) {
				dir = t.TempDir()
			}
			o := Options{BlockBytes: bs, Create: true, MinSegmentBytes: 16 << 10}
			s, err := Open(fsys, dir, o)
			must(t, err)
			var want [][]byte
			var firsts []uint64
			for i := 0; i < 30; i++ {
				p := bytes.Repeat([]byte{byte(i + 1)}, i*700+1)
				firsts = append(firsts, s.Next())
				_, err := s.Append(s.Next(), p, lbs.Ordinary)
				must(t, err)
				want = append(want, p)
			}
			check := func() {
				t.Helper()
				for i, p := range want {
					got := make([]byte, len(p))
					must(t, s.ReadAt(got, firsts[i], 0))
					if !bytes.Equal(got, p) {
						t.Fatalf("%d", i)
					}
				}
			}
			check()
			n := s.Next()
			must(t, s.Close())
			s, err = Open(fsys, dir, Options{MinSegmentBytes: 16 << 10})
			must(t, err)
			if s.Next() != n {
				t.Fatal(s.Next(), n)
			}
			check()
			t.Log(s.Segments())
			t.Log(s.Space())
			must(t, s.Close())
		}
	}
}
