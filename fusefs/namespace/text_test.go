package namespace

import (
	"regexp"
	"strings"
	"testing"
)

// The oracle is the specification's table as regular expressions, without the
// hand-written scanning.
var (
	wholeFamily = regexp.MustCompile(`^%((?:25)*)(|2E|2E\.)$`)
	nulFamily   = regexp.MustCompile(`%((?:25)*)00`)
)

func oracleEncode(component string) string {
	switch component {
	case "":
		return "%"
	case ".":
		return "%2E"
	case "..":
		return "%2E."
	}
	if wholeFamily.MatchString(component) {
		return wholeFamily.ReplaceAllString(component, "%25${1}${2}")
	}
	padded := nulFamily.ReplaceAllString(component, "%25${1}00")
	return strings.ReplaceAll(padded, "\x00", "%00")
}

// isName is what the kernel guarantees of a name, its length aside.
func isName(s string) bool {
	return s != "" && s != "." && s != ".." && !strings.ContainsAny(s, "/\x00")
}

func TestComponentsOfTheTable(t *testing.T) {
	for _, c := range []struct{ name, component, text string }{
		{"plain", "email", "email"},
		{"empty", "", "%"},
		{"dot", ".", "%2E"},
		{"dot dot", "..", "%2E."},
		{"three dots are free", "...", "..."},
		{"hidden file", ".git", ".git"},
		{"NUL", "\x00", "%00"},
		{"NULs in text", "a\x00b\x00", "a%00b%00"},
		{"percent alone", "%", "%25"},
		{"literal %25", "%25", "%2525"},
		{"literal %2E", "%2E", "%252E"},
		{"literal %2E.", "%2E.", "%252E."},
		{"literal %252E", "%252E", "%25252E"},
		{"literal %00", "%00", "%2500"},
		{"literal %2500", "%2500", "%252500"},
		{"percent at the end", "100%", "100%"},
		{"two percents", "%%", "%%"},
		{"other hex is no escape", "a%41", "a%41"},
		{"lower case is no escape", "%2e", "%2e"},
		{"slash's code is no escape", "a%2Fb", "a%2Fb"},
		{"%25 inside is no escape", "a%25b", "a%25b"},
		{"%2E inside is no escape", "a%2E", "a%2E"},
		{"percent before NUL", "%\x00", "%%00"},
		{"%2 before NUL", "%2\x00", "%2%00"},
		{"%25 before NUL", "%25\x00", "%25%00"},
		{"percent and three zeros", "%000", "%25000"},
		{"not UTF-8", "\xff\xfe", "\xff\xfe"},
		{"newline and quotes", "a\n\"'", "a\n\"'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := encode(c.component); got != c.text {
				t.Errorf("encode(%q) = %q, want %q", c.component, got, c.text)
			}
			if got := decode(c.text); got != c.component {
				t.Errorf("decode(%q) = %q, want %q", c.text, got, c.component)
			}
		})
	}
}

// forEachString calls f with every string over the alphabet up to a length.
func forEachString(alphabet string, lengthMax int, f func(string)) {
	buf := make([]byte, 0, lengthMax)
	var extend func()
	extend = func() {
		f(string(buf))
		if len(buf) == lengthMax {
			return
		}
		for i := range len(alphabet) {
			buf = append(buf, alphabet[i])
			extend()
			buf = buf[:len(buf)-1]
		}
	}
	extend()
}

// Every byte that plays a part, in every order: what holds for all of these can
// fail only at a length.
func TestEveryShortStringBothWays(t *testing.T) {
	lengthMax := 6
	if testing.Short() {
		lengthMax = 5
	}
	forEachString("%250E.+\x00a", lengthMax, func(s string) { checkText(t, s) })
}

func checkText(t *testing.T, s string) {
	t.Helper()
	text := encode(s)
	if want := oracleEncode(s); text != want {
		t.Fatalf("encode(%q) = %q, want %q", s, text, want)
	}
	if !isName(text) {
		t.Fatalf("encode(%q) = %q is not a name", s, text)
	}
	if back := decode(text); back != s {
		t.Fatalf("decode(encode(%q)) = %q", s, back)
	}
	if !isName(s) {
		return
	}
	if back := encode(decode(s)); back != s {
		t.Fatalf("encode(decode(%q)) = %q", s, back)
	}
}
