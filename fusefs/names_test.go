package fusefs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"kivaloo/kvstore/kv"
)

func TestNativeWritesAreSeenAtOnce(t *testing.T) {
	m := newMount(t)
	for i := range 20 {
		value := fmt.Sprint("value ", i)
		m.set("dir/k", value)
		m.wantFile("dir/k", value)
		if got := m.stat("dir/k").Size; got != int64(len(value)) {
			t.Errorf("size %d", got)
		}
		name := fmt.Sprintf("n%02d", i)
		m.set("dir/"+name, "")
		if got := m.names("dir"); !strings.HasSuffix(got, name) {
			t.Errorf("listing: %s", got)
		}
	}
	m.call("Commit", kv.Txn{Effects: []kv.Effect{{Op: kv.DeletePrefix, Key: []byte("dir/")}}})
	if _, err := os.Stat(m.path("dir")); !os.IsNotExist(err) {
		t.Errorf("a directory without keys: %v", err)
	}
}

func TestNamesThatKeysHaveOtherwise(t *testing.T) {
	m := newMount(t)
	for _, key := range []string{
		"", "plain", "100%", "a%41", ".", "..", "nul\x00nul", "both", "both/in", "a!b", "a", "a/x",
		"marked/", "double//slash", strings.Repeat("long", 400),
	} {
		m.set(key, "value of "+key)
	}
	seen := map[string]bool{}
	filepath.WalkDir(m.dir, func(path string, d os.DirEntry, err error) error {
		must(t, err)
		if d.IsDir() {
			return nil
		}
		got, err := os.ReadFile(path)
		must(t, err)
		seen[string(got)] = true
		return nil
	})
	if len(seen) != 15 {
		t.Errorf("%d of 15 values are found: %v", len(seen), seen)
	}
	for name, value := range map[string]string{
		"%": "value of ", "both%.": "value of both", "%2E": "value of .", "%2E.": "value of ..",
		"nul%00nul": "value of nul\x00nul", "marked/%.": "value of marked/", "double/%/slash": "value of double//slash",
	} {
		m.wantFile(name, value)
	}
	// What an application makes under a name is found under that name.
	for _, name := range []string{"my%00", "x%.", "both%.", "75%", "%2F", "a%."} {
		must(t, os.WriteFile(m.path(name), []byte(name), 0o644))
		m.wantFile(name, name)
		if !strings.Contains(" "+m.names("")+" ", " "+name+" ") {
			t.Errorf("%s is not listed: %s", name, m.names(""))
		}
		must(t, os.Remove(m.path(name)))
		if _, err := os.Stat(m.path(name)); !os.IsNotExist(err) {
			t.Errorf("%s after its removal: %v", name, err)
		}
	}
	must(t, os.WriteFile(m.path("marked/%."), []byte("new"), 0o644))
	m.wantValue("marked/", "new")
	wantErrno(t, "rmdir of a marker with a value", unix.Rmdir(m.path("marked")), syscall.ENOTEMPTY)
	must(t, os.Remove(m.path("marked/%.")))
	must(t, unix.Rmdir(m.path("marked")))
	m.wantNoKey("marked/")
}

func TestLongNames(t *testing.T) {
	m := newMount(t)
	name := strings.Repeat("n", 700)
	must(t, os.WriteFile(m.path(name), []byte("long"), 0o644))
	m.wantFile(name, "long")
	wantErrno(t, "a name over the limit", os.WriteFile(m.path(strings.Repeat("n", 1025)), nil, 0o644), syscall.ENAMETOOLONG)
	m.set(strings.Repeat("v", 2000), "virtual")
	cut := strings.Repeat("v", 1022) + "%+"
	m.wantFile(cut+"/"+strings.Repeat("v", 978), "virtual")
	wantErrno(t, "rmdir of a virtual directory", unix.Rmdir(m.path(cut)), syscall.EPERM)
	wantErrno(t, "rename of a virtual directory", unix.Rename(m.path(cut), m.path("x")), syscall.EPERM)
	dir := m.dir
	var err error
	for range 5 { // beyond the longest key; each path is below PATH_MAX
		must(t, os.Chdir(dir))
		dir = strings.Repeat("d", 900)
		if err = os.Mkdir(dir, 0o755); err != nil {
			break
		}
	}
	os.Chdir("/")
	wantErrno(t, "a path over the limit of a key", err, syscall.ENAMETOOLONG)
}
