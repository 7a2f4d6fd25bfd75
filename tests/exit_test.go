package tests

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// A commandCase is a command line, and how it must end.
type commandCase struct {
	name  string
	args  []string // SOCK stands for the socket, STORE for the store
	code  int
	out   string
	words []string // in stderr
}

func (c *commandCase) run(t *testing.T, p *place) {
	t.Helper()
	places := strings.NewReplacer("SOCK", p.sock, "STORE", p.dir, "HOME", p.home)
	args := make([]string, len(c.args))
	for i, a := range c.args {
		args[i] = places.Replace(a)
	}
	r := kivaloo(t, args...).expect(t, c.code, c.words...)
	if r.out != c.out && c.out != "*" {
		t.Errorf("kivaloo %q wrote %q, want %q", args, clip(r.out), c.out)
	}
	if (r.code == 0) != (r.err == "") {
		t.Errorf("kivaloo %q: exit code %d with stderr %q", args, r.code, r.err)
	}
}

// TestNativeCommands runs on one store, in this order.
func TestNativeCommands(t *testing.T) {
	p := newPlace(t)
	p.serve()
	long := strings.Repeat("x", 256)
	cases := []commandCase{
		{"set", []string{"set", "-s", "SOCK", "a", "1"}, 0, "", nil},
		{"flags after operands", []string{"set", "b", "2", "-s", "SOCK"}, 0, "", nil},
		{"get writes the raw value", []string{"get", "-s", "SOCK", "a"}, 0, "1", nil},
		{"get of a missing key", []string{"get", "-s", "SOCK", "nothing"}, 5, "", []string{"nothing"}},
		{"set of the empty value", []string{"set", "-s", "SOCK", "empty", ""}, 0, "", nil},
		{"get of the empty value", []string{"get", "-s", "SOCK", "empty"}, 0, "", nil},
		{"an operand with a hyphen", []string{"set", "-s", "SOCK", "--", "-k", "-v"}, 0, "", nil},
		{"and back", []string{"get", "-s", "SOCK", "--", "-k"}, 0, "-v", nil},
		{"hexadecimal key", []string{"set", "-s", "SOCK", "hex:00ff", "raw"}, 0, "", nil},
		{"the same in base64", []string{"get", "-s", "SOCK", "b64:AP8="}, 0, "raw", nil},
		{"broken hexadecimal", []string{"get", "-s", "SOCK", "hex:0"}, 64, "", nil},
		{"condition that holds", []string{"set", "-s", "SOCK", "--if-value", "1", "a", "one"}, 0, "", nil},
		{"condition that does not", []string{"set", "-s", "SOCK", "--if-value", "1", "a", "uno"}, 3, "", nil},
		{"add of a key that is there", []string{"set", "-s", "SOCK", "--if-absent", "a", "uno"}, 3, "", nil},
		{"del", []string{"del", "-s", "SOCK", "b"}, 0, "", nil},
		{"del of a missing key", []string{"del", "-s", "SOCK", "b"}, 0, "", nil},
		{"range", []string{"range", "-s", "SOCK"}, 0, "\x00\xff\traw\n-k\t-v\na\tone\nempty\t\n", nil},
		{"range from and to", []string{"range", "-s", "SOCK", "-", "b"}, 0, "-k\t-v\na\tone\n", nil},
		{"range by prefix", []string{"range", "-s", "SOCK", "--prefix", "em"}, 0, "empty\t\n", nil},
		{"range with a limit", []string{"range", "-s", "SOCK", "--limit", "1", "a"}, 0, "a\tone\n", nil},
		{"range of keys", []string{"range", "-s", "SOCK", "--keys-only", "a"}, 0, "a\nempty\n", nil},
		{"range with zero bytes", []string{"range", "-s", "SOCK", "--null", "a"}, 0, "a\x00one\x00empty\x00\x00", nil},
		{"range as JSON", []string{"range", "-s", "SOCK", "--json", "a", "b"}, 0, `{"key":"a","value":"one"}` + "\n", nil},
		{"value too long", []string{"set", "-s", "SOCK", "long", long}, 1, "", []string{"255"}},
		{"key too long", []string{"get", "-s", "SOCK", long}, 1, "", []string{"255"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, p.on(t)) })
	}
	t.Run("value from standard input", func(t *testing.T) {
		kivalooIn(t, "a\x00b\n", []string{"KIVALOO_SOCKET=" + p.sock}, "set", "stdin", "-").expect(t, 0)
		if got := p.on(t).get("stdin"); got != "a\x00b\n" {
			t.Errorf("the value is %q", got)
		}
	})
}

// TestExitCodes goes through the table of exit codes for command lines that fail
// before they touch a store.
func TestExitCodes(t *testing.T) {
	p := newPlace(t)
	cases := []commandCase{
		{"no command", nil, 64, "", nil},
		{"unknown command", []string{"mout"}, 64, "", []string{"mount"}},
		{"unknown flag", []string{"mount", "--sokcet=x", "STORE", "HOME/m"}, 64, "", []string{"socket"}},
		{"operand missing", []string{"mount", "STORE"}, 64, "", []string{"usage"}},
		{"operand too many", []string{"umount", "a", "b"}, 64, "", []string{"usage"}},
		{"no socket given", []string{"get", "a"}, 64, "", []string{"KIVALOO_SOCKET"}},
		{"malformed address", []string{"serve", "--socket", "127.0.0.1:99999", "STORE"}, 64, "", nil},
		{"an address for everybody", []string{"serve", "--socket", "0.0.0.0:7000", "STORE"}, 64, "", nil},
		{"nobody listens", []string{"get", "-s", "HOME/no.sock", "a"}, 8, "", []string{"no.sock"}},
		{"umount of what is not mounted", []string{"umount", "HOME"}, 9, "", nil},
		{"version", []string{"version"}, 0, "*", nil},
		{"help", []string{"help"}, 0, "*", nil},
		{"help of a command", []string{"help", "mount"}, 0, "*", nil},
		{"help of no command", []string{"help", "nonsense"}, 64, "", nil},
		{"help by flag", []string{"mount", "--help"}, 0, "*", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, p.on(t)) })
	}
	if _, err := os.Stat(p.dir); !os.IsNotExist(err) {
		t.Errorf("a command that failed has made a store: %v", err)
	}
}

// TestHelpNamesEveryExitCode: what scripts rely on is written down where they look.
func TestHelpNamesEveryExitCode(t *testing.T) {
	help := kivaloo(t, "help", "mount").out
	for _, code := range []int{0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 64} {
		if !strings.Contains(help, fmt.Sprintf("%4d  ", code)) {
			t.Errorf("help does not explain exit code %d", code)
		}
	}
}

// TestSignalsCommitAndUnmount: SIGTERM and SIGINT are a clean stop.
func TestSignalsCommitAndUnmount(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			p := newMount(t)
			p.write("file", "contents")
			p.stop(sig)
			if isMounted(p.mnt) {
				t.Fatal("still mounted")
			}
			if _, err := os.Stat(p.sock); !os.IsNotExist(err) {
				t.Errorf("the socket is still there: %v", err)
			}
			p.mount()
			replayedNothing(t, p)
			if got := p.read("file"); got != "contents" {
				t.Errorf("the file is %q", got)
			}
		})
	}
}

// TestUnmountOfABusyMountChangesNothing: who has files open is named, and the
// mount goes on.
func TestUnmountOfABusyMountChangesNothing(t *testing.T) {
	p := newMount(t)
	p.write("file", "contents")
	f, err := os.Open(p.path("file"))
	if err != nil {
		t.Fatal(err)
	}
	kivaloo(t, "umount", p.mnt).expect(t, 9, fmt.Sprint(os.Getpid()))
	if got := p.read("file"); got != "contents" {
		t.Errorf("the file is %q", got)
	}
	p.write("more", "x")
	f.Close()
	p.umount()
}

// TestForeground: -f stays, and logs to standard error; the end is clean.
func TestForeground(t *testing.T) {
	p := newPlace(t)
	done := make(chan result)
	go func() { done <- kivaloo(t, "serve", "-f", p.dir) }()
	if !eventually(commandMax, func() bool { _, err := os.Stat(p.sock); return err == nil }) {
		t.Fatal("no socket")
	}
	p.set("a", "b")
	p.stop(syscall.SIGTERM)
	if r := <-done; r.code != 0 || r.err == "" {
		t.Errorf("exit code %d, stderr %q", r.code, r.err)
	}
}

// TestServeAndMountHaveTheSameStore: what one writes the other shows.
func TestServeAndMountHaveTheSameStore(t *testing.T) {
	p := newMount(t)
	p.write("by-mount", "1")
	p.umount()
	p.serve()
	p.set("by-socket", "2")
	if got := p.get("by-mount"); got != "1" {
		t.Errorf("by-mount is %q", got)
	}
	p.stop(syscall.SIGTERM)
	p.mount()
	if got := p.read("by-socket"); got != "2" {
		t.Errorf("by-socket is %q", got)
	}
}

// TestSocketIsPrivate: only its owner may connect.
func TestSocketIsPrivate(t *testing.T) {
	p := newPlace(t)
	extra := p.home + "/extra.sock"
	p.serve("--socket", extra, "--socket", p.sock)
	for _, sock := range []string{extra, p.sock} {
		info, err := os.Stat(sock)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", sock, info.Mode().Perm())
		}
		if _, _, err := dial(t, sock).get("a"); err != nil {
			t.Errorf("%s: %v", sock, err)
		}
	}
}
