package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"

	"kivaloo/fusefs"
	"kivaloo/kvstore"
	"kivaloo/kvstore/client"
	"kivaloo/kvstore/kv"
	"kivaloo/lbs"
)

func TestCodeOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("any"), 1},
		{&kv.ConditionError{Guard: 0}, 3},
		{&kv.CorruptError{}, 4},
		{lbs.ErrDamaged, 4},
		{kv.ErrNotFound, 5},
		{lbs.ErrInUse, 6},
		{lbs.ErrFormat, 7},
		{fmt.Errorf("%w: %w", client.ErrMaybeApplied, client.ErrConnection), 8},
		{fusefs.ErrMountPointNotEmpty, 9},
		{kv.ErrNoSpace, 10},
		{usagef("any"), 64},
		{&childError{code: 7}, 7},
	} {
		if got := codeOf(fmt.Errorf("doing: %w", c.err)); c.err != nil && got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
	}
}

func TestEveryCommandHasHelp(t *testing.T) {
	for _, c := range commands() {
		var out bytes.Buffer
		c.writeHelp(&out)
		if c.short == "" || c.long == "" || out.Len() < 200 {
			t.Errorf("%s: %s", c.name, &out)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "abc", 0}, {"", "abc", 3}, {"abc", "", 3}, {"mont", "mount", 1}, {"kitten", "sitting", 3}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		path, dir string
		want      bool
	}{{"/a", "/a", true}, {"/a/b", "/a", true}, {"/ab", "/a", false}, {"/a", "/", true}, {"/", "/a", false}} {
		if got := within(c.path, c.dir); got != c.want {
			t.Errorf("within(%q, %q) = %v", c.path, c.dir, got)
		}
	}
}

// TestOutcomeOfAServer: what its last word was, or that there was none.
func TestOutcomeOfAServer(t *testing.T) {
	for name, c := range map[string]struct {
		tell func(*ending)
		code int
	}{
		"clean stop": {func(e *ending) { e.tell(nil) }, exitDone},
		"full disk":  {func(e *ending) { e.tell(fmt.Errorf("last commit: %w", kv.ErrNoSpace)) }, exitIO},
		"killed":     {func(*ending) {}, exitFailed},
	} {
		e, err := newEnding()
		if err != nil {
			t.Fatal(err)
		}
		p := process{pid: os.Getpid(), ending: endingOf(os.Getpid())}
		if p.ending == nil {
			t.Fatal("the file in memory is not found")
		}
		c.tell(e)
		if err := p.outcome(); codeOf(err) != c.code {
			t.Errorf("%s: %v, of code %d", name, err, codeOf(err))
		}
		p.ending.Close()
		e.file.Close()
	}
	if err := (&process{fd: -1}).outcome(); err != nil {
		t.Errorf("where there was none: %v", err)
	}
}

func TestStoragePrice(t *testing.T) {
	price := storagePrice{kvstore.StoragePriceDefault}
	for text, want := range map[string]float64{"0": kvstore.NoCleaning, "1": 1, "0.5": 0.5, "1e3": 1000} {
		if err := price.Set(text); err != nil || price.option() != want {
			t.Errorf("%q: %v, %v", text, price.option(), err)
		}
	}
	for _, text := range []string{"", "-1", "NaN", "Inf", "1e7", "1 ", "one"} {
		if err := price.Set(text); err == nil {
			t.Errorf("%q is taken for %v", text, price.price)
		}
	}
}

func TestByteSize(t *testing.T) {
	size := byteSize{least: 512, most: 1 << 40}
	for text, want := range map[string]int64{
		"512": 512, "1k": 1024, "128M": 128 << 20, "1GiB": 1 << 30, "1024GB": 1 << 40, "2mib": 2 << 20, "1T": 1 << 40,
	} {
		if err := size.Set(text); err != nil || size.bytes != want {
			t.Errorf("%q: %d, %v", text, size.bytes, err)
		}
	}
	for _, text := range []string{"", "K", "511", "2T", "1KK", "1i", "1iK", "-1", "1.5M", "0x200", "99999999999999999999", "9999999999999G", "1 K"} {
		if err := size.Set(text); err == nil {
			t.Errorf("%q is taken for %d", text, size.bytes)
		}
	}
	for n, want := range map[int64]string{1: "1", 1023: "1023", 1024: "1K", 1536: "1536", 128 << 20: "128M", 1 << 40: "1T", 1 << 50: "1024T"} {
		if got := humanBytes(n); got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
	}
}
