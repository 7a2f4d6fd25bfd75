package main

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"kivaloo/fusefs"
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
