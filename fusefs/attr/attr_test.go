package attr

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden file anew")

// golden has one line for each case: its name and the bytes in hex.
const golden = "testdata/attr.golden"

var cases = []struct {
	name string
	attr Attr
}{
	{"nothing", Attr{}},
	{"plain file of root", Attr{HasMode: true, Mode: 0o100644, HasOwner: true}},
	{"plain file of uid 1000", Attr{HasMode: true, Mode: 0o100644, HasOwner: true, UID: 1000, GID: 1000}},
	{"directory", Attr{HasMode: true, Mode: 0o040755, HasOwner: true}},
	{"setuid program of the last id", Attr{HasMode: true, Mode: 0o104755, HasOwner: true, UID: 1<<32 - 1, GID: 1<<32 - 1}},
	{"symlink", Attr{HasMode: true, Mode: 0o120777, HasOwner: true}},
	{"device", Attr{HasMode: true, Mode: 0o060660, HasOwner: true, GID: 6, Rdev: 0x801}},
	{"times only", Attr{Times: Times{For: 1 << 60, HasMtime: true, Mtime: Time{Sec: -1, Nsec: 999_999_999}}}},
	{"copied with cp -a", Attr{HasMode: true, Mode: 0o100644, HasOwner: true, Times: Times{
		For: 1_700_000_000_000_000_000, HasAtime: true, HasMtime: true,
		Atime: Time{Sec: 1_700_000_000, Nsec: 5}, Mtime: Time{Sec: 1_600_000_000, Nsec: 123_456_789}}}},
	{"xattrs", Attr{Xattrs: []Xattr{{Name: "user.a", Value: []byte("1")}, {Name: "user.b", Value: []byte{}}}}},
}

func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	file, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(file)) {
		name, hexBytes, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		want[name] = hexBytes
	}
	for _, c := range cases {
		if got := hex.EncodeToString(c.attr.Encode()); got != want[c.name] {
			t.Errorf("%s: %s, golden file has %s", c.name, got, want[c.name])
		}
	}
}

func writeGolden(t *testing.T) {
	var b strings.Builder
	for _, c := range cases {
		b.WriteString(c.name + ": " + hex.EncodeToString(c.attr.Encode()) + "\n")
	}
	if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestEncodeDecode(t *testing.T) {
	for _, c := range cases {
		got, err := Decode(c.attr.Encode())
		if err != nil || !reflect.DeepEqual(got, c.attr) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

func TestPlainFileTakesFiveBytes(t *testing.T) {
	if n := len(cases[1].attr.Encode()); n != 5 {
		t.Errorf("%d bytes", n)
	}
}

func TestUnknownVersionIsRefusedByName(t *testing.T) {
	for _, meta := range [][]byte{{2}, {0}, {2, 1, 0}, {1, 0x80, 1}} {
		if _, err := Decode(meta); !errors.Is(err, ErrVersion) {
			t.Errorf("% x: %v", meta, err)
		}
	}
}

func TestMalformedIsRefused(t *testing.T) {
	for name, meta := range map[string][]byte{
		"no mask":               {1},
		"no fields":             {1, 0},
		"cut off":               {1, 2, 0},
		"bytes left over":       {1, 1, 0, 0},
		"long form of a number": {1, 1, 0x80, 0},
		"mode too large":        {1, 1, 0xff, 0xff, 0x7f},
		"times without any":     {1, 8, 0, 0, 0, 0, 0, 0, 0, 0},
		"atime without times":   {1, 16, 0, 0},
		"xattrs out of order":   {1, 64, 2, 1, 'b', 0, 1, 'a', 0},
		"xattr twice":           {1, 64, 2, 1, 'a', 0, 1, 'a', 0},
		"xattr without a name":  {1, 64, 1, 0, 0},
	} {
		if _, err := Decode(meta); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestXattrs(t *testing.T) {
	var a Attr
	for _, name := range []string{"user.c", "user.a", "user.b", "user.a"} {
		if !a.SetXattr(name, []byte(name)) {
			t.Fatal(name)
		}
	}
	if a.SetXattr("user.d", make([]byte, XattrBytesMax)) {
		t.Error("an xattr over the limit fits")
	}
	if !a.RemoveXattr("user.b") || a.RemoveXattr("user.b") {
		t.Error("removing is not once")
	}
	want := []Xattr{{"user.a", []byte("user.a")}, {"user.c", []byte("user.c")}}
	if !reflect.DeepEqual(a.Xattrs, want) {
		t.Errorf("%+v", a.Xattrs)
	}
}

func TestTimesAreVoidAfterAChange(t *testing.T) {
	times := Times{For: 5, HasMtime: true, Mtime: Time{Sec: 1}}
	if got := times.At(5); got != times {
		t.Errorf("unchanged: %+v", got)
	}
	if got := times.At(6); got != (Times{For: 6}) {
		t.Errorf("changed: %+v", got)
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range cases {
		f.Add(c.attr.Encode())
	}
	f.Fuzz(func(t *testing.T, meta []byte) {
		a, err := Decode(meta)
		if err != nil {
			return
		}
		if got := a.Encode(); !bytes.Equal(got, meta) {
			t.Errorf("% x is encoded as % x", meta, got)
		}
	})
}
