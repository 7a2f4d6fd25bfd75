package tests

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// realTrees copies trees of real files below a place's home, where nobody changes
// them under the test, and returns the folder: net, compile and etc in it.
func realTrees(t testing.TB, p *place) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	src := filepath.Join(strings.TrimSpace(string(out)), "src")
	from := p.home + "/from"
	trees := fmt.Sprintf("cp -a '%s/net' '%s/cmd/compile' /etc '%s'", src, src, from)
	if *wholeTree {
		trees = fmt.Sprintf("cp -a '%s'/. /etc '%s'", src, from)
	}
	shell(t, "/", fmt.Sprintf("mkdir '%s' && %s", from, trees))
	return from
}

// TestRealTreesThroughTheMount is the main road: real trees in with cp -a, every
// byte and attribute compared, the tools that people use on them, and all of it
// again after a clean unmount.
func TestRealTreesThroughTheMount(t *testing.T) {
	p := newMount(t)
	from := realTrees(t, p)
	copied := p.path("copy")
	start := time.Now()
	shell(t, from, fmt.Sprintf("cp -a . '%s'", copied))
	files := attributesBelow(t, from)
	t.Logf("cp -a of %d files took %v", len(files), time.Since(start))
	sameTree(t, from, copied)

	t.Run("find", func(t *testing.T) { sameOutput(t, from, copied, "find . | sort") })
	t.Run("find by type and size", func(t *testing.T) {
		sameOutput(t, from, copied, "find . -type f -size +200k -printf '%p %s %m %u\\n' | sort; find . -type l -printf '%p %l\\n' | sort")
	})
	t.Run("grep -r", func(t *testing.T) { sameOutput(t, from, copied, "grep -rc 'func Dial' . | sort") })
	t.Run("tar out", func(t *testing.T) { tarOut(t, p.on(t), from) })
	t.Run("tar in", func(t *testing.T) { tarIn(t, p.on(t), from) })
	t.Run("mv of a directory", func(t *testing.T) { moveDirectory(t, p.on(t), from) })
	t.Run("rm -rf", func(t *testing.T) { removeTree(t, p.on(t)) })
	t.Run("native reads", func(t *testing.T) { nativeReads(t, p.on(t), from) })

	p.umount()
	p.mount()
	t.Run("after unmount and mount", func(t *testing.T) {
		replayedNothing(t, p)
		sameTree(t, from, copied)
	})
}

// TestRealTreesThroughASmallLog: with the default bound much of a tree would stay
// in the delta, and come back from there. With a small one it goes through pages.
func TestRealTreesThroughASmallLog(t *testing.T) {
	p := newMount(t, "--log-bound=64K")
	from := realTrees(t, p)
	copied := p.path("copy")
	shell(t, from, fmt.Sprintf("cp -a . '%s'", copied))
	sameTree(t, from, copied)
	p.umount()
	p.mount("--log-bound=64K")
	replayedNothing(t, p)
	sameTree(t, from, copied)
	shape := treeShape.FindAllStringSubmatch(p.log(), -1)
	if len(shape) == 0 {
		t.Fatal("the server's log does not say what the tree is like")
	}
	last := shape[len(shape)-1]
	t.Logf("%s ROOTs, a tree of height %s", last[1], last[2])
	if len(last[1]) < 2 || last[2] < "3" {
		t.Errorf("%s ROOTs and a tree of height %s prove nothing", last[1], last[2])
	}
	removeTree(t, p.on(t))
}

var treeShape = regexp.MustCompile(`roots=(\d+) height=(\d)`)

// sameOutput runs a command line in both folders.
func sameOutput(t *testing.T, from, copied, line string) {
	t.Helper()
	if want, got := shell(t, from, line), shell(t, copied, line); got != want {
		t.Errorf("%s: on the mount\n%s\nwant\n%s", line, clip(got), clip(want))
	}
}

func tarOut(t *testing.T, p *place, from string) {
	out := p.home + "/out"
	shell(t, p.path("copy"), fmt.Sprintf("mkdir '%s'; tar cf - --format=posix . | tar xpf - -C '%s'", out, out))
	sameTree(t, from, out)
}

func tarIn(t *testing.T, p *place, from string) {
	in := p.path("tar/in")
	shell(t, from, fmt.Sprintf("mkdir -p '%s'; tar cf - --format=posix compile | tar xpf - -C '%s'", in, in))
	sameTree(t, from+"/compile", in+"/compile")
}

func moveDirectory(t *testing.T, p *place, from string) {
	shell(t, p.mnt, "mv tar/in/compile moved; rmdir tar/in tar")
	sameTree(t, from+"/compile", p.path("moved"))
	if _, err := os.Stat(p.path("tar")); !os.IsNotExist(err) {
		t.Errorf("the old name is still there: %v", err)
	}
}

func removeTree(t *testing.T, p *place) {
	shell(t, p.mnt, "rm -rf moved")
	if _, err := os.Stat(p.path("moved")); !os.IsNotExist(err) {
		t.Errorf("stat after rm -rf: %v", err)
	}
	if out := p.native("range", "--prefix", "moved").expect(t, 0).out; out != "" {
		t.Errorf("keys are left after rm -rf: %s", clip(out))
	}
}

// nativeReads reads small files as pairs, one by one and by range.
func nativeReads(t *testing.T, p *place, from string) {
	want := smallFiles(t, from)
	if len(want) < 20 {
		t.Fatalf("only %d small files: the sample proves little", len(want))
	}
	for _, key := range want[:20] {
		if got := p.get("copy/" + key); got != fileText(t, from, key) {
			t.Errorf("get %s is %q", key, clip(got))
		}
	}
	// The small files alone in a folder, since a range refuses long values.
	shell(t, "/", fmt.Sprintf("mkdir '%s'", p.path("small")))
	var lines []string
	for i, key := range want {
		name := fmt.Sprintf("small/%04d", i)
		shell(t, from, fmt.Sprintf("cp -a '%s' '%s'", key, p.path(name)))
		lines = append(lines, name+"\x00"+fileText(t, from, key)+"\x00")
	}
	out := p.native("range", "--null", "small/0", "small/9").expect(t, 0).out
	if out != strings.Join(lines, "") {
		t.Errorf("range has %d bytes, want %d: %q", len(out), len(strings.Join(lines, "")), clip(out))
	}
	os.RemoveAll(p.path("small"))
}

func fileText(t *testing.T, dir, key string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, key))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// smallFiles lists files that protocol v1 can carry, at most 60.
func smallFiles(t *testing.T, root string) []string {
	t.Helper()
	var small []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() <= 255 {
			name, _ := filepath.Rel(root, path)
			small = append(small, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(small)
	return small[:min(len(small), 60)]
}

var replayed = regexp.MustCompile(`replayed=(\d+)`)

// replayedNothing reads in the server's log how many records the last open
// replayed.
func replayedNothing(t *testing.T, p *place) {
	t.Helper()
	found := replayed.FindAllStringSubmatch(p.log(), -1)
	if len(found) == 0 {
		t.Error("the server's log does not say how many records it replayed")
	} else if n := found[len(found)-1][1]; n != "0" {
		t.Errorf("a clean stop left %s records to replay", n)
	}
}

// TestToolsThatPeopleUse: programs with habits of their own, each left content.
func TestToolsThatPeopleUse(t *testing.T) {
	p := newMount(t)
	tools := []struct{ name, need, script string }{
		{"git", "git", `export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
			git init -q repo && cd repo && git config user.email a@b && git config user.name n
			for i in 1 2 3; do echo $i > f$i; git add . && git commit -qm $i; done
			test -z "$(git status --porcelain)" && git mv f1 g1 && git commit -qm mv && git gc -q
			git fsck --strict 2>&1 && cd .. && git clone -q repo copy && diff -r repo/g1 copy/g1`},
		{"rsync", "rsync", `mkdir rs && rsync -a --delete ../from/ rs/ && rsync -ain --delete ../from/ rs/ > ../again
			test ! -s ../again || { cat ../again; exit 1; }`},
		{"sed -i", "sed", `echo one > s && sed -i s/one/two/ s && test "$(cat s)" = two`},
		{"append", "tee", `echo 1 > l && echo 2 >> l && echo 3 | tee -a l >/dev/null && test "$(tr -d '\n' < l)" = 123`},
		{"install", "install", `echo x > i && install -m 0741 i j && test "$(stat -c %a j)" = 741`},
		{"links", "ln", `echo x > t && ln -s t u && test "$(cat u)" = x && test "$(readlink u)" = t && ln -sfn nowhere u && test ! -e u`},
		{"dd with fsync", "dd", `dd if=/dev/zero of=d bs=4k count=100 conv=fsync status=none && test "$(stat -c %s d)" = 409600 && sync d`},
		{"truncate", "truncate", `printf 12345 > v && truncate -s 3 v && test "$(cat v)" = 123 && truncate -s 5 v && test "$(od -An -c v | tr -d ' ')" = '123\0\0'`},
		{"times", "touch", `touch -d '2001-02-03 04:05:06.123456789 UTC' w && test "$(stat -c %.9Y w)" = 981173106.123456789`},
		{"df", "df", `df . > /dev/null && df -i . > /dev/null`},
		{"flock", "flock", `flock lock sh -c 'echo held > inside' && test "$(cat inside)" = held`},
		{"mv over", "mv", `echo a > x1 && echo b > x2 && mv x1 x2 && test "$(cat x2)" = a && test ! -e x1`},
		{"heredoc", "bash", `cat > here <<< "text"; test "$(< here)" = text; : > here; test ! -s here`},
	}
	shell(t, p.home, `mkdir from; for i in $(seq 50); do mkdir -p from/d$((i%5)); echo $i > from/d$((i%5))/f$i; done; ln -s d1 from/l`)
	for _, tool := range tools {
		t.Run(tool.name, func(t *testing.T) {
			if _, err := exec.LookPath(tool.need); err != nil {
				t.Skipf("%s is not installed", tool.need)
			}
			shell(t, p.mnt, tool.script)
		})
	}
}
