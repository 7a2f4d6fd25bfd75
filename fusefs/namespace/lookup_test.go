package namespace

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestNamesThatAreRefused(t *testing.T) {
	deep := Dir{Prefix: bytes.Repeat([]byte("d/"), 2000)}
	cut := Dir{Cut: strings.Repeat("a", 1022)}
	for _, c := range []struct {
		name string
		dir  Dir
		file string
		want error
	}{
		{"empty", Dir{}, "", ErrBadName},
		{"dot", Dir{}, ".", ErrBadName},
		{"dot dot", Dir{}, "..", ErrBadName},
		{"slash", Dir{}, "a/b", ErrBadName},
		{"NUL", Dir{}, "a\x00", ErrBadName},
		{"1025 bytes", Dir{}, strings.Repeat("a", 1025), ErrNameTooLong},
		{"1024 bytes", Dir{}, strings.Repeat("a", 1024), nil},
		{"key of 4095 bytes", deep, strings.Repeat("a", 95), nil},
		{"key of 4096 bytes", deep, strings.Repeat("a", 96), ErrKeyTooLong},
		{"key of 4095 bytes, escaped", deep, strings.Repeat("%00", 95), nil},
		{"key of 4096 bytes, escaped", deep, strings.Repeat("%00", 96), ErrKeyTooLong},
		{"too short for its virtual directory", cut, "ab", ErrReserved},
		{"long enough for it", cut, "abc", nil},
		{"across an escape", Dir{Cut: cut.Cut[1:]}, "abcd", ErrReserved},
		{"before an escape", Dir{Cut: cut.Cut[1:]}, "%00d", nil},
		{"cut where no text is", Dir{Cut: cut.Cut + "a"}, "abcd", ErrReserved},
		{"cut twice", cut, cut.Cut + "%+", nil},
		{"cut twice, at first too early", Dir{Cut: cut.Cut[1:]}, cut.Cut + "%+", ErrReserved},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := c.dir.Lookup(c.file)
			if err == nil {
				err = l.Plain.Err
			}
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestWhatANameStandsFor(t *testing.T) {
	dir, root := Dir{Prefix: []byte("dir/")}, Dir{}
	mainOf := func(c string) Target { return Target{Kind: Main, Component: c} }
	beside := func(c string) Target { return Target{Kind: Beside, Component: c} }
	value := Target{Kind: Value}
	for _, c := range []struct {
		dir  Dir
		name string
		want Lookup
	}{
		{dir, "a", Lookup{Plain: mainOf("a")}},
		{dir, "%00", Lookup{Plain: mainOf("\x00")}},
		{root, "%", Lookup{Plain: mainOf("")}},
		{dir, "%", Lookup{Plain: Target{Kind: Folder}}},
		{dir, "%25", Lookup{Plain: mainOf("%")}},
		{dir, "x%.", Lookup{mainOf("x%."), beside("x"), beside("x")}},
		{dir, "x%25.", Lookup{mainOf("x%25."), beside("x"), mainOf("x%.")}},
		{dir, "x%2525.", Lookup{mainOf("x%2525."), beside("x"), mainOf("x%25.")}},
		{dir, "%2E%.", Lookup{mainOf("%2E%."), beside("."), beside(".")}},
		{dir, ".%.", Lookup{Plain: mainOf(".%.")}},
		{dir, "..%.", Lookup{Plain: mainOf("..%.")}},
		{dir, "%.", Lookup{mainOf("%."), value, value}},
		{dir, "%25.", Lookup{mainOf("%25."), value, mainOf("%.")}},
		{root, "%.", Lookup{Plain: mainOf("%.")}},
		{root, "%%.", Lookup{mainOf("%%."), beside(""), beside("")}},
		{dir, "%%.", Lookup{Plain: mainOf("%%.")}},
	} {
		t.Run(string(c.dir.Prefix)+c.name, func(t *testing.T) {
			if got, err := c.dir.Lookup(c.name); got != c.want || err != nil {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

// A directory has a slash more in its key than the pair beside it, so a pair
// whose key is as long as keys get needs no question.
func TestTheLongestKeyHasNoRival(t *testing.T) {
	d := Dir{Prefix: bytes.Repeat([]byte("d/"), 2000)}
	for n, want := range map[int]Kind{94: Beside, 95: None} {
		l, err := d.Lookup(strings.Repeat("a", n) + "%.")
		if err != nil || l.Rival.Kind != want {
			t.Errorf("%d bytes: %+v, %v", n, l, err)
		}
		// The literal key does not fit in either case, but the pair beside must be
		// found all the same.
		if !errors.Is(l.Plain.Err, ErrKeyTooLong) || l.Answer(true).Kind != want {
			t.Errorf("%d bytes: %+v", n, l)
		}
	}
	if err := CheckKey(d.AppendPrefix(nil, strings.Repeat("a", 95))); !errors.Is(err, ErrKeyTooLong) {
		t.Errorf("a prefix of 4096 bytes: %v", err)
	}
	if err := CheckKey(d.AppendKey(nil, strings.Repeat("a", 95))); err != nil {
		t.Errorf("a key of 4095 bytes: %v", err)
	}
}

func TestTheLongestKeyOfNULs(t *testing.T) {
	names := checkThing(t, Dir{}, Main, strings.Repeat("\x00", KeyBytesMax), false)
	if len(names) != 13 {
		t.Errorf("%d names for 12285 bytes", len(names))
	}
	for _, name := range names[:12] {
		if len(name) != 1022 { // 340 escapes and the mark
			t.Errorf("a virtual directory's name of %d bytes", len(name))
		}
	}
}

func TestAlsoDir(t *testing.T) {
	for _, c := range []struct {
		name, key, next string
		want            Also
	}{
		{"end of store", "a", "", AlsoNo},
		{"another key", "a", "b", AlsoNo},
		{"below the slash", "a", "a!", AlsoAsk},
		{"the slash", "a", "a/b", AlsoYes},
		{"the marker", "a", "a/", AlsoYes},
		{"above the slash", "a", "a0", AlsoNo},
		{"the empty key", "", "\x00", AlsoAsk},
		{"the empty key is also a directory", "", "/", AlsoYes},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := AlsoDir([]byte(c.key), []byte(c.next)); got != c.want {
				t.Errorf("AlsoDir(%q, %q) = %d, want %d", c.key, c.next, got, c.want)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	long := strings.Repeat("a", 1022)
	high := strings.Repeat("\xff", 1022)
	for _, c := range []struct {
		name     string
		dir      Dir
		from, to string
	}{
		{"root", Dir{}, "", ""},
		{"directory", Dir{Prefix: []byte("users/alice/")}, "users/alice/", "users/alice0"},
		{"virtual", Dir{Cut: long}, long, long[1:] + "b"},
		{"virtual, no key behind", Dir{Cut: high}, high, ""},
		{"virtual, below a directory", Dir{Prefix: []byte("d/"), Cut: high}, "d/" + high, "d0"},
		{"virtual, escape at the end", Dir{Cut: long[2:] + "%00"}, long[2:] + "\x00", long[2:] + "\x01"},
		{"virtual, pads at the end", Dir{Cut: long[7:] + "%252525"}, long[7:] + "%2525", long[7:] + "%2526"},
		{"virtual, half a pad", Dir{Cut: long[4:] + "%252"}, long[4:] + "%", long[4:] + "&"},
	} {
		t.Run(c.name, func(t *testing.T) {
			from, to := c.dir.Bounds()
			if string(from) != c.from || string(to) != c.to {
				t.Errorf("got %q to %q", from, to)
			}
		})
	}
}

func TestAppendAfterSkipsADirectory(t *testing.T) {
	d := Dir{Prefix: []byte("users/")}
	if got := d.AppendAfter(nil, []byte("alice")); string(got) != "users/alice0" {
		t.Errorf("got %q", got)
	}
}

func TestPlainNamesCostNoMemory(t *testing.T) {
	d := Dir{Prefix: []byte("users/alice/")}
	key, component, name := make([]byte, 0, 64), []byte("email"), make([]byte, 0, 64)
	for what, f := range map[string]func(){
		"Lookup":              func() { _, _ = d.Lookup("email") },
		"Lookup with percent": func() { _, _ = d.Lookup("100%") },
		"Lookup and key":      func() { l, _ := d.Lookup("email"); key = d.AppendKey(key[:0], l.Plain.Component) },
		"Entry":               func() { _, _ = d.Entry([]byte("users/alice/email")) },
		"Rival":               func() { _ = d.Rival(component) },
		"AppendName":          func() { name, _, _ = d.AppendName(name[:0], Main, component, false) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	d := Dir{Prefix: []byte("users/alice/")}
	for _, name := range []string{"email", "100%", "x%.", "a%00b"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = d.Lookup(name)
			}
		})
	}
}
