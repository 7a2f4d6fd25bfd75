package tests

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// attributes is what a faithful copy keeps of a file, beside its contents.
type attributes struct {
	mode     fs.FileMode
	uid, gid uint32
	size     int64 // of a directory: 0
	mtime    int64 // nanoseconds
	link     string
}

// attributesBelow walks a tree without following links.
func attributesBelow(t testing.TB, root string) map[string]attributes {
	t.Helper()
	all := map[string]attributes{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		all[name], err = attributesOf(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func attributesOf(path string) (a attributes, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return a, err
	}
	st := info.Sys().(*syscall.Stat_t)
	a = attributes{mode: info.Mode(), uid: st.Uid, gid: st.Gid, size: st.Size, mtime: info.ModTime().UnixNano()}
	if info.IsDir() {
		a.size = 0
	}
	if info.Mode().Type() == fs.ModeSymlink {
		a.link, err = os.Readlink(path)
	}
	return a, err
}

// sameTree compares names, contents and attributes of two trees.
func sameTree(t testing.TB, want, got string) {
	t.Helper()
	shell(t, "/", fmt.Sprintf("diff -r --no-dereference '%s' '%s'", want, got))
	sameAttributes(t, attributesBelow(t, want), attributesBelow(t, got), got)
}

func sameAttributes(t testing.TB, want, got map[string]attributes, where string) {
	t.Helper()
	for name, w := range want {
		if g, ok := got[name]; !ok {
			t.Errorf("%s/%s is missing", where, name)
		} else if g != w {
			t.Errorf("%s/%s is %+v, want %+v", where, name, g, w)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s/%s should not be there", where, name)
		}
	}
}

// sameFile says whether two files have the same bytes.
func sameFile(a, b string) (bool, error) {
	x, err := os.ReadFile(a)
	if err != nil {
		return false, err
	}
	y, err := os.ReadFile(b)
	return bytes.Equal(x, y), err
}
