package namespace

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// checkThing takes one thing of the directory prefix to its names and back.
// rivalExists answers the question its name can depend on.
func checkThing(t *testing.T, d Dir, kind Kind, component string, rivalExists bool) []string {
	t.Helper()
	shifted := rivalExists && kind == Main && d.Rival([]byte(component)).Kind != None
	var names []string
	for {
		name, virtual, ok := d.AppendName(nil, kind, []byte(component), shifted)
		if !ok || !isName(string(name)) || len(name) > NameBytesMax {
			t.Fatalf("%q after %q: name %q, %v", component, names, name, ok)
		}
		names = append(names, string(name))
		l, err := d.Lookup(string(name))
		if err != nil {
			t.Fatalf("%q: lookup of %q: %v", component, name, err)
		}
		if !virtual {
			checkFinal(t, l, kind, component, rivalExists)
			return names
		}
		if l.Plain.Kind != Virtual || l.Rival.Kind != None {
			t.Fatalf("%q: lookup of the virtual %q: %+v", component, name, l)
		}
		d.Cut = l.Plain.Cut
		checkBounds(t, d, component)
	}
}

func checkFinal(t *testing.T, l Lookup, kind Kind, component string, rivalExists bool) {
	t.Helper()
	if kind == Beside || kind == Value {
		rivalExists = true // it is the rival itself
	}
	got := l.Answer(rivalExists)
	if got.Kind == Folder && kind == Main {
		got.Kind = Main
	}
	if got.Kind != kind || got.Component != component {
		t.Fatalf("a %d of %q is found as %+v", kind, component, got)
	}
}

func checkBounds(t *testing.T, d Dir, component string) {
	t.Helper()
	key := d.AppendKey(nil, component)
	from, to := d.Bounds()
	if bytes.Compare(key, from) < 0 || to != nil && bytes.Compare(key, to) >= 0 {
		t.Fatalf("%q lies outside of its virtual directory: %q to %q", component, from, to)
	}
}

// checkComponent tries all that a component can be.
func checkComponent(t *testing.T, d Dir, component string) {
	t.Helper()
	if len(d.Prefix)+len(component) > KeyBytesMax {
		return
	}
	checkText(t, component)
	plain := checkThing(t, d, Main, component, false)
	shifted := checkThing(t, d, Main, component, true)
	changes := strings.Join(plain, "/") != strings.Join(shifted, "/")
	if asks := d.Rival([]byte(component)).Kind != None; asks != changes {
		t.Fatalf("%q: a rival: %v, another name: %v", component, asks, changes)
	}
	if component == "" && !d.isRoot() || len(d.Prefix)+len(component) == KeyBytesMax {
		return
	}
	beside := checkThing(t, d, Beside, component, true)
	if want := encode(component) + "%."; strings.Join(beside, "") != want && len(beside) == 1 {
		t.Fatalf("%q stands beside as %q", component, beside)
	}
}

// checkNames follows names down from d, as the kernel would look them up, and
// back from what they stand for.
func checkNames(t *testing.T, d Dir, names []string, rivalExists bool) {
	t.Helper()
	for i, name := range names {
		l, err := d.Lookup(name)
		if wantErr := len(name) > NameBytesMax || !isName(name); wantErr != (err != nil) {
			t.Fatalf("lookup of %q: %v", name, err)
		}
		if err != nil {
			return
		}
		got := l.Answer(rivalExists)
		switch got.Kind {
		case None:
			checkRefused(t, d, name, got.Err)
			return
		case Virtual:
			d.Cut = got.Cut
			continue
		case Folder:
			got.Kind = Main
		}
		top := Dir{Prefix: d.Prefix}
		if back := checkThing(t, top, got.Kind, got.Component, rivalExists); !sameNames(back, names[:i+1]) {
			t.Fatalf("%q is %+v, which is %q", names[:i+1], got, back)
		}
		return
	}
}

func sameNames(a, b []string) bool {
	return strings.Join(a, "/") == strings.Join(b, "/")
}

// checkRefused checks that only a virtual directory or a full key refuses.
func checkRefused(t *testing.T, d Dir, name string, err error) {
	t.Helper()
	switch {
	case errors.Is(err, ErrKeyTooLong) && len(d.Prefix)+len(d.Cut)+len(name) > KeyBytesMax:
	case errors.Is(err, ErrReserved) && d.Cut != "":
	default:
		t.Fatalf("%q in %q %q is refused: %v", name, d.Prefix, d.Cut, err)
	}
}

var startDirs = []Dir{{}, {Prefix: []byte("dir/")}, {Prefix: []byte("/")}, {Prefix: bytes.Repeat([]byte("d/"), 1600)}}

func FuzzComponent(f *testing.F) {
	f.Add([]byte{4, 5, 6}, []byte("x"))
	f.Add([]byte{22, 4, 5, 9}, []byte(""))
	f.Add([]byte{23, 23, 23}, []byte("\x00"))
	f.Add([]byte{4, 24, 24, 24}, []byte("00"))
	f.Add([]byte{25, 25, 4, 5, 8}, []byte("%.%."))
	f.Fuzz(func(t *testing.T, program, tail []byte) {
		if len(program)+len(tail) > 4096 {
			return
		}
		component := strings.ReplaceAll(expand(program)+string(tail), "/", "")
		for _, d := range startDirs {
			checkComponent(t, d, component)
		}
	})
}

func FuzzName(f *testing.F) {
	f.Add([]byte{0, 10}, []byte("%25."))
	f.Add([]byte{22, 9, 4, 9, 2, 4, 5, 9}, []byte(""))
	f.Add([]byte{21, 0, 0, 4, 9, 2, 4, 6, 6}, []byte("abc"))
	f.Add([]byte{20, 0, 0, 0, 0, 0, 0, 4, 9, 2, 0, 0, 0}, []byte("%+"))
	f.Add([]byte{4, 24, 0, 0, 0, 0, 4, 9, 2, 24, 0}, []byte("25.%"))
	// Two pieces of 1021 bytes end where 1022 and an escape's 1020 do.
	f.Add([]byte{22, 12, 2, 22, 12, 2, 4}, []byte("000000"))
	f.Fuzz(func(t *testing.T, program, tail []byte) {
		if len(program)+len(tail) > 4096 {
			return
		}
		names := strings.Split(expand(program)+string(tail), "/")
		for _, d := range startDirs {
			checkNames(t, d, names, false)
			checkNames(t, d, names, true)
		}
	})
}

// Every name that matters, in every state of what it depends on.
func TestEveryShortNameBothWays(t *testing.T) {
	lengthMax := 5
	if testing.Short() {
		lengthMax = 4
	}
	forEachString("%25.+\x00a", lengthMax, func(s string) {
		for _, d := range startDirs[:3] {
			checkComponent(t, d, s)
			checkNames(t, d, []string{s}, false)
			checkNames(t, d, []string{s}, true)
		}
	})
}

// Every tail that matters, in every position around the places of the cut.
func TestEveryTailAroundTheCutBothWays(t *testing.T) {
	lengthMax := 3
	if testing.Short() {
		lengthMax = 2
	}
	stems := []string{"", "%", "%25", "%00"}
	for _, stem := range stems {
		for n := 1015; n <= 1024; n++ {
			base := strings.Repeat("a", n-len(stem)) + stem
			forEachString("%250.+\x00a", lengthMax, func(tail string) {
				checkComponent(t, startDirs[1], base+tail)
				checkNames(t, startDirs[1], []string{base + tail}, true)
				checkNames(t, startDirs[1], []string{base + "%+", tail + "%+"}, false)
				checkNames(t, startDirs[1], []string{base + "%+", tail}, true)
			})
		}
	}
}

// The same around the second cut.
func TestEveryTailAroundTheSecondCut(t *testing.T) {
	d := startDirs[1]
	for n := 2036; n <= 2047; n++ {
		base := strings.Repeat("a", n)
		forEachString("%250.+\x00a", 3, func(tail string) {
			checkComponent(t, d, base+tail)
		})
	}
	for n := 1018; n <= 1023; n++ {
		for m := 1018; m <= 1023; m++ {
			first, second := strings.Repeat("a", n)+"%+", strings.Repeat("a", m)
			forEachString("%250+", 3, func(tail string) {
				checkNames(t, d, []string{first, second + "%+", tail}, true)
				checkNames(t, d, []string{first, "%00" + second[3:] + "%+", tail + "000"}, false)
				checkNames(t, d, []string{first, second + tail + "%+", "%0000"}, false)
			})
		}
	}
}
